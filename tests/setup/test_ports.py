"""Free ports: what is given to one server is given to no other."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

from tests.architecture.sources import ROOT
from tests.support.ports import free_port

_GIVE = """
import sys
from tests.support.ports import free_port
print([free_port() for _ in range(300)], flush=True)
sys.stdin.read()
"""


def test_a_port_is_given_once_among_processes_that_run_at_the_same_time() -> None:
    # Each lives until its input is closed, as a run of the tests does.
    command = [sys.executable, "-c", _GIVE]
    others = [
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]

    ports = [free_port() for _ in range(300)]
    for other in others:
        assert other.stdout is not None
        ports += json.loads(other.stdout.readline())
    for other in others:
        other.communicate()

    assert len(set(ports)) == len(ports) == 1_200


def test_a_port_where_somebody_listens_is_not_given() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]

        given = [free_port() for _ in range(99)]

    assert port not in given


def test_a_server_may_listen_on_a_port_again_and_again() -> None:
    port = free_port()

    for _ in range(3):
        with (
            socket.create_server(("127.0.0.1", port)) as server,
            socket.create_connection(("127.0.0.1", port)) as caller,
        ):
            accepted, _ = server.accept()
            accepted.close()
            assert caller.recv(1) == b""

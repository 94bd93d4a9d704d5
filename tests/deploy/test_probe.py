"""The probe of a container: asks the actor in it, and ends as a health check must."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

from tests.architecture.sources import ROOT
from tests.support.ports import free_port


class _Actor(BaseHTTPRequestHandler):
    """Is alive, and not ready."""

    def do_GET(self) -> None:
        """Answer."""
        ready = self.path == "/health/live"
        self.send_response(200 if ready else 503)
        self.end_headers()
        self.wfile.write(b'{"missing":[]}' if ready else b'{"missing":["broker"]}')

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def _actor() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), _Actor)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _probe(path: str, gateway: int, health: int) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, ROOT / "deploy" / "probe.py", path],
        env={"JOBWIRE_PORT": str(gateway), "JOBWIRE_HEALTH__PORT": str(health)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.strip()


def test_a_gateway_is_asked_on_its_own_port() -> None:
    with _actor() as port:
        assert _probe("/health/live", port, free_port()) == (0, '200 {"missing":[]}')


def test_another_actor_is_asked_on_its_health_port() -> None:
    with _actor() as port:
        assert _probe("/health/live", free_port(), port) == (0, '200 {"missing":[]}')


def test_what_is_missing_is_said() -> None:
    with _actor() as port:
        assert _probe("/health/ready", port, port) == (1, '503 {"missing":["broker"]}')


def test_an_actor_that_is_not_there_is_not_well() -> None:
    assert _probe("/health/live", free_port(), free_port()) == (1, "nothing answers")


def test_an_actor_that_does_not_answer_is_not_well() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]

        code, said = _probe("/health/live", port, port)

    assert code == 1
    assert said.startswith(f"no answer on port {port}")

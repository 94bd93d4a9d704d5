"""Prefect's server: state changes of flow runs over HTTP."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError

from benchmarks.peers import postgres
from benchmarks.peers.environments import INSIDE, Environment
from benchmarks.peers.load import generate
from benchmarks.peers.row import Row, quantiles
from tests.support.daemons import Daemon
from tests.support.ports import free_port
from tests.support.servers import await_ready

_CLIENTS: Final = 64
_RUNS: Final = 100
_WARM_UP_S: Final = 2
_TRIES: Final = 20

_RUNNING: Final = {"state": {"type": "RUNNING", "name": "Running", "message": "step 7"}}

#: What the settings of a database mean for a report that was answered.
_MEANING: Final = {
    "PRAGMA synchronous": {
        "0": "nothing is flushed",
        "1": "the log is flushed at checkpoints only: survives a kill, a power cut may lose some",
        "2": "flushed at each commit",
    },
    "SHOW synchronous_commit": {"on": "flushed at each commit", "off": "flushed later"},
}


def measure(seconds: float) -> Iterator[Row]:
    """Measure Prefect with its default database, and with PostgreSQL where that is installed."""
    environment = Environment("prefect")
    yield _measure(environment, "SQLite (default)", {}, seconds)
    if commands := postgres.find():
        with postgres.postgres(commands) as address:
            url = f"postgresql+asyncpg://{address}"
            settings = {"PREFECT_API_DATABASE_CONNECTION_URL": url}
            yield _measure(environment, postgres.version(commands), settings, seconds)
    else:
        print("PostgreSQL is left out: on Debian, apt-get install postgresql", file=sys.stderr)


def _measure(
    environment: Environment, database: str, settings: Mapping[str, str], seconds: float
) -> Row:
    with _server(environment, settings) as (port, variables):
        requests = _requests(port)
        accepted = b'"status":"ACCEPT"'
        asyncio.run(generate(port, requests, accepted, _CLIENTS, _WARM_UP_S))
        before = _look(environment, variables)
        load = asyncio.run(generate(port, requests, accepted, _CLIENTS, seconds))
        after = _look(environment, variables)
    stored = after["states"] - before["states"]
    if stored < load.accepted:
        raise RuntimeError(f"{load.accepted} were accepted, {stored} stored")
    return Row(
        system=f"{environment.version}, {database}",
        durability=_durability(after["settings"]),
        changes_per_s=stored / load.seconds,
        change=quantiles(load.latencies_s),
        refused=load.refused,
    )


@contextmanager
def _server(
    environment: Environment, settings: Mapping[str, str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Run a server in its defaults, its notices to its makers aside; give port and environment."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="jobwire-peers-") as temporary:
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": temporary,
            "PREFECT_HOME": temporary,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            **settings,
        }
        start = (str(environment.command("prefect")), "server", "start", "--port", str(port))
        server = Daemon(start, Path(temporary), variables)
        server.start()
        try:
            await_ready(server, lambda: _is_ready(port))
            yield port, variables
        finally:
            # Its orderly end may take half a minute, and its folder goes with it.
            server.kill()


def _is_ready(port: int) -> bool:
    try:
        _call(port, "GET", "/api/health")
    except OSError:
        return False
    return True


def _call(port: int, method: str, path: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    url = f"http://127.0.0.1:{port}{path}"
    with urllib.request.urlopen(
        urllib.request.Request(url, data, headers, method=method), timeout=10
    ) as answer:
        return json.load(answer)


def _made(port: int, path: str, body: object) -> Any:
    """Make something; give its id. A server whose database is busy says 503: ask again."""
    for _ in range(_TRIES):
        try:
            return _call(port, "POST", path, body)["id"]
        except HTTPError as error:
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
            time.sleep(0.5)
    raise RuntimeError(f"{path} was answered 503 for {_TRIES} times")


def _requests(port: int) -> Iterator[bytes]:
    """Make flow runs; give one state change after the other, to each run in turn."""
    flow = _made(port, "/api/flows/", {"name": "bench"})
    pending = {"flow_id": flow, "state": {"type": "PENDING"}}
    body = json.dumps(_RUNNING).encode()
    requests = [
        b"POST /api/flow_runs/%s/set_state HTTP/1.1\r\nHost: bench\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
        % (_made(port, "/api/flow_runs/", pending).encode(), len(body), body)
        for _ in range(_RUNS)
    ]
    return itertools.cycle(requests)


def _look(environment: Environment, variables: Mapping[str, str]) -> Any:
    """Ask the database itself what it holds and how it is set."""
    look = [environment.command("python"), INSIDE / "database.py"]
    done = subprocess.run(look, env=dict(variables), check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def _durability(settings: Mapping[str, str]) -> str:
    said = ", ".join(f"{query.split()[1]} = {value}" for query, value in settings.items())
    query, value = list(settings.items())[-1]
    return f"{said}: {_MEANING[query].get(value, value)}"

"""The two pairs of bus and store, each as a service in processes of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.support.deadlines import until
from tests.support.fleet import Fleet
from tests.support.given import empty, given_broker, given_database, with_database
from tests.support.leftovers import end_jobs
from tests.support.mongodb import drop_database, new_database
from tests.support.ports import free_port

_ROOT: Final = Path(__file__).parents[2]
EMBEDDED: Final = "embedded bus and SQLite"
SERVERS: Final = "RabbitMQ and MongoDB"
#: Both pairs, as parameters of a fixture.
PAIRS: Final = (EMBEDDED, pytest.param(SERVERS, marks=pytest.mark.servers))
#: Longest time for a start on a machine that is busy.
_START_S: Final = 90.0


def serving_pair(
    request: pytest.FixtureRequest, data: Path, settings: dict[str, str]
) -> AbstractAsyncContextManager[tuple[str, str]]:
    """Run the pair that a fixture was asked for; gives the URL and the first API key."""
    if request.param == EMBEDDED:
        return one_process(data, settings)
    return fleet(data, settings, *servers(request))


@asynccontextmanager
async def one_process(data: Path, settings: dict[str, str]) -> AsyncIterator[tuple[str, str]]:
    """Run everything in one process, as `jobwire up` does."""
    port = free_port()
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT), **settings}
    command = (sys.executable, "-m", "jobwire.actors.cli.main", "up", "--data", str(data))
    process = await asyncio.create_subprocess_exec(
        *command, "--port", str(port), env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await until(lambda: process.returncode is not None or _is_up(data), _START_S)
        yield f"http://127.0.0.1:{port}", (data / "api-key").read_text().strip()
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        end_jobs(data)


def _is_up(data: Path) -> bool:
    return (data / "service.json").exists()


@asynccontextmanager
async def fleet(
    data: Path, settings: dict[str, str], broker: str, database: str
) -> AsyncIterator[tuple[str, str]]:
    """Run each actor in a process of its own, as `jobwire serve` does."""
    members = Fleet(data, broker, database, settings)
    try:
        await members.start()
        yield members.url, members.api_key
        codes = await asyncio.gather(*(each.stop() for each in members.members.values()))
        assert set(codes) == {0}
    finally:
        await members.close()


def servers(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Return the URLs of an empty virtual host and of an empty database."""
    if broker := given_broker():
        empty(broker)
    else:
        broker = request.getfixturevalue("rabbit").vhost()
    if given := given_database():
        database = with_database(given, new_database())
    else:
        database = request.getfixturevalue("mongo").database()
    request.addfinalizer(lambda: drop_database(database))
    return broker, database

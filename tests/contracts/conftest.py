"""Every implementation of each family: a new one is one line here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from _pytest.mark import ParameterSet

from jobwire.actors.batch_systems.base import BatchSystem
from jobwire.actors.batch_systems.local import LocalBatch
from jobwire.actors.filesystems.base import FileSystem
from jobwire.actors.filesystems.file import FileTree
from jobwire.actors.hosts.base import Host
from jobwire.actors.hosts.local import LocalHost
from jobwire.actors.runtime.settings import SiteSettings
from jobwire.actors.stores.base import Store
from jobwire.actors.stores.mongodb import MongoStore
from jobwire.actors.stores.mongodb.client import Driver
from jobwire.actors.stores.sqlite import SqliteStore
from jobwire.actors.transports.base import Transport
from jobwire.actors.transports.embedded import EmbeddedTransport
from jobwire.actors.transports.rabbitmq import RabbitTransport
from tests.support.queue_batch import Queue, QueueBatch


def _embedded(_: pytest.FixtureRequest) -> Transport:
    return EmbeddedTransport()


def _rabbitmq(request: pytest.FixtureRequest) -> Transport:
    return RabbitTransport(request.getfixturevalue("broker_url"), "contract")


TRANSPORTS: Final[dict[str, Callable[[pytest.FixtureRequest], Transport]]] = {
    "embedded": _embedded,
    "rabbitmq": _rabbitmq,
}


def _sqlite(request: pytest.FixtureRequest) -> Store:
    folder: Path = request.getfixturevalue("tmp_path")
    return SqliteStore(folder / "jobwire.db")


def _mongodb(request: pytest.FixtureRequest, driver: Driver) -> Store:
    return MongoStore(request.getfixturevalue("database_url"), shards=4, driver=driver)


STORES: Final[dict[str, Callable[[pytest.FixtureRequest], Store]]] = {
    "sqlite": _sqlite,
    "mongodb": partial(_mongodb, driver="motor"),
    "mongodb by pymongo": partial(_mongodb, driver="pymongo"),
}

HOSTS: Final[dict[str, type[Host]]] = {
    "local": LocalHost,
}

BATCH_SYSTEMS: Final[dict[str, Callable[[], BatchSystem]]] = {
    "local": LocalBatch,
    "queue": QueueBatch,
}
#: What lets start what waits, of a batch system that has a queue.
QUEUES: Final[dict[str, Callable[[Path], None]]] = {
    "queue": lambda folder: Queue(folder).start(),
}

FILE_SYSTEMS: Final[dict[str, Callable[[Path], FileSystem]]] = {
    "file": FileTree,
}


def _marked(kinds: Iterable[str], server: str) -> list[ParameterSet | str]:
    """Mark those of a family that need a real server."""
    return [
        pytest.param(kind, marks=pytest.mark.servers) if kind.startswith(server) else kind
        for kind in kinds
    ]


@pytest.fixture(params=FILE_SYSTEMS)
def files(request: pytest.FixtureRequest, tmp_path: Path) -> FileSystem:
    """Return each kind of file system in turn, of the directory `tree`."""
    return FILE_SYSTEMS[request.param](tmp_path / "tree")


@pytest.fixture(params=HOSTS)
def make_host(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Host]:
    """Return each kind of host in turn, with its folder in `host`."""
    return lambda: HOSTS[request.param].of(SiteSettings(name="host"), tmp_path / "host")


@pytest.fixture(params=BATCH_SYSTEMS)
def batch(request: pytest.FixtureRequest) -> BatchSystem:
    """Return each kind of batch system in turn."""
    return BATCH_SYSTEMS[request.param]()


@pytest.fixture
def start_queue(batch: BatchSystem) -> Callable[[Path], None]:
    """Return what lets start what waits in the queue of the batch system."""
    by_kind = {type(make()): QUEUES.get(kind) for kind, make in BATCH_SYSTEMS.items()}
    return by_kind[type(batch)] or (lambda _: None)


@pytest.fixture(params=_marked(TRANSPORTS, "rabbitmq"))
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    """Yield an open transport of each kind."""
    opened = TRANSPORTS[request.param](request)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture(params=_marked(STORES, "mongodb"))
def make_store(request: pytest.FixtureRequest) -> Callable[[], Store]:
    """Return each kind of store in turn; every call makes one over the same data."""
    return lambda: STORES[request.param](request)


@pytest.fixture
async def store(make_store: Callable[[], Store]) -> AsyncIterator[Store]:
    """Yield an open, empty store of each kind."""
    opened = make_store()
    await opened.open()
    yield opened
    await opened.close()

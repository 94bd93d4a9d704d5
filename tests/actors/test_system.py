"""A process that begins: what it does before it is certain that it may, and when it may not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jobwire.actors.cli.secrets import make_installation
from jobwire.actors.cli.service_process import ServiceProcess
from jobwire.actors.runtime.folder import DataFolder
from jobwire.actors.runtime.settings import Broker, Database, Settings
from jobwire.actors.stores.mongodb import MongoStore
from jobwire.actors.system import System
from jobwire.actors.system.bootstrap import fix_shards
from jobwire.schemas.errors import Misconfigured, Unavailable
from tests.support.deadlines import PATIENCE_S, until
from tests.support.factories import make_event

_SHARDS = 4


@pytest.fixture
async def made_with_four(database_url: str) -> str:
    """Return a database that belongs to an installation of four shards."""
    store = MongoStore(database_url, shards=_SHARDS)
    await store.open()
    await fix_shards(store, _SHARDS)
    await store.close()
    return database_url


@pytest.fixture
async def folder(tmp_path: Path) -> DataFolder:
    """Return a folder with the secrets of an installation."""
    make_installation(tmp_path)
    return DataFolder(tmp_path)


def _settings(broker: str, database: str, shards: int) -> Settings:
    return Settings(
        port=0, shards=shards, broker=Broker(url=broker), database=Database(url=database)
    )


@pytest.fixture
async def gateway(
    broker_url: str, made_with_four: str, folder: DataFolder
) -> AsyncIterator[System]:
    """Yield a gateway that was started with another number of shards."""
    system = System(_settings(broker_url, made_with_four, 3), folder, ["gateway"])
    await system.start()
    yield system
    await system.stop()


async def test_a_gateway_with_a_wrong_number_of_shards_fails_and_takes_no_event(
    gateway: System,
) -> None:
    with pytest.raises(Misconfigured, match=r"shards = 4, the settings have 3"):
        await asyncio.wait_for(gateway.fails(), PATIENCE_S)

    with pytest.raises(Unavailable) as caught:
        await gateway._container.packer.put(make_event())
    assert caught.value.retry_after_s


async def test_events_are_refused_while_it_is_not_known_that_the_number_is_right(
    broker_url: str, folder: DataFolder
) -> None:
    nowhere = "mongodb://127.0.0.1:9/jobs?replicaSet=rs0"
    system = System(_settings(broker_url, nowhere, 3), folder, ["gateway"])
    await system.start()
    await until(lambda: system._container.transport.not_ready() is None)

    with pytest.raises(Unavailable) as caught:
        await system._container.packer.put(make_event())
    await system.stop()

    assert caught.value.retry_after_s


async def test_a_life_ends_with_the_reason_when_its_system_fails(
    broker_url: str, made_with_four: str, folder: DataFolder
) -> None:
    announced: list[System] = []
    settings = _settings(broker_url, made_with_four, 3)
    life = ServiceProcess(settings, folder, announced.append, ["gateway"])

    with pytest.raises(Misconfigured, match="the settings have 3"):
        await asyncio.wait_for(life.live(), PATIENCE_S)

    assert len(announced) == 1

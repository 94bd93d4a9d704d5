"""Releases side by side: what an older process does with what only a newer one understands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest

from jobwire.actors import lifecycle_registry
from jobwire.actors.lifecycle_registry import (
    LIFECYCLES,
    LifecycleRegistry,
    table_key,
)
from jobwire.actors.roles import shard_assignment
from jobwire.actors.roles.live_levels import LiveLevels
from jobwire.actors.runtime.telemetry import Telemetry
from jobwire.actors.state_manager import commit_publisher
from jobwire.actors.state_manager.actor import StateManager
from jobwire.actors.state_manager.batch import Settler
from jobwire.actors.state_manager.commit_publisher import publish_awaited
from jobwire.actors.stores.base import Record, Store
from jobwire.actors.stores.sqlite import SqliteStore
from jobwire.actors.transports.base import BusMessage
from jobwire.actors.transports.embedded import EmbeddedTransport
from jobwire.actors.transports.rabbitmq import RabbitTransport
from jobwire.schemas.codec import encode_packet
from jobwire.schemas.commands import Outstanding
from jobwire.schemas.errors import Upgrading
from jobwire.schemas.events import PACKET_VERSION, Event, Packet
from jobwire.schemas.identifiers import EventId
from jobwire.schemas.invocations import Argv
from jobwire.schemas.jobs import Job
from jobwire.schemas.lifecycle import Lifecycle
from jobwire.schemas.outcomes import Reason
from jobwire.schemas.releases import FIRST_LEVEL, LEVEL, holder_name
from tests.support.bus import serving_bus
from tests.support.deadlines import until
from tests.support.factories import (
    KEYRING,
    NOW,
    OWNER,
    job_id,
    make_create,
    make_creation,
    make_event,
    make_job,
    make_lifecycle,
)
from tests.support.log_lines import log_lines

_NEWER = f"newer.1.ab~{LEVEL + 1}"
_OLD = "old.1.ab12cd"


# --- levels ---------------------------------------------------------------------------------------


async def _claim(store: Store, *holders: str) -> None:
    for holder in holders:
        await store.claim(shard_assignment.STATE_MANAGERS + holder, holder, 60)


@pytest.mark.parametrize(
    ("holders", "lowest", "has_newer"),
    [
        ([], FIRST_LEVEL, False),
        ([holder_name("a")], LEVEL, False),
        ([holder_name("a"), _OLD], FIRST_LEVEL, False),
        ([holder_name("a"), _NEWER], LEVEL, True),
        ([_NEWER, _OLD], FIRST_LEVEL, True),
    ],
    ids=["nobody", "this release", "with an old one", "with a newer one", "old and newer"],
)
async def test_levels_are_those_of_the_state_managers_that_are_alive(
    store: SqliteStore, holders: list[str], lowest: int, has_newer: bool
) -> None:
    await _claim(store, *holders)
    await store.claim("submitter.local", "another.1.ab~9", 60)

    levels = LiveLevels(store, is_shared=True)

    assert await levels.lowest() == lowest
    assert await levels.has_newer() is has_newer


async def test_who_shares_a_store_with_nobody_is_of_its_own_level(store: SqliteStore) -> None:
    levels = LiveLevels(store, is_shared=False)

    assert await levels.lowest() == LEVEL
    assert not await levels.has_newer()
    await levels.require(LEVEL, "it")


async def test_a_level_that_one_has_not_is_refused_until_that_one_is_gone(
    store: SqliteStore,
) -> None:
    levels = LiveLevels(store, is_shared=True)
    await _claim(store, holder_name("a"), _OLD)
    await levels.require(FIRST_LEVEL, "it")

    with pytest.raises(Upgrading) as caught:
        await levels.require(LEVEL, "the spec")
    await store.release(shard_assignment.STATE_MANAGERS + _OLD, _OLD)
    await levels.require(LEVEL, "the spec")

    assert (caught.value.code, caught.value.retry_after_s) == ("upgrading", 10)
    assert "the spec needs level 2, and a state manager of level 1" in caught.value.detail


async def test_a_gateway_answers_upgrading_to_what_an_older_release_cannot_read(
    broker_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Argv, "level", LEVEL)  # as a later member of the union will have it
    asked = {"spec": {"argv": ["true"]}, "hold": True}
    async with serving_bus(broker_url, tmp_path) as service:
        await _claim(service.parts.store, holder_name("new"), _OLD)

        wrong = await service.admin.post("/v1/jobs", json={"spec": {"argv": [""]}})
        refused = await service.admin.post("/v1/jobs", json=asked)
        plain = await service.admin.post("/v1/jobs", json={})
        await service.parts.store.release(shard_assignment.STATE_MANAGERS + _OLD, _OLD)
        made = await service.admin.post("/v1/jobs", json=asked)

    assert wrong.status == 422
    assert (refused.status, refused.json["code"]) == (503, "upgrading")
    assert refused.headers["Retry-After"] == "10"
    assert (plain.status, made.status) == (201, 201)


# --- what only a newer state manager can settle ---------------------------------------------------


class _NewerTables(LifecycleRegistry):
    """The tables of a release that has one more."""

    async def get(self, owner: str, name: str, version: int) -> Lifecycle | None:
        """Return the new one, or one of the others."""
        if name == "future":
            return make_lifecycle(name="future")
        return await super().get(owner, name, version)


class _BrokenTables(LifecycleRegistry):
    """Tables that fail, as an entry of a newer release may make the store fail."""

    async def of(self, job: Job | None, event: Event) -> Lifecycle | None:
        del job, event
        raise RuntimeError


class Manager:
    """A state manager of some release, on a shared store and broker."""

    def __init__(
        self, store: Store, url: str, holder: str, tables: type[LifecycleRegistry]
    ) -> None:
        """Make one whose leases have a name."""
        self.bus = RabbitTransport(url, holder)
        levels = LiveLevels(store, is_shared=True)
        settler = Settler(store, KEYRING, tables(store), 1_000, levels)
        self.actor = StateManager(
            transport=self.bus,
            store=store,
            settler=settler,
            telemetry=Telemetry(),
            shards=2,
            holder=holder,
        )

    async def start(self) -> None:
        """Connect, and take part."""
        await self.bus.open()
        await self.actor.start()

    async def stop(self) -> None:
        """Release the shards."""
        await self.actor.stop()
        await self.bus.close()

    @property
    def shards(self) -> set[int]:
        """The shards that are consumed."""
        return set(self.actor._assignment.shards)


@pytest.fixture(name="_quick")
def _quick_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_assignment, "RENEW_S", 0.1)
    monkeypatch.setattr(shard_assignment, "LEASE_S", 0.6)


@pytest.fixture
async def managers(
    store: SqliteStore, broker_url: str, _quick: None
) -> AsyncIterator[tuple[Manager, Manager]]:
    """Yield a state manager of this release, which runs, and one of a newer release."""
    older = Manager(store, broker_url, holder_name("older"), LifecycleRegistry)
    newer = Manager(store, broker_url, _NEWER, _NewerTables)
    await older.start()
    await until(lambda: older.shards == {0, 1})
    yield older, newer
    await older.stop()
    await newer.stop()


def _future() -> Event:
    return make_create(creation=make_creation(lifecycle="future"))


async def _send(bus: RabbitTransport, *events: Event, version: int = PACKET_VERSION) -> None:
    for shard in range(2):  # the older one has one of them
        await bus.send(f"events.{shard}", [encode_packet(Packet(version, events))])


async def _is_stored(store: Store) -> bool:
    return await store.get(OWNER, job_id(2)) is not None


async def _is_refused(store: Store) -> bool:
    return bool(await store.refusals(OWNER, 0, 9))


async def test_a_lifecycle_that_nobody_knows_is_refused(
    store: SqliteStore, managers: tuple[Manager, Manager]
) -> None:
    older, _ = managers

    await _send(older.bus, _future())
    await until(lambda: _is_refused(store))

    (refusal,) = await store.refusals(OWNER, 0, 9)
    assert refusal.reason == Reason.UNKNOWN_LIFECYCLE
    assert older.shards == {0, 1}


async def test_a_lifecycle_that_a_newer_one_knows_is_left_to_it_with_its_shard(
    store: SqliteStore, managers: tuple[Manager, Manager]
) -> None:
    older, newer = managers
    await newer.start()
    await until(lambda: len(older.shards) == len(newer.shards) == 1)

    await _send(older.bus, _future(), make_create(job=job_id(2)))
    await until(lambda: newer.shards == {0, 1})
    await until(lambda: _is_stored(store))

    job = await store.get(OWNER, job_id())
    assert job is not None
    assert job.state == "OPEN"
    assert await store.refusals(OWNER, 0, 9) == []
    await until(lambda: not older.shards)


async def test_a_shard_that_was_left_is_taken_again_when_the_newer_one_is_gone(
    store: SqliteStore, managers: tuple[Manager, Manager]
) -> None:
    older, newer = managers
    await newer.start()
    await _send(older.bus, _future())
    await until(lambda: not older.shards)

    await newer.stop()
    await until(lambda: older.shards == {0, 1})
    await _send(older.bus, make_create(job=job_id(2)))
    await until(lambda: _is_stored(store))


async def test_a_packet_that_only_a_newer_one_can_read_stays_in_its_queue(
    store: SqliteStore, managers: tuple[Manager, Manager], broker_url: str
) -> None:
    older, _ = managers
    await _claim(store, _NEWER)
    read: list[bytes] = []

    async def take(deliveries: Sequence[BusMessage]) -> None:
        read.extend(each.body for each in deliveries)

    await _send(older.bus, make_event("run"), version=PACKET_VERSION + 1)
    await until(lambda: not older.shards)
    bus = RabbitTransport(broker_url, "reader")
    await bus.open()
    consumers = [await bus.consume(f"events.{shard}", take) for shard in range(2)]
    await until(lambda: len(read) == 2)

    for consumer in consumers:
        await consumer.close()
    await bus.close()
    assert await store.refusals(OWNER, 0, 9) == []


async def test_what_fails_here_is_no_poison_while_a_newer_one_is_alive(store: SqliteStore) -> None:
    settler = Settler(
        store, KEYRING, _BrokenTables(store), 1_000, LiveLevels(store, is_shared=True)
    )
    event = make_create()
    await _claim(store, _NEWER)

    with pytest.raises(Upgrading):
        await settler.set_aside(event)
    await store.release(shard_assignment.STATE_MANAGERS + _NEWER, _NEWER)
    await settler.set_aside(event)

    (refusal,) = await store.refusals(OWNER, 0, 9)
    assert refusal.reason == Reason.POISON


async def test_a_table_that_a_newer_release_has_written_counts_as_not_there(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = msgspec.to_builtins(make_lifecycle(name="mine"))
    table["states"]["OPEN"]["category"] = "dreaming"
    record = Record(OWNER, table_key("mine", 1), msgspec.json.encode(table))
    await store.put(LIFECYCLES, record)

    with log_lines(lifecycle_registry, monkeypatch) as lines:
        found = await LifecycleRegistry(store).get(OWNER, "mine", 1)

    assert found is None
    assert [line["event"] for line in lines] == ["lifecycle_not_read"]


# --- commands -------------------------------------------------------------------------------------


async def test_a_command_that_only_another_release_knows_is_not_published_and_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    transport = EmbeddedTransport()
    await transport.open()
    job = make_job(outstanding=Outstanding(EventId("e"), "Conduct", 1, NOW))

    with log_lines(commit_publisher, monkeypatch) as lines:
        await publish_awaited(transport, Telemetry(), [job])
    await asyncio.wait_for(transport.close(), 5)

    assert lines == [
        {"event": "command_left", "job_id": job.id, "kind": "Conduct", "log_level": "warning"}
    ]

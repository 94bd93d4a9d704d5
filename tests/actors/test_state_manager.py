"""The actor: from its queues to the store, and what it tells afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from msgspec.structs import replace

from jobwire.actors.lifecycle_registry import LifecycleRegistry
from jobwire.actors.runtime import failpoints
from jobwire.actors.runtime.telemetry import Telemetry
from jobwire.actors.state_manager.actor import BATCH_EVENTS, StateManager
from jobwire.actors.state_manager.batch import Settler
from jobwire.actors.state_manager.commit_publisher import publish_awaited
from jobwire.actors.stores.base import Commit, Committed, Positioned
from jobwire.actors.stores.sqlite import SqliteStore
from jobwire.actors.transports.base import BusMessage
from jobwire.actors.transports.embedded import EmbeddedTransport
from jobwire.schemas.addresses import ENTRIES
from jobwire.schemas.codec import encode_packet
from jobwire.schemas.commands import Command, CommandKind, Outstanding
from jobwire.schemas.errors import InDoubt, Unavailable
from jobwire.schemas.events import PACKET_VERSION, Event, Packet
from jobwire.schemas.identifiers import EventId, JobId
from jobwire.schemas.jobs import Job
from jobwire.schemas.lifecycle import Lifecycle
from jobwire.schemas.outcomes import Outcome, Reason
from tests.support.deadlines import PATIENCE_S, turns, until
from tests.support.factories import (
    KEYRING,
    OWNER,
    after,
    job_id,
    make_create,
    make_creation,
    make_event,
    make_job,
    make_plan,
    make_signed,
)

_SHARDS = 3


class _BrokenTables(LifecycleRegistry):
    """Tables that fail for events of one name, as a fault of the service would."""

    async def of(self, job: Job | None, event: Event) -> Lifecycle | None:
        if event.name == "poison":
            message = "a fault"
            raise RuntimeError(message)
        return await super().of(job, event)


class GatedStore(SqliteStore):
    """A store whose commits wait while its gate is closed."""

    def __init__(self, path: Path) -> None:
        """Open the gate."""
        super().__init__(path)
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Unavailable | None = None

    async def commit(self, commit: Commit) -> Committed:
        """Wait for the gate, then write, or fail."""
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return await super().commit(commit)


class Ring(NamedTuple):
    """A state manager with everything round it."""

    store: GatedStore
    transport: EmbeddedTransport
    manager: StateManager
    telemetry: Telemetry
    heard: list[tuple[str, bytes]]

    async def send(self, *events: Event, shard: int = 0) -> None:
        """Send one packet, and return when it is committed."""
        packet = encode_packet(Packet(PACKET_VERSION, events))
        await self.transport.send(f"events.{shard}", [packet])

    async def history(self, number: int = 1) -> list[str]:
        """Return the ids of a job's entries."""
        return [e.id for e in await self.store.history(OWNER, job_id(number), 0, 10_000)]

    def metric(self, name: str, **labels: str) -> float:
        """Return the value of a metric."""
        return self.telemetry.registry.get_sample_value(f"jobwire_{name}", labels) or 0.0


@pytest.fixture
async def ring(tmp_path: Path) -> AsyncIterator[Ring]:
    """Yield a running state manager."""
    store = GatedStore(tmp_path / "jobwire.db")
    await store.open()
    transport, telemetry = EmbeddedTransport(), Telemetry()
    heard: list[tuple[str, bytes]] = []
    settler = Settler(store, KEYRING, _BrokenTables(store), 10_000)
    manager = StateManager(
        transport=transport, store=store, settler=settler, telemetry=telemetry, shards=_SHARDS
    )
    await transport.open()
    for topic in (ENTRIES, "replies.*"):
        await transport.listen(topic, lambda name, body: heard.append((name, body)))
    await manager.start()
    yield Ring(store, transport, manager, telemetry, heard)
    async with asyncio.timeout(PATIENCE_S):
        await transport.close()
        await manager.stop()
        await store.close()


async def test_a_packet_is_confirmed_when_its_events_are_in_the_store(ring: Ring) -> None:
    await ring.send(make_create(), make_event("run"))

    assert await ring.history() == ["create", "run-1"]


async def test_who_waits_no_more_for_a_delivery_takes_no_neighbour_with_it(ring: Ring) -> None:
    ring.store.gate.clear()
    first = asyncio.create_task(ring.send(make_create()))
    await turns()
    packet = encode_packet(Packet(PACKET_VERSION, (make_event("run"),)))
    dropped = asyncio.create_task(ring.manager._take("events.0", [BusMessage(packet)]))
    await turns()
    neighbour = asyncio.create_task(ring.send(make_create(job=job_id(2)), shard=1))
    await turns()
    dropped.cancel()
    await asyncio.wait([dropped])

    ring.store.gate.set()
    await asyncio.wait_for(asyncio.gather(first, neighbour), PATIENCE_S)

    assert await ring.history(1) == ["create", "run-1"]
    assert await ring.history(2) == ["create"]
    assert ring.manager.not_ready() is None


async def test_a_delivery_that_nobody_waits_for_any_more_may_fail(ring: Ring) -> None:
    ring.store.gate.clear()
    packet = encode_packet(Packet(PACKET_VERSION, (make_create(),)))
    dropped = asyncio.create_task(ring.manager._take("events.0", [BusMessage(packet)]))
    await turns()
    dropped.cancel()
    await asyncio.wait([dropped])
    ring.store.error = Unavailable("the store is away")

    ring.store.gate.set()
    await turns(50)

    assert ring.manager.not_ready() is None


async def test_every_shard_is_served(ring: Ring) -> None:
    await ring.send(make_create(), shard=0)
    await ring.send(make_create(job=job_id(2)), shard=1)

    assert await ring.history(1) == ["create"]
    assert await ring.history(2) == ["create"]


async def test_packets_sent_at_once_are_settled_together_and_in_order(ring: Ring) -> None:
    await ring.send(make_create())
    updates = [make_event("update", event_id=f"u-{number}") for number in range(30)]

    await asyncio.gather(*(ring.send(event) for event in updates))

    assert await ring.history() == ["create", *(event.id for event in updates)]
    assert ring.metric("batch_events_count") < 31


async def test_a_large_backlog_is_cut_into_batches(ring: Ring) -> None:
    jobs = [job_id(number) for number in range(1, _SHARDS + 1)]
    await ring.send(*(make_create(job=job) for job in jobs))
    ring.store.gate.clear()
    in_hand = asyncio.create_task(ring.send(make_event("run", job=jobs[0])))
    await turns()

    backlog = [
        asyncio.create_task(ring.send(*_updates(job, BATCH_EVENTS), shard=shard))
        for shard, job in enumerate(jobs[1:], 1)
    ]
    await turns()
    ring.store.gate.set()
    await asyncio.gather(in_hand, *backlog)

    assert ring.metric("batch_events_count") == 2 + len(backlog)
    assert ring.metric("batch_events_bucket", le="1000.0") == 2 + len(backlog)
    for number in range(2, _SHARDS + 1):
        assert len(await ring.history(number)) == 1 + BATCH_EVENTS


def _updates(job: JobId, count: int) -> list[Event]:
    return [make_event("update", job=job, event_id=f"u-{number}") for number in range(count)]


async def test_the_entries_of_a_batch_are_broadcast_with_their_places(ring: Ring) -> None:
    await ring.send(make_create(), make_event("run"))
    await until(lambda: len(ring.heard) == 1)

    ((topic, body),) = ring.heard
    page, _ = await ring.store.since(OWNER, (), 9)
    assert topic == ENTRIES
    assert msgspec.msgpack.decode(body, type=list[Positioned]) == page


async def test_a_batch_without_a_new_entry_is_not_broadcast(ring: Ring) -> None:
    await ring.send(make_create())
    await until(lambda: len(ring.heard) == 1)

    await ring.send(make_create())
    await turns()

    assert len(ring.heard) == 1


async def test_who_waits_for_an_event_is_told_its_outcome_also_when_it_is_repeated(
    ring: Ring,
) -> None:
    run = replace(make_event("run"), reply="replies.a")
    await ring.send(make_create())

    await ring.send(run)
    await ring.send(run)
    await until(lambda: len([1 for topic, _ in ring.heard if topic == "replies.a"]) == 2)

    outcomes = [
        msgspec.msgpack.decode(body, type=Outcome)
        for topic, body in ring.heard
        if topic == "replies.a"
    ]
    assert [(o.verdict, o.seq, o.duplicate) for o in outcomes] == [
        ("applied", 2, False),
        ("applied", 2, True),
    ]


async def test_an_awaited_command_is_published_after_the_commit(ring: Ring) -> None:
    commands: list[bytes] = []

    async def work(deliveries: object) -> None:
        assert isinstance(deliveries, list)
        commands.extend(delivery.body for delivery in deliveries)

    await ring.transport.consume("commands.site.local", work)
    create = make_create(creation=make_creation(lifecycle="execution", plan=make_plan()))

    await ring.send(create)
    await until(lambda: len(commands) == 1)

    command = msgspec.msgpack.decode(commands[0], type=Command)
    assert command == Command(job_id(), create.id, "Submit", 1, owner=OWNER, since=create.received)
    assert ring.metric("commands_sent_total", kind="Submit") == 1


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "among others"])
async def test_a_poisonous_event_is_set_aside_and_its_neighbours_are_stored(
    ring: Ring, alone: bool
) -> None:
    await ring.send(make_create(), make_create(job=job_id(2)))
    poison = make_event("poison", reply="replies.a")
    others = [] if alone else [make_event("run"), make_event("run", job=job_id(2))]

    await ring.send(poison, *others, make_event("update"))

    refused = await ring.store.refusals(OWNER, 0, 9)
    assert [(r.event, r.reason) for r in refused] == [("poison-1", Reason.POISON)]
    names = ["create", *(["run-1"] if others else []), "update-1"]
    assert await ring.history() == names
    assert await ring.history(2) == ["create", *(["run-1"] if others else [])]


async def test_who_waits_for_a_poisonous_event_is_told(ring: Ring) -> None:
    await ring.send(make_create())

    await ring.send(make_event("poison", reply="replies.a"))
    await until(lambda: any(topic == "replies.a" for topic, _ in ring.heard))

    (body,) = [body for topic, body in ring.heard if topic == "replies.a"]
    outcome = msgspec.msgpack.decode(body, type=Outcome)
    assert (outcome.verdict, outcome.reason) == ("refused", Reason.POISON)


async def test_a_batch_that_the_store_cannot_take_is_refused_and_the_next_one_is_taken(
    ring: Ring,
) -> None:
    def full() -> None:
        raise Unavailable

    failpoints.arm("store.before_insert", full)
    with pytest.raises(Unavailable):
        await ring.send(make_create(), make_event("run"))
    with pytest.raises(Unavailable):
        await ring.send(make_create(), make_event("poison"))
    failpoints.disarm()

    await ring.send(make_create(), make_event("run"))

    assert await ring.history() == ["create", "run-1"]


async def test_who_sent_what_was_stored_before_a_fault_is_not_told_that_it_was_not(
    ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_topic: str, _message: bytes) -> None:
        message = "a fault"
        raise RuntimeError(message)

    monkeypatch.setattr(ring.transport, "broadcast", fail)
    with pytest.raises(InDoubt):
        await ring.send(make_create())
    monkeypatch.undo()

    assert await ring.history() == ["create"]
    await until(lambda: ring.manager.not_ready() is None)


async def test_a_store_that_fails_while_a_batch_is_taken_apart_is_no_poison(ring: Ring) -> None:
    await ring.send(make_create())

    def full() -> None:
        raise Unavailable

    failpoints.arm("store.after_insert", full)
    with pytest.raises(Unavailable):
        await ring.send(make_event("update"), make_event("poison"))
    failpoints.disarm()
    await ring.send(make_event("update"), make_event("poison"))

    assert await ring.history() == ["create", "update-1"]
    assert [r.event for r in await ring.store.refusals(OWNER, 0, 9)] == ["poison-1"]


async def test_a_packet_that_cannot_be_read_stops_no_shard(ring: Ring) -> None:
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(Unavailable):
            await ring.transport.send("events.0", [b"no packet"])
        await ring.send(make_create())
        await ring.send(make_create(job=job_id(2)), shard=1)

    assert await ring.history() == ["create"]
    assert await ring.history(2) == ["create"]


async def test_events_are_counted_by_what_became_of_them(ring: Ring) -> None:
    await ring.send(make_create())
    await ring.send(make_event("run", data=b"1"), make_event("ready"))
    await ring.send(make_event("run", data=b"1"), make_event("run", job=job_id(9)))
    await ring.send(make_event("run", data=b"2"))

    assert ring.metric("events_stored_total", applied="true") == 2
    assert ring.metric("events_stored_total", applied="false") == 1
    assert ring.metric("events_duplicate_total") == 2
    assert ring.metric("events_conflict_total") == 1
    assert ring.metric("events_refused_total", reason="unknown_job") == 1


async def test_it_says_when_it_cannot_work(ring: Ring) -> None:
    idle = StateManager(
        transport=ring.transport,
        store=ring.store,
        settler=Settler(ring.store, KEYRING, LifecycleRegistry(ring.store), 10),
        telemetry=Telemetry(),
        shards=0,
    )
    before = idle.not_ready()
    await idle.start()
    running = idle.not_ready()
    await idle.stop()
    await idle.stop()

    assert (before, running, idle.not_ready()) == ("state manager", None, "state manager")


async def test_a_deletion_is_settled_like_every_other_event(ring: Ring) -> None:
    await ring.send(make_create(), make_signed("delete", data=b'{"force":true}'))

    assert await ring.store.get(OWNER, job_id()) is None


async def test_for_a_job_that_awaits_nothing_no_command_is_published(ring: Ring) -> None:
    await publish_awaited(ring.transport, ring.telemetry, [make_job()])

    assert ring.metric("commands_sent_total", kind="Submit") == 0


async def test_a_queue_that_refuses_commands_keeps_none_from_the_others(ring: Ring) -> None:
    await ring.transport.send("commands.stager", [b"x"] * 10_000)
    got: list[BusMessage] = []

    async def take(deliveries: Sequence[BusMessage]) -> None:
        got.extend(deliveries)

    await ring.transport.consume("commands.site.local", take)
    kinds: Sequence[CommandKind] = ("StageIn", "Submit")
    jobs = [
        make_job(id=job_id(n), outstanding=Outstanding(EventId("e"), kind, 1, after(0)))
        for n, kind in enumerate(kinds, 1)
    ]

    with pytest.raises(Unavailable):
        await publish_awaited(ring.transport, ring.telemetry, jobs)
    await until(lambda: len(got) == 1)


async def test_a_bus_that_takes_no_command_stops_no_commit(ring: Ring) -> None:
    await ring.transport.send("commands.site.local", [b"x"] * 10_000)
    creation = make_creation(lifecycle="execution", plan=make_plan())

    async with asyncio.timeout(PATIENCE_S):
        await ring.send(make_create(creation=creation, reply="replies.a"))
    await until(lambda: any(topic == "replies.a" for topic, _ in ring.heard))

    assert await ring.history() == ["create"]
    assert [each.job.id for each in await ring.store.outstanding(after(60), None, 9)] == [job_id()]

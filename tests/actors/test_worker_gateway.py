"""What a worker may ask, against a real ring."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from jobwire.actors.lifecycle_registry import LifecycleRegistry
from jobwire.actors.messaging.replies import ReplyInbox
from jobwire.actors.operations.events import Events
from jobwire.actors.runtime.telemetry import Telemetry
from jobwire.actors.state_manager.actor import StateManager
from jobwire.actors.state_manager.batch import Settler
from jobwire.actors.stores.base import Commit
from jobwire.actors.stores.sqlite import SqliteStore
from jobwire.actors.transports.embedded import EmbeddedTransport
from jobwire.actors.workers import command_consumer
from jobwire.actors.workers.command_consumer import CommandConsumer
from jobwire.actors.workers.store_gateway import StoreWorkerGateway
from jobwire.schemas.codec import encode_packet
from jobwire.schemas.commands import Command, Outstanding
from jobwire.schemas.errors import Unavailable
from jobwire.schemas.events import PACKET_VERSION, Event, Packet
from jobwire.schemas.identifiers import EventId
from jobwire.schemas.jobs import Job
from jobwire.schemas.reports import Running, Submitting
from jobwire.schemas.specs import Spec
from tests.support.deadlines import PATIENCE_S, until
from tests.support.factories import (
    KEYRING,
    NOW,
    OWNER,
    after,
    job_id,
    make_create,
    make_creation,
    make_plan,
    make_signed,
)
from tests.support.log_lines import log_lines
from tests.support.packing import packing

_SPEC = Spec(argv=("true",))


class Ring:
    """A ring with one job of a worker, and a bus that can be away."""

    def __init__(self, folder: Path) -> None:
        """Make the parts."""
        self.store = SqliteStore(folder / "jobwire.db")
        self.transport = EmbeddedTransport()
        self.now: datetime = NOW
        self.is_away = False
        packer = packing(self._send)
        self.replies = ReplyInbox()
        self.events = Events(
            packer=packer,
            replies=self.replies,
            keyring=KEYRING,
            clock=lambda: self.now,
            data_bytes=65_536,
        )
        self.gateway = StoreWorkerGateway(
            store=self.store, events=self.events, keyring=KEYRING, clock=lambda: self.now
        )
        settler = Settler(self.store, KEYRING, LifecycleRegistry(self.store), 1_000)
        self.manager = StateManager(
            transport=self.transport,
            store=self.store,
            settler=settler,
            telemetry=Telemetry(),
            shards=1,
        )

    async def make(self, **plan: object) -> Command:
        """Make the job; return the command that it awaits."""
        creation = make_creation(lifecycle="execution", plan=make_plan(**plan), spec=_SPEC)  # type: ignore[arg-type]
        await self.send(make_create(creation=creation))
        command = (await self.job()).command()
        assert command is not None
        return command

    async def send(self, event: Event) -> None:
        """Send an event and have it settled."""
        await self.events.post(event, 5)

    async def job(self) -> Job:
        """Return the job."""
        job = await self.store.get(OWNER, job_id())
        assert job is not None
        return job

    async def _send(self, shard: int, events: tuple[Event, ...]) -> None:
        if self.is_away:
            raise Unavailable
        packet = encode_packet(Packet(PACKET_VERSION, events))
        await self.transport.send(f"events.{shard}", [packet])


@pytest.fixture(name="ring")
async def _ring(tmp_path: Path) -> AsyncIterator[Ring]:
    ring = Ring(tmp_path)
    await ring.store.open()
    await ring.transport.open()
    await ring.replies.start(ring.transport)
    await ring.manager.start()
    yield ring
    await ring.transport.close()
    await ring.manager.stop()
    await ring.store.close()


async def test_a_command_that_is_awaited_is_taken_with_what_was_asked(ring: Ring) -> None:
    command = await ring.make()

    taken = await ring.gateway.assignment(command)

    assert taken is not None
    assert (taken.command, taken.job.id, taken.spec) == (command, job_id(), _SPEC)
    assert await ring.gateway.is_awaited(command)


@pytest.mark.parametrize("name", ["cancel", "hold", "delete"])
async def test_a_command_that_is_not_awaited_any_more_is_not_taken(ring: Ring, name: str) -> None:
    command = await ring.make()
    if name == "delete":
        await ring.send(make_signed("cancel"))
    await ring.send(make_signed(name, event_id=f"{name}-2"))

    assert await ring.gateway.assignment(command) is None
    assert not await ring.gateway.is_awaited(command)


async def test_a_command_for_later_is_not_taken_before(ring: Ring) -> None:
    creation = make_creation(
        lifecycle="execution", plan=make_plan(start_after=after(60)), spec=_SPEC
    )
    await ring.send(make_create(creation=creation))
    command = (await ring.job()).command()
    assert command is not None

    early = await ring.gateway.assignment(command)
    ring.now = after(60)

    assert early is None
    assert await ring.gateway.assignment(command) is not None


async def test_an_intent_stands_however_often_it_is_announced(ring: Ring) -> None:
    command = await ring.make()

    stands = [await ring.gateway.intend(command, Submitting()) for _ in range(3)]

    assert stands == [True, True, True]
    assert ((await ring.job()).state, (await ring.job()).seq) == ("SUBMITTING", 2)


@pytest.mark.parametrize("name", ["cancel", "hold"])
async def test_an_intent_that_something_overtook_does_not_stand(ring: Ring, name: str) -> None:
    command = await ring.make()
    await ring.send(make_signed(name))

    assert not await ring.gateway.intend(command, Submitting())


async def test_an_intent_that_was_answered_before_its_job_was_cancelled_does_not_stand_again(
    ring: Ring,
) -> None:
    command = await ring.make()
    first = await ring.gateway.intend(command, Submitting())
    await ring.send(make_signed("cancel"))

    assert (first, await ring.gateway.intend(command, Submitting())) == (True, False)


async def test_a_hold_in_the_last_moment_does_not_stand_in_the_way_after_the_release(
    ring: Ring,
) -> None:
    command = await ring.make()
    await ring.send(make_signed("hold"))
    held = await ring.gateway.intend(command, Submitting())
    await ring.send(make_signed("release", received=after(1)))
    again = (await ring.job()).command()
    assert again is not None

    assert (held, await ring.gateway.intend(again, Submitting())) == (False, True)
    assert (await ring.job()).state == "SUBMITTING"


async def test_the_same_report_counts_once_and_another_counter_makes_another_one(
    ring: Ring,
) -> None:
    command = await ring.make()
    await ring.gateway.intend(command, Submitting())

    for counter in (0, 0, 1):
        await ring.gateway.report(job_id(), 1, Running(pid=7), counter)

    history = await ring.store.history(OWNER, job_id(), 0, 9)
    assert [entry.id for entry in history[2:]] == ["jobwire.a1.run.0", "jobwire.a1.run.1"]
    assert msgspec.json.decode(history[2].data or b"") == {"pid": 7}


async def test_a_report_of_an_attempt_that_is_over_changes_nothing(ring: Ring) -> None:
    await ring.make()

    await ring.gateway.report(job_id(), 2, Submitting())

    (_, entry) = await ring.store.history(OWNER, job_id(), 0, 9)
    assert (entry.applied, entry.reason) == (False, "stale_attempt")


async def test_a_report_waits_until_the_bus_takes_it(ring: Ring) -> None:
    command = await ring.make()
    await ring.gateway.intend(command, Submitting())
    ring.is_away = True

    report = asyncio.create_task(ring.gateway.report(job_id(), 1, Running()))
    done, _ = await asyncio.wait([report], timeout=0.3)
    ring.is_away = False
    await asyncio.wait_for(report, PATIENCE_S)

    assert done == set()
    assert (await ring.job()).state == "RUNNING"


async def test_doubts_lead_to_lost_only_while_nothing_else_is_said(ring: Ring) -> None:
    command = await ring.make()
    await ring.gateway.intend(command, Submitting())
    before = await ring.job()

    await ring.gateway.suspect(before, "nothing is there")
    unknown = await ring.job()
    await ring.gateway.lose(before, "an old view loses nothing")
    still = (await ring.job()).state
    await ring.gateway.lose(await ring.job(), "nothing is there")

    assert (unknown.state, still, (await ring.job()).state) == ("UNKNOWN", "UNKNOWN", "LOST")
    assert (await ring.job()).cause == "lost"


# --- commands of other releases -------------------------------------------------------------------


async def test_a_command_of_another_release_stays_awaited_and_is_named(
    ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = await ring.make()
    unknown = replace(known, kind="Conduct", entry=EventId("e"))
    accepted: list[Command] = []
    consumer = CommandConsumer(ring.transport, ring.gateway, "commands.site.local")
    await consumer.open(accepted.append)

    with log_lines(command_consumer, monkeypatch) as lines:
        messages = [msgspec.msgpack.encode(each) for each in (unknown, known)]
        await ring.transport.send("commands.site.local", messages)
        await until(lambda: accepted[-1:] == [known] and len(accepted) > 1)
    await consumer.close()

    assert set(accepted) == {known}
    assert [(line["event"], line["kind"]) for line in lines] == [("command_left", "Conduct")]


async def test_a_command_of_another_release_is_not_among_those_that_are_recalled(
    ring: Ring,
) -> None:
    await ring.make()
    job = await ring.job()
    awaited = Outstanding(EventId("e"), "Conduct", 1, NOW)
    await ring.store.commit(
        Commit(
            refusals=[],
            entries=[],
            jobs=[replace(job, seq=job.seq + 1, outstanding=awaited)],
            created=(),
            moved=[job.id],
        )
    )

    recalled = [each async for each in ring.gateway.recall("commands.site.local")]

    assert recalled == []
    assert (await ring.job()).outstanding == awaited

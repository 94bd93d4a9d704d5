"""The reaper with a clock that the test sets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import replace

from jobwire.actors.lifecycle_registry import LIFECYCLES, LifecycleRegistry, table_key
from jobwire.actors.runtime.telemetry import Telemetry
from jobwire.actors.state_manager import reaper as reaper_module
from jobwire.actors.state_manager.batch import Settler
from jobwire.actors.state_manager.reaper import Reaper, stale_event_of
from jobwire.actors.stores.base import Commit, Record
from jobwire.actors.stores.sqlite import SqliteStore
from jobwire.actors.transports.base import BusMessage
from jobwire.actors.transports.embedded import EmbeddedTransport
from jobwire.schemas.commands import Command, Outstanding
from jobwire.schemas.errors import Unavailable
from jobwire.schemas.events import Event
from jobwire.schemas.identifiers import EventId
from jobwire.schemas.jobs import Job
from jobwire.schemas.lifecycles import EXECUTION, PIPELINE
from tests.support.deadlines import PATIENCE_S, until
from tests.support.factories import (
    KEYRING,
    NOW,
    OWNER,
    after,
    job_id,
    make_create,
    make_creation,
    make_event,
    make_job,
    make_lifecycle,
    make_plan,
    make_signed,
)
from tests.support.log_lines import log_lines


class Bench(Struct):
    """A reaper, and what it needs; `now` is its clock."""

    store: SqliteStore
    transport: EmbeddedTransport
    telemetry: Telemetry
    now: datetime = NOW
    posted: list[Event] = msgspec.field(default_factory=list)
    is_away: bool = False

    def reaper(self, interval_s: float = 3600) -> Reaper:
        """Make the reaper."""
        return Reaper(
            store=self.store,
            transport=self.transport,
            registry=LifecycleRegistry(self.store),
            keyring=KEYRING,
            post=self.post,
            clock=lambda: self.now,
            telemetry=self.telemetry,
            interval_s=interval_s,
        )

    async def post(self, event: Event) -> None:
        """Take an event in and settle it at once."""
        if self.is_away:
            raise Unavailable
        self.posted.append(event)
        await self.settle(event)

    async def settle(self, *events: Event) -> None:
        """Settle events."""
        settler = Settler(self.store, KEYRING, LifecycleRegistry(self.store), 1_000)
        await settler.settle(events, redelivered=False)

    async def job(self, number: int = 1) -> Job:
        """Return a job."""
        job = await self.store.get(OWNER, job_id(number))
        assert job is not None
        return job


@pytest.fixture
async def bench(store: SqliteStore) -> AsyncIterator[Bench]:
    """Yield a bench with an open transport."""
    transport = EmbeddedTransport()
    await transport.open()
    yield Bench(store, transport, Telemetry())
    await transport.close()


def _watched(**limits: float) -> Event:
    return make_create(creation=make_creation(**limits))


@pytest.mark.parametrize(
    ("limits", "detail"),
    [
        ({"deadline_s": 60.0}, "not ended 60 s after its creation"),
        ({"heartbeat_s": 30.5}, "no event for 30.5 s"),
        ({"deadline_s": 20.0, "heartbeat_s": 10.0}, "not ended 20 s after its creation"),
    ],
)
async def test_a_job_past_its_limit_is_ended_as_stale(
    bench: Bench, limits: dict[str, float], detail: str
) -> None:
    await bench.settle(_watched(**limits), make_event("run"))
    bench.now = after(100)

    ended = await bench.reaper().reap()

    job = await bench.job()
    assert ended == 1
    assert (job.state, job.outcome, job.cause) == ("FAILED", "failure", "stale")
    (entry,) = await bench.store.history(OWNER, job_id(), 2, 9)
    assert (entry.name, entry.source, entry.received) == ("fail", "reaper", after(100))
    assert msgspec.json.decode(entry.data or b"") == {"cause": "stale", "detail": detail}
    assert bench.telemetry.registry.get_sample_value("jobwire_stale_jobs_total") == 1


async def test_a_job_within_its_limits_is_left_alone(bench: Bench) -> None:
    await bench.settle(_watched(deadline_s=60.0, heartbeat_s=60.0))
    bench.now = after(59.9)

    assert await bench.reaper().reap() == 0
    assert bench.posted == []


async def test_an_event_postpones_the_heartbeat_and_not_the_deadline(bench: Bench) -> None:
    await bench.settle(_watched(deadline_s=100.0, heartbeat_s=10.0))
    await bench.settle(make_event("run", received=after(8)))
    reaper = bench.reaper()

    looks = []
    for moment in (10.0, 17.9, 18.0):
        bench.now = after(moment)
        looks.append(await reaper.reap())

    assert looks == [0, 0, 1]
    assert (await bench.job()).state == "FAILED"


async def test_a_postponed_watch_is_looked_at_again_only_when_it_runs_out(bench: Bench) -> None:
    await bench.settle(_watched(heartbeat_s=10.0))
    await bench.settle(make_event("run", received=after(8)))
    bench.now = after(10)

    await bench.reaper().reap()

    assert await bench.store.stale(after(17.9), 9) == []
    assert len(await bench.store.stale(after(18), 9)) == 1


async def test_a_job_whose_state_has_no_such_exit_is_watched_no_more(bench: Bench) -> None:
    await bench.settle(
        _watched(deadline_s=10.0),
        make_event("run"),
        make_event("finish"),
    )
    bench.now = after(100)

    assert await bench.reaper().reap() == 0
    assert await bench.store.stale(after(10_000), 9) == []
    assert (await bench.job()).state == "FINISHED"


async def test_a_job_that_works_again_is_watched_again(bench: Bench) -> None:
    await bench.settle(_watched(deadline_s=10.0), make_event("run"), make_event("finish"))
    bench.now = after(100)
    await bench.reaper().reap()
    await bench.settle(make_event("index", received=after(101)))

    assert await bench.reaper().reap() == 1
    assert (await bench.job()).state == "FAILED"


async def test_a_job_whose_lifecycle_cannot_be_found_is_looked_at_again_later(bench: Bench) -> None:
    lifecycle = make_lifecycle()
    record = Record(OWNER, table_key("small", 1), msgspec.json.encode(lifecycle))
    await bench.store.put(LIFECYCLES, record)
    creation = make_creation(lifecycle="small", deadline_s=10.0)
    await bench.settle(make_create(creation=creation))
    await bench.store.drop(LIFECYCLES, OWNER, record.key)
    bench.now = after(100)

    # A process of a newer release may know it, and is the reaper later.
    assert await bench.reaper().reap() == 0
    assert await bench.store.stale(after(699), 9) == []
    assert len(await bench.store.stale(after(701), 9)) == 1


async def test_a_registered_lifecycle_names_the_event_that_is_sent(bench: Bench) -> None:
    lifecycle = make_lifecycle()
    record = Record(OWNER, table_key("small", 1), msgspec.json.encode(lifecycle))
    await bench.store.put(LIFECYCLES, record)
    creation = make_creation(lifecycle="small", deadline_s=10.0)
    await bench.settle(make_create(creation=creation), make_event("begin"))
    bench.now = after(100)

    await bench.reaper().reap()

    assert [event.name for event in bench.posted] == ["expire"]
    assert (await bench.job()).state == "DONE"


async def test_a_report_that_overtakes_the_reaper_wins(bench: Bench) -> None:
    await bench.settle(_watched(heartbeat_s=10.0))
    bench.now = after(100)
    (seen,) = await bench.store.stale(bench.now, 9)
    await bench.settle(make_event("run", received=after(99)))

    await bench.reaper()._look_at(seen)

    job = await bench.job()
    assert (job.state, job.seq) == ("RUNNING", 3)
    (late,) = await bench.store.history(OWNER, job_id(), 2, 9)
    assert (late.name, late.applied, late.reason) == ("fail", False, "overtaken")


async def test_two_looks_at_one_stale_job_send_one_event(bench: Bench) -> None:
    await bench.settle(_watched(heartbeat_s=10.0))
    bench.now = after(100)
    (seen,) = await bench.store.stale(bench.now, 9)
    reaper = bench.reaper()

    await reaper._look_at(seen)
    bench.now = after(101)
    await reaper._look_at(seen)

    assert [event.id for event in bench.posted] == ["jobwire.stale.1", "jobwire.stale.1"]
    assert bench.posted[0].digest == bench.posted[1].digest
    assert (await bench.job()).seq == 2


@pytest.mark.parametrize(
    ("job", "lifecycle", "event"),
    [
        (make_job(state="RUNNING"), PIPELINE, "fail"),
        (make_job(state="FAILED"), PIPELINE, None),
        (make_job(state="RUNNING"), EXECUTION, None),
        (make_job(state="WORK"), make_lifecycle(), "expire"),
        (make_job(state="OPEN"), make_lifecycle(), None),
        (
            make_job(state="WORK"),
            make_lifecycle(transitions={"WORK": {"expire": "WORK"}}),
            None,
        ),
    ],
)
def test_the_event_that_ends_a_stale_job_must_lead_somewhere_else(
    job: Job, lifecycle: Any, event: str | None
) -> None:
    assert stale_event_of(job, lifecycle) == event


# --- forgotten commands ---------------------------------------------------------------------------


async def _collect(bench: Bench) -> list[Command]:
    commands: list[Command] = []

    async def work(deliveries: object) -> None:
        assert isinstance(deliveries, list)
        for delivery in deliveries:
            assert isinstance(delivery, BusMessage)
            commands.append(msgspec.msgpack.decode(delivery.body, type=Command))

    await bench.transport.consume("commands.site.local", work)
    return commands


def _planned(number: int = 1, **plan: Any) -> Event:
    creation = make_creation(lifecycle="execution", plan=make_plan(**plan))
    return make_create(job=job_id(number), creation=creation, received=after(number))


async def test_old_commands_are_published_again_and_young_ones_are_not(bench: Bench) -> None:
    commands = await _collect(bench)
    await bench.settle(_planned(1), _planned(5))
    bench.now = after(11)

    count = await bench.reaper().republish()
    await until(lambda: len(commands) == 1)

    assert count == 1
    assert commands[0].job == job_id(1)


async def test_a_command_that_stays_unanswered_is_published_less_and_less_often(
    bench: Bench,
) -> None:
    await _collect(bench)
    await bench.settle(_planned(0))
    reaper, moments = bench.reaper(), []

    for second in range(2_000):
        bench.now = after(second)
        moments += [second] * await reaper.republish()

    assert moments == [10, 20, 40, 80, 160, 320, 640, 1240, 1840]


async def test_a_command_for_later_is_published_when_its_time_has_come(bench: Bench) -> None:
    commands = await _collect(bench)
    await bench.settle(_planned(0, start_after=after(60)))
    reaper = bench.reaper()
    await reaper.republish()

    bench.now = after(59)
    early = await reaper.republish()
    bench.now = after(60)
    late = await reaper.republish()
    await until(lambda: len(commands) == 1)

    assert (early, late) == (0, 1)


async def test_a_command_of_another_release_is_left_and_those_behind_it_are_published(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = await _collect(bench)
    await bench.settle(_planned(0), _planned(1))
    job = await bench.job(0)
    awaited = Outstanding(EventId("e"), "Conduct", 1, after(0))
    left = replace(job, seq=job.seq + 1, outstanding=awaited)
    await bench.store.commit(
        Commit(refusals=[], entries=[], jobs=[left], created=(), moved=[left.id])
    )
    bench.now = after(100)

    with log_lines(reaper_module, monkeypatch) as lines:
        published = await bench.reaper().republish()
    await until(lambda: len(commands) == 1)

    assert published == 1
    assert commands[0].job == job_id(1)
    assert [(line["event"], line["kind"]) for line in lines] == [("command_left", "Conduct")]
    assert [each.job.id for each in await bench.store.outstanding(after(101), None, 9)] == [left.id]


async def test_a_held_job_starts_when_it_is_released(bench: Bench) -> None:
    commands = await _collect(bench)
    await bench.settle(_planned(0, held=True))
    bench.now = after(100)

    held = await bench.reaper().republish()
    await bench.settle(make_signed("release", job=job_id(0), received=after(100)))
    bench.now = after(111)
    released = await bench.reaper().republish()
    await until(lambda: len(commands) == 1)

    assert (held, released) == (0, 1)
    assert commands[0].entry == "release-1"


async def test_more_commands_than_one_page_are_all_published(bench: Bench) -> None:
    commands = await _collect(bench)
    await bench.settle(*(_planned(number) for number in range(1_203)))
    bench.now = after(5_000)

    count = await bench.reaper().republish()
    await until(lambda: len(commands) == 1_203)

    assert count == 1_203


async def test_a_queue_that_refuses_holds_up_no_other_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaper_module, "_PAGE", 1)
    commands = await _collect(bench)
    await bench.transport.send("commands.stager", [b"x"] * 10_000)
    await bench.settle(
        _planned(1, stage_in=True),
        _planned(2),
    )
    bench.now = after(100)
    reaper = bench.reaper()

    tried = await reaper.republish()
    await until(lambda: len(commands) == 1)

    assert tried == 2
    assert commands[0].job == job_id(2)
    assert await bench.store.outstanding(bench.now, None, 9) == []
    assert await reaper.republish() == 0


async def test_an_answered_command_is_not_published_again(bench: Bench) -> None:
    await bench.settle(
        _planned(), make_signed("submit", role="worker"), make_signed("finish", role="worker")
    )

    assert await bench.reaper().republish() == 0


# --- the loop -------------------------------------------------------------------------------------


async def test_it_looks_again_and_again_and_outlives_a_service_that_is_away(bench: Bench) -> None:
    await bench.settle(_watched(heartbeat_s=10.0))
    reaper = bench.reaper(interval_s=0.001)
    bench.is_away = True
    bench.now = after(100)

    await reaper.start()
    for _ in range(3):
        await asyncio.wait_for(bench.store.check(), PATIENCE_S)
    bench.is_away = False
    await until(lambda: len(bench.posted) > 0)
    missing = reaper.not_ready()
    await reaper.stop()
    await reaper.stop()

    assert missing is None
    assert (await bench.job()).state == "FAILED"


@pytest.mark.parametrize("error", [Unavailable, RuntimeError])
async def test_what_keeps_it_from_stale_jobs_does_not_keep_it_from_commands(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    commands = await _collect(bench)
    await bench.settle(_planned())
    bench.now = after(100)

    async def broken(*_: object) -> list[Job]:
        raise error

    monkeypatch.setattr(bench.store, "stale", broken)
    reaper = bench.reaper(interval_s=0.001)

    await reaper.start()
    await until(lambda: len(commands) == 1)
    await reaper.stop()


async def test_it_says_when_its_loop_fails(bench: Bench) -> None:
    reaper = bench.reaper(interval_s=0.001)
    await reaper.start()

    await bench.store.close()
    await until(lambda: reaper.not_ready() == "reaper")
    await reaper.stop()
    await bench.store.open()


async def test_a_turn_in_which_nothing_is_due_writes_nothing(bench: Bench) -> None:
    async def refuse(_: object) -> None:
        raise AssertionError

    bench.store.postpone = refuse  # type: ignore[method-assign, assignment]

    assert await bench.reaper().republish() == 0

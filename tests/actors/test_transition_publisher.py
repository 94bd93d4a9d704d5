"""Transitions are told to other systems: which ones, under which topic, and when they cannot."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from jobwire.actors.messaging.entry_feed import EntryFeed, broadcast_entries
from jobwire.actors.notifier import transition_publisher
from jobwire.actors.notifier.transition_publisher import TransitionPublisher
from jobwire.actors.stores.base import Positioned
from jobwire.actors.transports.embedded import EmbeddedTransport
from jobwire.schemas.errors import Unavailable
from jobwire.schemas.jobs import Entry
from tests.support.deadlines import PATIENCE_S, turns, until
from tests.support.factories import OWNER, job_id, make_entry


class _Bus(EmbeddedTransport):
    """A bus that remembers what is told to other systems, while it can be reached."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, bytes]] = []
        self.tried = 0
        self.is_away = False

    async def announce(self, topic: str, message: bytes) -> None:
        self.tried += 1
        if self.is_away:
            raise Unavailable("the broker is away")
        self.told.append((topic, message))

    async def hear(self, *entries: Entry) -> None:
        """Broadcast entries as the state manager does."""
        positioned = [Positioned(entry.seq, entry) for entry in entries]
        await broadcast_entries(self, positioned)

    @property
    def topics(self) -> list[str]:
        return [topic for topic, _ in self.told]


def _publisher(bus: _Bus) -> TransitionPublisher:
    return TransitionPublisher(bus, EntryFeed(bus))


@pytest.fixture
async def bus(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[_Bus]:
    """Yield a bus with a herald on it."""
    monkeypatch.setattr(transition_publisher, "_PAUSE_S", 0.01)
    bus = _Bus()
    await bus.open()
    actor = _publisher(bus)
    await actor.start()
    yield bus
    await actor.stop()


def _moved(number: int = 1, state: str = "RUNNING", lifecycle: str = "pipeline") -> Entry:
    return make_entry(job=job_id(number), name="run", state=state, moved_in=lifecycle)


async def test_a_transition_is_told_without_what_is_for_its_owner_alone(bus: _Bus) -> None:
    entry = make_entry(
        seq=3, name="run", state="RUNNING", moved_in="pipeline", source="node", data=b'{"s":"x"}'
    )

    await bus.hear(entry)
    await until(lambda: bool(bus.told))

    ((topic, body),) = bus.told
    assert topic == f"pipeline.RUNNING.{job_id()}"
    assert json.loads(body) == {
        "job": job_id(),
        "owner": OWNER,
        "lifecycle": "pipeline",
        "seq": 3,
        "id": "run-3",
        "name": "run",
        "state": "RUNNING",
        "outcome": None,
        "source": "node",
        "received": "2026-03-01T12:00:03Z",
        "occurred": None,
    }


async def test_an_entry_by_which_nothing_moved_is_not_told(bus: _Bus) -> None:
    await bus.hear(make_entry(seq=2, name="update"), _moved(7), make_entry(seq=3, name="update"))
    await until(lambda: bool(bus.told))
    await turns()

    assert bus.topics == [f"pipeline.RUNNING.{job_id(7)}"]


async def test_dots_in_names_are_no_dots_of_the_topic(bus: _Bus) -> None:
    await bus.hear(_moved(state="to.do", lifecycle="lab.align.v2"))
    await until(lambda: bool(bus.told))

    assert bus.topics == [f"lab:align:v2.to:do.{job_id()}"]


async def test_the_longest_names_make_a_topic_that_the_bus_takes(bus: _Bus) -> None:
    await bus.hear(_moved(state="s." * 32, lifecycle="l." * 32))
    await until(lambda: bool(bus.told))

    assert len(bus.topics[0].encode()) <= 255
    assert bus.topics[0].count(".") == 2


async def test_what_was_heard_while_the_bus_was_away_is_told_in_its_order(bus: _Bus) -> None:
    bus.is_away = True
    await bus.hear(*(_moved(number) for number in range(5)))
    await until(lambda: bus.tried > 1)

    bus.is_away = False
    await bus.hear(_moved(5))
    await until(lambda: len(bus.told) == 6)

    assert bus.topics == [f"pipeline.RUNNING.{job_id(number)}" for number in range(6)]


async def test_of_too_many_that_wait_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transition_publisher, "_PAUSE_S", 0.01)
    monkeypatch.setattr(transition_publisher, "_MOST_WAITING", 3)
    bus = _Bus()
    await bus.open()
    actor = _publisher(bus)
    await actor.start()
    bus.is_away = True
    await bus.hear(*(_moved(number) for number in range(10)))
    await until(lambda: bus.tried > 1)

    bus.is_away = False
    await until(lambda: len(bus.told) == 3)
    await turns()

    assert bus.topics == [f"pipeline.RUNNING.{job_id(number)}" for number in range(7, 10)]
    await actor.stop()


async def test_a_herald_that_stops_tells_what_it_has_heard() -> None:
    bus = _Bus()
    await bus.open()
    actor = _publisher(bus)
    await actor.start()
    await bus.hear(_moved(1), _moved(2))
    await turns()

    await actor.stop()

    assert len(bus.told) == 2


async def test_a_herald_stops_in_time_where_the_bus_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transition_publisher, "_STOP_S", 0.01)
    bus = _Bus()
    bus.is_away = True
    await bus.open()
    actor = _publisher(bus)
    await actor.start()
    await bus.hear(_moved())
    await turns()

    async with asyncio.timeout(PATIENCE_S):
        await actor.stop()
        await actor.stop()

    assert bus.told == []


async def test_a_herald_says_whether_it_hears() -> None:
    bus = _Bus()
    await bus.open()
    actor = _publisher(bus)
    before = actor.not_ready()

    await actor.start()
    begun = actor.not_ready()
    await actor.stop()

    assert (before, begun, actor.not_ready()) == ("herald", None, "herald")

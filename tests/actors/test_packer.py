"""Packets: what travels together, in which order, and what a failure means for what follows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from jobwire.actors.messaging.lane import PACKET_BYTES, PACKET_EVENTS
from jobwire.actors.messaging.packer import Packer
from jobwire.schemas.codec import encode_packet
from jobwire.schemas.errors import InDoubt, JobwireError, Unavailable
from jobwire.schemas.events import PACKET_VERSION, Event, Packet
from jobwire.schemas.identifiers import shard_of
from jobwire.schemas.specs import Spec
from tests.support.deadlines import PATIENCE_S, turns
from tests.support.factories import job_id, make_create, make_creation, make_event
from tests.support.packing import packing


class Wire:
    """Takes packets; holds them until the test lets them go, one by one."""

    def __init__(self) -> None:
        """Hold nothing."""
        self.packets: list[tuple[int, list[str]]] = []
        self.is_held = False
        self.error: BaseException | None = None
        self.bytes: list[int] = []
        self._permits = asyncio.Semaphore(0)

    async def send(self, shard: int, events: tuple[Event, ...]) -> None:
        """Take one packet."""
        self.packets.append((shard, [event.id for event in events]))
        self.bytes.append(len(encode_packet(Packet(PACKET_VERSION, events))))
        if self.is_held:
            await self._permits.acquire()
        if self.error is not None:
            raise self.error

    def release(self, packets: int = 1) -> None:
        """Confirm so many packets."""
        for _ in range(packets):
            self._permits.release()

    @property
    def sizes(self) -> list[int]:
        """How many events each packet had."""
        return [len(events) for _, events in self.packets]

    @property
    def ids(self) -> list[str]:
        """The ids of all events, in the order in which they left."""
        return [event for _, events in self.packets for event in events]


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    """Yield a wire."""
    made = Wire()
    yield made
    made.error = None
    made.release(100)


def _packer(wire: Wire, answer_s: float = 30) -> Packer:
    return packing(wire.send, shards=2, answer_s=answer_s)


def _events(count: int, start: int = 0, data: bytes | None = None) -> list[Event]:
    return [make_event(event_id=f"e-{n}", data=data) for n in range(start, start + count)]


def _put(packer: Packer, *events: Event) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(packer.put(event)) for event in events]


async def test_a_lone_event_leaves_at_once(wire: Wire) -> None:
    packer = _packer(wire)

    await packer.put(make_event(event_id="a"))

    assert wire.packets == [(shard_of(job_id(), 2), ["a"])]


async def test_what_comes_in_while_a_packet_is_away_leaves_together(wire: Wire) -> None:
    packer = _packer(wire)
    wire.is_held = True

    first = _put(packer, *_events(1))
    await turns()
    rest = _put(packer, *_events(20, start=1))
    await turns()
    wire.release(2)
    await asyncio.gather(*first, *rest)

    assert wire.sizes == [1, 20]
    assert wire.ids == [f"e-{n}" for n in range(21)]


async def test_an_event_is_answered_when_its_own_packet_is_confirmed(wire: Wire) -> None:
    packer = _packer(wire)
    wire.is_held = True
    (first,) = _put(packer, *_events(1))
    await turns()
    (second,) = _put(packer, *_events(1, start=1))
    await turns()

    wire.release()
    await first
    await turns()
    second_done = second.done()
    wire.release()
    await second

    assert not second_done


async def test_one_shard_does_not_wait_for_another(wire: Wire) -> None:
    packer = _packer(wire)
    wire.is_held = True
    jobs = [job_id(number) for number in range(1, 9)]
    assert {shard_of(job, 2) for job in jobs} == {0, 1}
    _put(packer, *(make_event(job=job, event_id=job) for job in jobs))

    await turns()

    assert sorted(shard for shard, _ in wire.packets) == [0, 1]


async def test_senders_wait_while_a_packet_is_full_and_keep_their_order(wire: Wire) -> None:
    packer = _packer(wire)
    wire.is_held = True
    first = _put(packer, *_events(1))
    await turns()
    rest = _put(packer, *_events(PACKET_EVENTS + 100, start=1))
    await turns()

    wire.release(3)
    await asyncio.gather(*first, *rest)

    assert wire.sizes == [1, PACKET_EVENTS, 100]
    assert wire.ids == [f"e-{n}" for n in range(PACKET_EVENTS + 101)]


async def test_a_packet_is_full_by_its_bytes_too(wire: Wire) -> None:
    packer = _packer(wire)
    wire.is_held = True
    quarter = b"x" * (PACKET_BYTES // 4)
    first = _put(packer, *_events(1))
    await turns()
    rest = _put(packer, *_events(6, start=1, data=quarter))
    await turns()

    wire.release(3)
    await asyncio.gather(*first, *rest)

    assert wire.sizes == [1, 4, 2]


async def test_an_event_whose_packet_fails_is_told_so_and_the_next_packet_leaves(
    wire: Wire,
) -> None:
    packer = _packer(wire)
    wire.error = Unavailable("the store is away")

    with pytest.raises(Unavailable, match="the store is away"):
        await packer.put(make_event(event_id="a"))
    wire.error = None
    await packer.put(make_event(event_id="b"))

    assert wire.ids == ["a", "b"]


async def test_a_fault_in_sending_does_not_end_the_lane(wire: Wire) -> None:
    packer = _packer(wire)
    wire.error = RuntimeError("a fault")

    with pytest.raises(Unavailable):
        await packer.put(make_event(event_id="a"))
    wire.error = None
    async with asyncio.timeout(PATIENCE_S):
        await packer.put(make_event(event_id="b"))

    assert wire.ids == ["a", "b"]


async def test_a_cancellation_that_nobody_asked_for_does_not_end_the_lane(wire: Wire) -> None:
    packer = _packer(wire)
    wire.error = asyncio.CancelledError()

    with pytest.raises(Unavailable):
        await asyncio.wait_for(packer.put(make_event(event_id="a")), PATIENCE_S)
    wire.error = None
    await asyncio.wait_for(packer.put(make_event(event_id="b")), PATIENCE_S)

    assert wire.ids == ["a", "b"]


async def test_a_lane_whose_task_was_ended_begins_anew_with_the_next_event(wire: Wire) -> None:
    packer = _packer(wire)
    wire.is_held = True
    (cut,) = _put(packer, make_event(event_id="a"))
    await turns()
    sending = packer._lanes[shard_of(job_id(), 2)]._sending
    assert sending is not None
    sending.cancel()

    with pytest.raises(Unavailable):
        await asyncio.wait_for(cut, PATIENCE_S)
    wire.is_held = False
    await asyncio.wait_for(packer.put(make_event(event_id="b")), PATIENCE_S)

    assert wire.ids == ["a", "b"]


async def test_a_packet_that_was_given_up_while_it_lingered_is_not_sent(wire: Wire) -> None:
    packer = packing(wire.send, answer_s=0.02, linger_s=0.5)
    await packer.put_many(_events(2))

    with pytest.raises(Unavailable):
        await packer.put(make_event(event_id="late"))
    await packer.close()

    assert wire.sizes == [2]


async def test_who_waits_too_long_is_told_to_come_back(wire: Wire) -> None:
    packer = _packer(wire, answer_s=0.02)
    wire.is_held = True

    with pytest.raises(InDoubt) as caught:
        await packer.put(make_event())

    assert caught.value.retry_after_s == 1


async def test_who_waits_for_room_too_long_is_told_to_come_back(wire: Wire) -> None:
    packer = _packer(wire, answer_s=0.3)
    wire.is_held = True
    first = _put(packer, *_events(1))
    await turns()
    full = _put(packer, *_events(PACKET_EVENTS, start=1))
    await turns()

    (late,) = _put(packer, make_event(event_id="late"))
    results = await asyncio.gather(late, *first, *full, return_exceptions=True)

    # Only what was sent may be stored all the same.
    assert [type(result) for result in results[:2]] == [Unavailable, InDoubt]
    assert {type(result) for result in results[2:]} == {Unavailable}
    assert "late" not in wire.ids


async def test_a_request_that_is_dropped_takes_no_neighbour_with_it(wire: Wire) -> None:
    packer = _packer(wire)
    wire.is_held = True
    dropped, patient = _put(packer, *_events(2))
    await turns()

    dropped.cancel()
    await asyncio.wait([dropped])
    wire.release()

    await asyncio.wait_for(patient, PATIENCE_S)
    assert wire.ids == ["e-0", "e-1"]


async def _put_many(packer: Packer, events: list[Event]) -> list[JobwireError | None]:
    async with asyncio.timeout(PATIENCE_S):
        return await packer.put_many(events)


async def test_many_events_keep_their_order_over_several_packets(wire: Wire) -> None:
    results = await _put_many(_packer(wire), _events(PACKET_EVENTS * 2 + 7))

    assert results == [None] * (PACKET_EVENTS * 2 + 7)
    assert wire.ids == [f"e-{n}" for n in range(PACKET_EVENTS * 2 + 7)]


#: Bytes of a packet beside data and births: ids, times and the like, with all its events.
_REST = 200 * PACKET_EVENTS


@pytest.mark.parametrize(
    "size", [65_536, PACKET_BYTES // 3, PACKET_BYTES * 2], ids=["largest", "third", "too large"]
)
async def test_many_events_are_cut_by_their_bytes_too(wire: Wire, size: int) -> None:
    events = _events(20, data=b"x" * size)

    results = await _put_many(_packer(wire), events)

    assert results == [None] * 20
    assert wire.ids == [event.id for event in events]
    assert max(wire.bytes) <= max(PACKET_BYTES, size) + _REST
    assert len(wire.sizes) < 20 or size > PACKET_BYTES


async def test_jobs_are_cut_by_the_bytes_of_what_is_to_run(wire: Wire) -> None:
    creation = make_creation(spec=Spec(argv=("x" * 131_000,) * 2))
    events = [make_create(creation=creation, event_id=f"e-{n}") for n in range(5)]

    assert await _put_many(_packer(wire), events) == [None] * 5
    assert max(wire.bytes) <= PACKET_BYTES + _REST


async def test_single_events_fill_no_packet_far_over_its_bytes(wire: Wire) -> None:
    packer = _packer(wire)
    await asyncio.gather(*_put(packer, *_events(40, data=b"x" * 65_536)))

    assert max(wire.bytes) <= PACKET_BYTES + 65_536 + _REST


async def test_no_events_are_no_packet(wire: Wire) -> None:
    assert await _put_many(_packer(wire), []) == []
    assert wire.packets == []


async def test_behind_a_packet_that_failed_nothing_of_the_request_is_sent(wire: Wire) -> None:
    packer = _packer(wire)
    wire.is_held = True
    sending = asyncio.create_task(_put_many(packer, _events(PACKET_EVENTS * 3)))
    await turns()
    wire.release()
    await turns(50)
    wire.error = Unavailable("full")
    wire.release(10)

    results = await sending

    safe = [result is None for result in results]
    assert safe[0]
    assert not safe[-1]
    assert safe == sorted(safe, reverse=True)
    assert len(wire.ids) < PACKET_EVENTS * 3
    assert wire.ids == [f"e-{n}" for n in range(len(wire.ids))]
    assert all(isinstance(result, Unavailable) for result in results if result is not None)


async def test_many_events_of_a_first_packet_that_fails_are_all_told_so(wire: Wire) -> None:
    wire.error = Unavailable("full")

    results = await _put_many(_packer(wire), _events(3))

    assert [type(result) for result in results] == [Unavailable] * 3


async def test_many_events_that_wait_too_long_are_told_to_come_back(wire: Wire) -> None:
    wire.is_held = True

    results = await _put_many(_packer(wire, answer_s=0.02), _events(3))

    assert [type(result) for result in results] == [InDoubt] * 3


async def test_closing_waits_for_what_is_on_its_way(wire: Wire) -> None:
    packer = _packer(wire)
    wire.is_held = True
    sent = _put(packer, *_events(2))
    await turns()

    closing = asyncio.create_task(packer.close())
    await turns()
    early = closing.done()
    wire.release(2)
    await closing

    assert not early
    assert all(task.done() for task in sent) or await asyncio.gather(*sent) == [None, None]


async def test_closing_an_idle_packer_returns_at_once(wire: Wire) -> None:
    packer = _packer(wire)
    await packer.close()
    await packer.put(make_event())

    async with asyncio.timeout(PATIENCE_S):
        await packer.close()

    assert wire.sizes == [1]


async def test_under_load_a_packet_lingers_and_takes_in_what_comes_meanwhile(wire: Wire) -> None:
    packer = packing(wire.send, answer_s=30, linger_s=0.5)
    lone = asyncio.create_task(packer.put(make_event("run", event_id="lone")))
    await turns()
    sent_at_once = list(wire.sizes)
    await lone
    await packer.put_many([make_event("run", event_id=f"a{n}") for n in range(3)])

    first = asyncio.create_task(packer.put(make_event("run", event_id="b0")))
    await turns()
    second = asyncio.create_task(packer.put(make_event("run", event_id="b1")))
    await asyncio.gather(first, second)

    assert sent_at_once == [1]
    assert wire.packets[-1] == (0, ["b0", "b1"])


async def test_a_full_packet_does_not_linger(wire: Wire) -> None:
    packer = packing(wire.send, answer_s=30, linger_s=600)
    await packer.put_many([make_event("run", event_id=f"a{n}") for n in range(3)])

    async with asyncio.timeout(PATIENCE_S):
        full = [make_event("run", event_id=f"b{n}") for n in range(PACKET_EVENTS)]
        await packer.put_many(full)

    assert wire.sizes == [3, PACKET_EVENTS]

"""Packets: numbered where a bus confirms early, and held back while the store is behind."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence

import msgspec
import pytest

from jobwire.actors.messaging import backlog
from jobwire.actors.messaging.packer import Packer
from jobwire.actors.runtime.telemetry import Telemetry
from jobwire.actors.transports.base import ConsumerHandle
from jobwire.actors.transports.embedded import EmbeddedTransport
from jobwire.schemas.addresses import receipts_topic
from jobwire.schemas.codec import decode_packet
from jobwire.schemas.errors import Unavailable
from jobwire.schemas.events import Event, Packet
from jobwire.schemas.identifiers import shard_of
from tests.support.deadlines import PATIENCE_S, turns, until
from tests.support.factories import job_id, make_event


class EarlyBus(EmbeddedTransport):
    """A bus that confirms before anything is stored, as a broker does."""

    confirms_when_handled = False

    def __init__(self) -> None:
        """Keep what is sent."""
        super().__init__()
        self.sent: list[Packet] = []
        self.is_away = False
        self.missed: list[Callable[[], None]] = []

    async def send(self, queue: str, messages: Sequence[bytes]) -> None:
        """Confirm at once."""
        del queue
        if self.is_away:
            raise Unavailable
        self.sent += [decode_packet(message) for message in messages]

    async def listen(
        self,
        pattern: str,
        listener: Callable[[str, bytes], None],
        missed: Callable[[], None] | None = None,
    ) -> ConsumerHandle:
        """Remember who is to be told that something was lost."""
        if missed is not None:
            self.missed.append(missed)
        return await super().listen(pattern, listener)

    async def give_receipt(self, *stored: Packet) -> None:
        """Acknowledge that packets are stored."""
        numbers = msgspec.msgpack.encode([packet.number for packet in stored])
        await self.broadcast(receipts_topic(stored[0].sender), numbers)
        await turns()


class Clock:
    """The time by which packets grow old."""

    def __init__(self) -> None:
        """Begin."""
        self.now = 1_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def go_on(self) -> None:
        """Let a packet that waits become too old."""
        self.now += backlog.BACKLOG_S + 0.01


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stop the time; who has to wait for it waits for good."""
    made = Clock()
    monkeypatch.setattr(backlog, "monotonic", made)
    monkeypatch.setattr(backlog, "_PATIENCE_S", 10 * PATIENCE_S)
    return made


@pytest.fixture
async def bus() -> EarlyBus:
    """Return an open bus."""
    opened = EarlyBus()
    await opened.open()
    return opened


def _of_shard(shard: int) -> Event:
    jobs = (job_id(number) for number in itertools.count(1))
    return make_event("run", job=next(job for job in jobs if shard_of(job, 2) == shard))


async def _started(bus: EarlyBus, shards: int = 2) -> Packer:
    made = Packer(bus, Telemetry(), shards=shards, answer_s=30)
    await made.start()
    await made.admit()
    return made


async def test_a_bus_that_confirms_what_is_stored_needs_no_numbers() -> None:
    bus = EmbeddedTransport()
    await bus.open()
    seen: list[Packet] = []

    async def handle(deliveries: Sequence[object]) -> None:
        seen.extend(decode_packet(each.body) for each in deliveries)  # type: ignore[attr-defined]

    await bus.consume("events.0", handle)
    made = Packer(bus, Telemetry(), shards=1, answer_s=30)
    await made.start()
    await made.admit()
    await made.put(_of_shard(0))

    assert (seen[0].sender, seen[0].number, made.backlog_s()) == ("", 0, 0.0)


@pytest.mark.parametrize("kind", [EarlyBus, EmbeddedTransport])
async def test_nothing_is_sent_before_the_number_of_shards_is_known_to_be_right(
    kind: type[EmbeddedTransport],
) -> None:
    early = kind()
    await early.open()
    made = Packer(early, Telemetry(), shards=1, answer_s=30)
    await made.start()

    with pytest.raises(Unavailable) as caught:
        await made.put(_of_shard(0))

    assert caught.value.retry_after_s == 2
    assert not getattr(early, "sent", [])


async def test_numbers_grow_and_tell_their_sender(bus: EarlyBus) -> None:
    made = await _started(bus)
    for shard in (0, 1, 0):
        await made.put(_of_shard(shard))

    numbers = [packet.number for packet in bus.sent]
    assert numbers == sorted(set(numbers))
    assert [number % 2 for number in numbers] == [0, 1, 0]
    assert len({packet.sender for packet in bus.sent}) == 1


async def test_a_packet_waits_until_older_ones_of_its_shard_are_stored(
    bus: EarlyBus, clock: Clock
) -> None:
    made = await _started(bus)
    await made.put(_of_shard(0))
    clock.go_on()

    waiting = asyncio.create_task(made.put(_of_shard(0)))
    await made.put(_of_shard(1))  # another shard has its own queue
    await turns()
    early = waiting.done()
    age = made.backlog_s()
    await bus.give_receipt(bus.sent[0])
    await waiting

    assert not early
    assert age > backlog.BACKLOG_S
    assert len(bus.sent) == 3


async def test_a_receipt_stands_for_all_older_packets_of_its_shard(
    bus: EarlyBus, clock: Clock
) -> None:
    made = await _started(bus)
    for shard in (0, 1, 0):
        await made.put(_of_shard(shard))
    await bus.give_receipt(bus.sent[2])
    clock.go_on()

    async with asyncio.timeout(PATIENCE_S):
        await made.put(_of_shard(0))

    assert made.backlog_s() > backlog.BACKLOG_S  # that of the other shard


async def test_one_that_waits_too_long_is_tried_and_those_behind_it_are_refused(
    bus: EarlyBus, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "_PATIENCE_S", 0.05)
    made = await _started(bus)
    await made.put(_of_shard(0))
    clock.go_on()

    await made.put(_of_shard(0))  # tried, after a wait
    with pytest.raises(Unavailable) as caught:
        await made.put(_of_shard(0))
    await bus.give_receipt(bus.sent[1])
    async with asyncio.timeout(PATIENCE_S):
        await made.put(_of_shard(0))

    assert caught.value.code == "backlog"
    assert caught.value.retry_after_s is not None


async def test_lost_receipts_hold_nobody_back(bus: EarlyBus, clock: Clock) -> None:
    made = await _started(bus)
    await made.put(_of_shard(0))
    clock.go_on()
    for missed in bus.missed:
        missed()

    async with asyncio.timeout(PATIENCE_S):
        await made.put(_of_shard(0))


async def test_what_could_not_be_sent_is_not_waited_for(bus: EarlyBus, clock: Clock) -> None:
    made = await _started(bus)
    bus.is_away = True
    with pytest.raises(Unavailable):
        await made.put(_of_shard(0))
    bus.is_away = False
    clock.go_on()

    assert made.backlog_s() == 0.0
    await made.put(_of_shard(0))
    await until(lambda: len(bus.sent) == 1)

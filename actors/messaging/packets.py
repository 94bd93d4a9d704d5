"""
Sends packets of events to the shards, and never far ahead of those who store them.

A bus confirms what it has on disk, which may be long before it is stored. So each packet has a
number, the state managers say which ones they have stored, and while the oldest one that is not
waits for too long, further ones wait too, and their senders are told to come back.

Nothing is sent before it is certain that the number of shards is the one that the data was made
with: events in the queue of another shard would be consumed by nobody, or out of order.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import secrets
from time import monotonic

import msgspec

from jobwire.actors.runtime.telemetry import Telemetry
from jobwire.actors.transports.base import ConsumerHandle, Transport
from jobwire.schemas.codec import encode_packet
from jobwire.schemas.errors import Unavailable
from jobwire.schemas.events import PACKET_VERSION, Event, Packet

_decoder = msgspec.msgpack.Decoder(list[int])

#: How long the oldest packet may wait to be stored before others wait for it.
BACKLOG_S = 0.5
#: How long a packet waits for older ones; after that a single one is sent to see how things are.
_PATIENCE_S = 2.0


def receipts_topic(sender: str) -> str:
    """Name the topic on which a sender hears which of its packets are stored."""
    return f"packets.{sender}"


class Packets:
    """Sends the packets of one process."""

    def __init__(self, transport: Transport, telemetry: Telemetry, shards: int) -> None:
        """Send to the queues of so many shards, as soon as `admit` has said that they are right."""
        self._transport = transport
        self._telemetry = telemetry
        self._lanes = [_SenderLane() for _ in range(shards)]
        self._numbers = itertools.count(1)
        # What a bus confirms only when it is stored needs no receipts.
        self._sender = "" if transport.confirms_when_handled else secrets.token_hex(6)
        self._subscription: ConsumerHandle | None = None
        self._is_admitted = False
        telemetry.backlog_seconds.set_function(self.backlog_s)

    async def start(self) -> None:
        """Begin to hear receipts."""
        if self._sender:
            topic = receipts_topic(self._sender)
            self._subscription = await self._transport.listen(topic, self._on_message, self._forget)

    async def admit(self) -> None:
        """Let packets through from now on: the number of shards is right."""
        self._is_admitted = True

    async def send(self, shard: int, events: tuple[Event, ...]) -> None:
        """
        Send one packet; return when it is safe.

        Raises:
            Unavailable: it may be stored or not; or what was sent before is not stored yet; or this
                process is still starting.

        """
        if not self._is_admitted:
            raise Unavailable("the service is starting", retry_after_s=2)
        if not self._sender:
            await self._send(shard, Packet(PACKET_VERSION, events))
            return
        lane = self._lanes[shard]
        await lane.turn()
        # A number tells its shard: it is that modulo their number.
        number = next(self._numbers) * len(self._lanes) + shard
        packet = Packet(PACKET_VERSION, events, self._sender, number)
        lane.add(number)
        try:
            await self._send(shard, packet)
        except BaseException:
            # If it was sent all the same its receipt is about a number that nobody knows.
            lane.remove(number)
            raise

    def backlog_s(self) -> float:
        """Return the age of the oldest packet that is not stored yet."""
        return max((lane.age_s() for lane in self._lanes), default=0.0)

    async def _send(self, shard: int, packet: Packet) -> None:
        await self._transport.send(f"events.{shard}", [encode_packet(packet)])
        self._telemetry.events_accepted.inc(len(packet.events))

    def _on_message(self, _topic: str, message: bytes) -> None:
        for number in _decoder.decode(message):
            # A shard is stored in order: older ones whose receipts were lost are stored too.
            self._lanes[number % len(self._lanes)].remove_up_to(number)

    def _forget(self) -> None:
        """Begin anew: receipts may have been lost."""
        for lane in self._lanes:
            lane.clear()


class _SenderLane:
    """One shard's packets that are not stored yet, oldest first, and when each was sent."""

    def __init__(self) -> None:
        self._waiting: dict[int, float] = {}
        self._moved = asyncio.Event()
        self._tried = -math.inf

    def add(self, number: int) -> None:
        self._waiting[number] = monotonic()

    def remove(self, number: int) -> None:
        self._waiting.pop(number, None)
        self._moved.set()

    def remove_up_to(self, number: int) -> None:
        for each in [each for each in self._waiting if each <= number]:
            del self._waiting[each]
        self._moved.set()

    def clear(self) -> None:
        self._waiting.clear()
        self._moved.set()

    def age_s(self) -> float:
        if not self._waiting:
            return 0.0
        return monotonic() - next(iter(self._waiting.values()))

    async def turn(self) -> None:
        """Wait until what was sent before is stored, or nearly."""
        if self.age_s() <= BACKLOG_S:
            return
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while self.age_s() > BACKLOG_S:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            # A single one is sent now and then: should receipts be lost, or the queue with all that
            # was in it, its own receipt shows that all is well, and nobody need be refused.
            if monotonic() - self._tried > 2 * _PATIENCE_S:
                self._tried = monotonic()
                return
            detail = f"events wait {self.age_s():.0f} s to be stored"
            raise Unavailable(detail, code="backlog", retry_after_s=2) from None

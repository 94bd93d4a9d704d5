"""
Sends events to their shards in packets: one open for each shard, and at most one unconfirmed.

No timer holds an event back (flush when idle): a lone one leaves at once, and under load a packet
holds what came in while the one before it was being confirmed. So the cost of a confirm is shared,
and latency at low load is one confirm.

A bus confirms what it has on disk, which may be long before it is stored. So each packet has a
number, the state managers say which ones they have stored, and while the oldest one that is not
waits for too long, further ones wait too, and their senders are told to come back.

Nothing is sent before it is certain that the number of shards is the one that the data was made
with: events in the queue of another shard would be consumed by nobody, or out of order.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Sequence

import msgspec

from jobwire.actors.messaging.backlog import Backlog
from jobwire.actors.messaging.lane import Lane
from jobwire.actors.runtime.telemetry import Telemetry
from jobwire.actors.transports.base import Transport
from jobwire.schemas.addresses import receipts_topic, shard_queue
from jobwire.schemas.codec import encode_packet
from jobwire.schemas.errors import JobwireError, Unavailable
from jobwire.schemas.events import PACKET_VERSION, Event, Packet
from jobwire.schemas.identifiers import shard_of

_decoder = msgspec.msgpack.Decoder(list[int])


class Packer:
    """Sends the events of one process; those of one job leave in the order in which they came."""

    def __init__(
        self,
        transport: Transport,
        telemetry: Telemetry,
        *,
        shards: int,
        answer_s: float,
        linger_s: float = 0.0,
    ) -> None:
        """
        Pack for the queues of the shards; nothing is sent before `admit`.

        Args:
            transport: where the queues are.
            telemetry: counts.
            shards: how many queues there are.
            answer_s: a sender that waits longer is told to come back.
            linger_s: how long a packet stays open while there is load; so where packets are dear
                and confirmed quickly each holds more. A lone event never waits for it.

        """
        self._transport = transport
        self._telemetry = telemetry
        self._lanes = [Lane(shard, self._send, answer_s, linger_s) for shard in range(shards)]
        self._backlogs = [Backlog() for _ in range(shards)]
        self._numbers = itertools.count(1)
        # What a bus confirms only when it is stored needs no receipts.
        self._sender = "" if transport.confirms_when_handled else secrets.token_hex(6)
        self._is_admitted = False
        telemetry.backlog_seconds.set_function(self.backlog_s)

    async def start(self) -> None:
        """Begin to take receipts."""
        if self._sender:
            topic = receipts_topic(self._sender)
            await self._transport.listen(topic, self._on_receipt, self._on_missed)

    async def admit(self) -> None:
        """Let packets through from now on: the number of shards is right."""
        self._is_admitted = True

    async def put(self, event: Event) -> None:
        """
        Return when an event is safe.

        Raises:
            InDoubt: it was not confirmed in time. It may have been stored all the same: the sender
                repeats it under the same id.
            Unavailable: it was not sent; or what was sent before is not stored yet; or this
                process is still starting.

        """
        await self._lanes[shard_of(event.job, len(self._lanes))].put(event)

    async def put_many(self, events: Sequence[Event]) -> list[JobwireError | None]:
        """
        Put events, those of each job in their order; return for each its error, None if it is safe.

        After an event that failed, later ones of the same job are not sent.
        """
        shards: dict[int, list[int]] = {}
        for index, event in enumerate(events):
            shards.setdefault(shard_of(event.job, len(self._lanes)), []).append(index)
        results = await asyncio.gather(
            *(
                self._lanes[shard].put_many([events[index] for index in indexes])
                for shard, indexes in shards.items()
            )
        )
        errors: list[JobwireError | None] = [None] * len(events)
        for indexes, result in zip(shards.values(), results, strict=True):
            for index, error in zip(indexes, result, strict=True):
                errors[index] = error
        return errors

    async def close(self) -> None:
        """Return when nothing is open or unconfirmed any more."""
        for lane in self._lanes:
            await lane.drained()

    def backlog_s(self) -> float:
        """Return the age of the oldest packet that is not stored yet."""
        return max((backlog.age_s() for backlog in self._backlogs), default=0.0)

    async def _send(self, shard: int, events: tuple[Event, ...]) -> None:
        """Send one packet; return when it is safe."""
        if not self._is_admitted:
            raise Unavailable("the service is starting", retry_after_s=2)
        if not self._sender:
            await self._publish(shard, Packet(PACKET_VERSION, events))
            return
        backlog = self._backlogs[shard]
        await backlog.wait()
        # A number tells its shard: it is that modulo their number.
        number = next(self._numbers) * len(self._lanes) + shard
        backlog.add(number)
        try:
            await self._publish(shard, Packet(PACKET_VERSION, events, self._sender, number))
        except BaseException:
            # If it was sent all the same its receipt is about a number that nobody knows.
            backlog.remove(number)
            raise

    async def _publish(self, shard: int, packet: Packet) -> None:
        await self._transport.send(shard_queue(shard), [encode_packet(packet)])
        self._telemetry.events_accepted.inc(len(packet.events))

    def _on_receipt(self, _topic: str, message: bytes) -> None:
        for number in _decoder.decode(message):
            self._backlogs[number % len(self._backlogs)].remove_up_to(number)

    def _on_missed(self) -> None:
        for backlog in self._backlogs:
            backlog.clear()

"""
Packs events: one open packet for each shard, and at most one unconfirmed one (flush when idle).

There is no timer: a lone event leaves at once, and under load a packet holds what came in while
the one before it was being confirmed. So the cost of a confirm is shared, and latency at low load
is one confirm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from schemas.errors import JobwireError, Unavailable
from schemas.events import Event

#: Events that fill a packet.
PACKET_EVENTS = 500
#: Bytes of data that fill a packet.
PACKET_BYTES = 512 * 1024

Send = Callable[[int, tuple[Event, ...]], Awaitable[None]]
"""Sends one packet to a shard and returns when it is safe."""


class Packer:
    """Collects events of many requests into packets; keeps the order in which they were added."""

    def __init__(self, shards: int, send: Send, answer_s: float) -> None:
        """Pack for `shards` queues; whoever waits longer than `answer_s` is told to come back."""
        self._lanes = [_Lane(shard, send) for shard in range(shards)]
        self._answer_s = answer_s

    async def put(self, shard: int, event: Event) -> None:
        """
        Return when the event's packet is confirmed.

        Raises:
            Unavailable: it was not confirmed in time. It may have been stored all the same: the
            sender
                repeats it under the same id.

        """
        try:
            async with asyncio.timeout(self._answer_s):
                lane = self._lanes[shard]
                while lane.is_full:
                    await lane.room()
                # One future serves every request of the packet: a request that gives up leaves it
                # be.
                await asyncio.shield(lane.add(event))
        except TimeoutError as error:
            raise self._late() from error

    async def put_many(self, shard: int, events: Sequence[Event]) -> list[JobwireError | None]:
        """
        Put events of one shard in their order; say of each whether it is safe.

        Behind an event that is not, none is sent: what comes later must not overtake what may be
        lost.
        """
        lane = self._lanes[shard]
        packets: list[asyncio.Future[None]] = []
        failure: JobwireError | None = None
        try:
            async with asyncio.timeout(self._answer_s):
                for event in events:
                    while lane.is_full:
                        await lane.room()
                    packets.append(lane.add(event))
                for packet in dict.fromkeys(packets):
                    await asyncio.shield(packet)
        except TimeoutError:
            failure = self._late()
        except JobwireError as error:
            failure = error
        safe = [failure is None or _is_confirmed(packet) for packet in packets]
        safe += [False] * (len(events) - len(packets))
        return [None if each else failure for each in safe]

    def _late(self) -> Unavailable:
        detail = (
            f"the event was not stored within {self._answer_s:g} s; send it again with the same id"
        )
        return Unavailable(detail, retry_after_s=1)

    async def close(self) -> None:
        """Return when nothing is open or unconfirmed any more."""
        for lane in self._lanes:
            await lane.drained()


class _Lane:
    """One shard: its open packet, and the task that sends packet after packet."""

    def __init__(self, shard: int, send: Send) -> None:
        self._shard = shard
        self._send = send
        self._open: list[Event] = []
        self._open_bytes = 0
        self._confirmed: asyncio.Future[None] | None = None
        self._sending: asyncio.Task[None] | None = None

    @property
    def is_full(self) -> bool:
        return len(self._open) >= PACKET_EVENTS or self._open_bytes >= PACKET_BYTES

    def add(self, event: Event) -> asyncio.Future[None]:
        """Add to the open packet; the future is done when that packet is confirmed."""
        confirmed = self._future()
        self._open.append(event)
        self._open_bytes += len(event.data or b"")
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_all(), name=f"packer.{self._shard}")
        return confirmed

    def _future(self) -> asyncio.Future[None]:
        if self._confirmed is None:
            self._confirmed = asyncio.get_running_loop().create_future()
        return self._confirmed

    def room(self) -> asyncio.Future[None]:
        """Wait for the packet that is full now to be confirmed."""
        return asyncio.shield(self._future())

    async def drained(self) -> None:
        if self._sending is not None:
            await asyncio.wait([self._sending])

    async def _send_all(self) -> None:
        while self._confirmed is not None:
            packet, confirmed = tuple(self._open), self._confirmed
            self._open, self._open_bytes, self._confirmed = [], 0, None
            try:
                await self._send(self._shard, packet)
            except JobwireError as error:
                _fail(confirmed, error)
            else:
                confirmed.set_result(None)
        self._sending = None


def _is_confirmed(packet: asyncio.Future[None]) -> bool:
    return packet.done() and not packet.cancelled() and packet.exception() is None


def _fail(confirmed: asyncio.Future[None], error: JobwireError) -> None:
    confirmed.set_exception(error)
    # Requests that gave up in time do not look at it; that is no lost error.
    confirmed.exception()

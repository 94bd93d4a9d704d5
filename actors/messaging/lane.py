"""One shard's open packet, and the task that sends packet after packet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

import msgspec
import structlog

from jobwire.actors.runtime.tasks import is_stray
from jobwire.schemas.errors import InDoubt, JobwireError, Unavailable
from jobwire.schemas.events import Event

_log = structlog.get_logger()
_encoder = msgspec.msgpack.Encoder()

#: Events that fill a packet.
PACKET_EVENTS = 500
#: Bytes of data and creations that fill a packet; one that is filled may have up to twice as many.
PACKET_BYTES = 512 * 1024

#: Longest time that a packet is held open while events keep coming in.
GATHER_S = 0.004

Send = Callable[[int, tuple[Event, ...]], Awaitable[None]]
"""Sends one packet to a shard and returns when it is safe."""


class Lane:
    """Sends the events of one shard in the order in which they were added, one packet at a time."""

    def __init__(self, shard: int, send: Send, answer_s: float, linger_s: float) -> None:
        """Send packets of a shard; see `Packer` for the times."""
        self._linger_s = linger_s
        self._last = 0
        self._shard = shard
        self._send = send
        self._answer_s = answer_s
        self._open = _OpenPacket()
        self._sending: asyncio.Task[None] | None = None

    async def put(self, event: Event) -> None:
        """
        Return when the event's packet is confirmed.

        Raises:
            InDoubt: it was not confirmed in time, and may have been stored all the same.
            Unavailable: it was not sent.

        """
        while self._is_full:
            await self._confirmed()
        await self._add((event,))

    async def put_many(self, events: Sequence[Event]) -> list[JobwireError | None]:
        """
        Put events in their order; return for each its error, or None when it is safe.

        Nothing is sent after an event that failed: what comes later must not overtake what may be
        lost. So events of one call never stand in two unconfirmed packets.
        """
        failure: JobwireError | None = None
        safe = 0
        try:
            for part in _parts(events):
                while self._is_full:
                    await self._confirmed()
                await self._add(part)
                safe += len(part)
        except JobwireError as error:
            failure = error
        return [None] * safe + [failure] * (len(events) - safe)

    async def drained(self) -> None:
        """Wait until nothing is open or unconfirmed any more."""
        if self._sending is not None:
            await asyncio.wait([self._sending])

    @property
    def _is_full(self) -> bool:
        return len(self._open.events) >= PACKET_EVENTS or self._open.bytes >= PACKET_BYTES

    def _add(self, events: Sequence[Event]) -> asyncio.Future[None]:
        """Add to the open packet; the future is done when that packet is confirmed."""
        packet = self._open
        packet.events += events
        for event in events:
            packet.bytes += _size(event)
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_all(), name=f"packer.{self._shard}")
        return self._confirmed()

    def _confirmed(self) -> asyncio.Future[None]:
        """Wait for the packet that is open now to be confirmed."""
        loop = asyncio.get_running_loop()
        packet = self._open
        if packet.deadline is None:
            packet.deadline = loop.call_later(self._answer_s, self._give_up, packet)
        waiting: asyncio.Future[None] = loop.create_future()
        packet.waiting.append(waiting)
        return waiting

    async def _send_all(self) -> None:
        try:
            while self._open.events:
                await self._gather()
                packet, self._open = self._open, _OpenPacket()
                if packet.events:  # else its senders were told meanwhile to come back
                    await self._send_one(packet)
        finally:
            self._sending = None

    async def _send_one(self, packet: _OpenPacket) -> None:
        self._last = len(packet.events)
        try:
            await self._send(self._shard, tuple(packet.events))
        except JobwireError as error:
            packet.fail(error)
        except BaseException as error:  # whatever it is, nobody may wait for this packet any more
            _log.exception("packet_failed", shard=self._shard, events=len(packet.events))
            packet.fail(InDoubt("a fault of the service; it is in the log", retry_after_s=1))
            if not (isinstance(error, Exception) or is_stray(error)):
                raise
        else:
            packet.confirm()

    async def _gather(self) -> None:
        """Take in what is about to come: wait turn by turn of the loop while the packet grows."""
        if self._linger_s and self._last > 1 and not self._is_full:
            await asyncio.sleep(self._linger_s)
        loop = asyncio.get_running_loop()
        until = loop.time() + GATHER_S
        count = 0
        while len(self._open.events) > count and not self._is_full and loop.time() < until:
            count = len(self._open.events)
            await asyncio.sleep(0)

    def _give_up(self, packet: _OpenPacket) -> None:
        """Fail those who wait too long; what was not sent yet is not sent any more."""
        kind: type[Unavailable] = InDoubt
        if packet is self._open:
            self._open, kind = _OpenPacket(), Unavailable
        detail = f"the event was not stored within {self._answer_s:g} s; send it again with its id"
        packet.fail(kind(detail, retry_after_s=1))


class _OpenPacket:
    """Events that travel together, and the futures of those who wait for them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.bytes = 0
        self.waiting: list[asyncio.Future[None]] = []
        self.deadline: asyncio.TimerHandle | None = None

    def confirm(self) -> None:
        self._end()
        for waiting in self.waiting:
            if not waiting.done():
                waiting.set_result(None)

    def fail(self, error: JobwireError) -> None:
        self._end()
        for waiting in self.waiting:
            if not waiting.done():
                waiting.set_exception(error)

    def _end(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()


def _parts(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    """Cut events into what fills a packet each; an event that is too large for one is alone."""
    start = total = 0
    for index, event in enumerate(events):
        size = _size(event)
        if index > start and (index - start >= PACKET_EVENTS or total + size > PACKET_BYTES):
            yield events[start:index]
            start, total = index, 0
        total += size
    if events:
        yield events[start:]


def _size(event: Event) -> int:
    """Return the bytes of those parts of an event that may be large."""
    size = len(event.data or b"")
    return size if event.creation is None else size + len(_encoder.encode(event.creation))

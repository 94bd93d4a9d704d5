"""A broker in miniature: durable queues, acknowledgement after the return, redelivery in order."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Sequence

import msgspec

from jobwire.actors.transports.base import BusMessage, ConsumerHandle, Handler, Listener
from jobwire.schemas.commands import Command
from jobwire.schemas.errors import Unavailable
from jobwire.schemas.outcomes import Outcome

_read_outcome = msgspec.msgpack.Decoder(Outcome).decode
_read_command = msgspec.msgpack.Decoder(Command).decode


class Broker:
    """Queues that outlive every process, and what was published beside them."""

    def __init__(self, shards: int) -> None:
        """Make the event queues."""
        self.queues: dict[str, deque[BusMessage]] = {
            f"events.{shard}": deque() for shard in range(shards)
        }
        self.replies: dict[str, list[Outcome]] = defaultdict(list)
        self.commands: list[Command] = []

    @property
    def is_empty(self) -> bool:
        """Return whether nothing waits."""
        return not any(self.queues.values())


class Held:
    """A consumer or a listener, which ends with its line."""

    async def close(self) -> None:
        """Do nothing."""


class Line:
    """One process's connection: its consumers, and what they hold without having acknowledged."""

    #: Like a broker it keeps what was not handled; it takes no packets, so it gives no receipts.
    confirms_when_handled = True

    def __init__(self, broker: Broker) -> None:
        """Connect."""
        self._broker = broker
        self._handlers: dict[str, Handler] = {}
        self._holding: dict[str, list[BusMessage]] = {}
        self.refused = 0
        """How many batches came back without having been handled."""
        self.deliveries: list[asyncio.Task[None]] = []
        self.is_closed = False
        self.is_blocked = False

    def deliver(self, most: int) -> int:
        """Hand out up to `most` messages of each queue; return their number."""
        handed = 0
        for name, handler in self._handlers.items():
            queue = self._broker.queues[name]
            batch = [queue.popleft() for _ in range(min(most, len(queue)))]
            if batch:
                handed += len(batch)
                self._holding[name] = batch
                self.deliveries.append(asyncio.create_task(self._hand(name, handler, batch)))
        return handed

    async def _hand(self, name: str, handler: Handler, batch: Sequence[BusMessage]) -> None:
        try:
            await handler(batch)
        except Unavailable:
            self.refused += 1
            self._requeue(name)
        else:
            self._holding.pop(name, None)

    def hand_over(self) -> None:
        """Let another consumer have the queues."""
        self.drop()

    def drop(self) -> None:
        """Let the broker close the channel: what was not acknowledged goes to the front again."""
        self.is_closed = True
        for name in list(self._holding):
            self._requeue(name)

    def _requeue(self, name: str) -> None:
        batch = self._holding.pop(name, [])
        again = [BusMessage(each.body, redelivered=True) for each in batch]
        self._broker.queues[name].extendleft(reversed(again))

    async def open(self) -> None:
        """Do nothing: a line is open from the start."""

    async def close(self) -> None:
        """Close the channel."""
        self.drop()

    def not_ready(self) -> str | None:
        """Miss nothing."""
        return None

    async def consume(self, queue: str, handler: Handler) -> ConsumerHandle:
        """Remember the consumer of a queue."""
        self._handlers[queue] = handler
        return Held()

    async def dead_letter(self, queue: str, message: BusMessage, reason: str) -> None:
        """Refuse: nothing here is to be set aside."""
        detail = f"{queue}: {message!r} was set aside: {reason}"
        raise AssertionError(detail)

    async def send(self, queue: str, messages: Sequence[bytes]) -> None:
        """Take commands; a blocked broker takes none."""
        if self.is_blocked:
            raise Unavailable(f"{queue} is blocked")
        self._broker.commands += [_read_command(message) for message in messages]

    async def broadcast(self, topic: str, message: bytes) -> None:
        """Drop it; a blocked broker refuses."""
        del message
        if self.is_blocked:
            raise Unavailable(f"{topic} is blocked")

    async def listen(
        self, pattern: str, on_message: Listener, on_missed: Callable[[], None] | None = None
    ) -> ConsumerHandle:
        """Hear nothing: nobody listens here."""
        del pattern, on_message, on_missed
        return Held()

    async def announce(self, topic: str, message: bytes) -> None:
        """Drop it."""

    async def reply(self, address: str, message: bytes) -> None:
        """Keep what was told."""
        self._broker.replies[address].append(_read_outcome(message))

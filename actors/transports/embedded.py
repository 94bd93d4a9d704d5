"""
The bus inside one process: the same encoded bytes, queues and acknowledgements, without a broker.

An event queue confirms a message when its handler has committed it, so an event is answered when
it is on disk. Other queues confirm at once: what they lose in a crash is rebuilt at the next start
from the jobs themselves.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Self

import structlog

from jobwire.actors.runtime.settings import Settings
from jobwire.actors.transports.base import BusMessage, ConsumerHandle, Handler, Listener
from jobwire.schemas.addresses import EVENTS
from jobwire.schemas.errors import InDoubt, Unavailable

_log = structlog.get_logger()

#: Queues whose messages are safe only when they have been handled.
_CONFIRMED_WHEN_HANDLED = f"{EVENTS}."
#: Messages that a queue holds before senders are told to come back.
_QUEUE_LIMIT = 10_000
#: Messages of one batch.
_BATCH = 8

_Waiting = tuple[bytes, asyncio.Future[None]]
"""A message, and the future of its sender."""


class EmbeddedTransport:
    """A bus for actors that share one event loop."""

    confirms_when_handled = True

    def __init__(self) -> None:
        """Make a bus without queues; they come with their first use."""
        self._queues: dict[str, _Queue] = {}
        self._subscribers: list[_LocalSubscriber] = []
        self._open = False

    @classmethod
    def of(cls, settings: Settings, name: str) -> Self:
        """Make a bus without queues."""
        del settings, name  # nobody else meets on it
        return cls()

    async def open(self) -> None:
        """Let messages in."""
        self._open = True

    async def close(self) -> None:
        """Let no message in, finish the batches in hand, and forget the rest."""
        self._open = False
        for queue in self._queues.values():
            await queue.close()
        for subscriber in list(self._subscribers):
            await subscriber.close()

    def not_ready(self) -> str | None:
        """Return whether the bus takes messages."""
        return None if self._open else "bus: closed"

    async def send(self, queue: str, messages: Sequence[bytes]) -> None:
        """
        Put messages in a queue.

        On an event queue return when their handler has committed them.
        """
        if not self._open:
            raise Unavailable("the service is stopping", retry_after_s=2)
        handled = self._queue(queue).put(messages)
        if queue.startswith(_CONFIRMED_WHEN_HANDLED):
            for each in handled:
                await each

    async def consume(self, queue: str, handler: Handler) -> ConsumerHandle:
        """Start handing the queue's messages to a handler, batch after batch."""
        consumer = _LocalConsumer(self._queue(queue), handler)
        consumer.start()
        return consumer

    async def dead_letter(self, queue: str, message: BusMessage, reason: str) -> None:
        """Write the message into the log: what is in this process alone was made by it."""
        _log.error("message_dead_lettered", queue=queue, reason=reason, body=message.body.hex())

    async def broadcast(self, topic: str, message: bytes) -> None:
        """Queue the message for every subscriber of the topic."""
        for subscriber in self._subscribers:
            subscriber.on_message(topic, message)

    async def listen(
        self, pattern: str, on_message: Listener, on_missed: Callable[[], None] | None = None
    ) -> ConsumerHandle:
        """Subscribe to a topic, or to `prefix.*`; nothing is ever missed inside one process."""
        del on_missed
        subscriber = _LocalSubscriber(pattern, on_message, self._subscribers)
        self._subscribers.append(subscriber)
        return subscriber

    async def announce(self, topic: str, message: bytes) -> None:
        """Do nothing: other systems do not reach a bus inside this process."""

    async def reply(self, address: str, message: bytes) -> None:
        """Send to the one listener of an address."""
        await self.broadcast(address, message)

    def _queue(self, name: str) -> _Queue:
        if name not in self._queues:
            self._queues[name] = _Queue(name)
        return self._queues[name]


class _Queue:
    """One queue, and the senders that wait for it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.filled = asyncio.Event()
        self._waiting: deque[_Waiting] = deque()
        self.consumer: _LocalConsumer | None = None

    def put(self, messages: Sequence[bytes]) -> list[asyncio.Future[None]]:
        if len(self._waiting) + len(messages) > _QUEUE_LIMIT:
            raise Unavailable(f"the queue {self.name} is full", retry_after_s=1)
        loop = asyncio.get_running_loop()
        handled = [loop.create_future() for _ in messages]
        self._waiting.extend(zip(messages, handled, strict=True))
        self.filled.set()
        return handled

    def take(self) -> list[_Waiting]:
        batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
        if not self._waiting:
            self.filled.clear()
        return batch

    async def close(self) -> None:
        if self.consumer is not None:
            await self.consumer.close()
        for _, handled in self._waiting:
            _refuse(handled, Unavailable("the service is stopping", retry_after_s=2))
        self._waiting.clear()


class _LocalConsumer:
    """Hands what a queue holds to one handler."""

    def __init__(self, queue: _Queue, handler: Handler) -> None:
        self._queue = queue
        self._handler = handler
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._queue.consumer = self
        self._task = asyncio.create_task(self._consume(), name=f"queue.{self._queue.name}")

    async def close(self) -> None:
        self._closing = True
        self._queue.filled.set()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _consume(self) -> None:
        while True:
            await self._queue.filled.wait()
            if self._closing:
                return
            batch = self._queue.take()
            if not batch:
                continue  # the closing of the consumer before woke this one
            try:
                await self._handler([BusMessage(message) for message, _ in batch])
            except Exception as error:  # noqa: BLE001 - the senders are told, and decide
                _log.warning("handler_failed", queue=self._queue.name, error=str(error))
                for _, handled in batch:
                    _refuse(handled, error)
            else:
                for _, handled in batch:
                    if not handled.done():
                        handled.set_result(None)


class _LocalSubscriber:
    """A subscription with a queue of its own, so that a slow listener delays nobody."""

    def __init__(
        self, pattern: str, listener: Listener, subscribers: list[_LocalSubscriber]
    ) -> None:
        self._pattern = pattern
        self._listener = listener
        self._subscribers = subscribers
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._is_scheduled = False

    def on_message(self, topic: str, message: bytes) -> None:
        pattern = self._pattern
        if pattern != topic and not (pattern.endswith(".*") and topic.startswith(pattern[:-1])):
            return
        self._waiting.append((topic, message))
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._hand_over)

    def _hand_over(self) -> None:
        self._is_scheduled = False
        while self._waiting:
            topic, message = self._waiting.popleft()
            try:
                self._listener(topic, message)
            except Exception:  # noqa: BLE001 - logged; other listeners go on
                _log.exception("listener_failed", topic=topic)

    async def close(self) -> None:
        self._waiting.clear()
        if self in self._subscribers:
            self._subscribers.remove(self)


def _refuse(handled: asyncio.Future[None], error: Exception) -> None:
    if not handled.done():
        unavailable = (
            error
            if isinstance(error, Unavailable)
            else InDoubt("the message was not handled; send it again", retry_after_s=1)
        )
        handled.set_exception(unavailable)
        # A sender that has given up does not look at it.
        handled.exception()

"""
Receives broadcasts through a queue that lives as long as its connection.

What was published while there was no queue, or beyond what the queue holds, is lost. The numbers of
each sender show it, and so does a new connection. Then `on_missed` is called, and the listener
reads the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiormq.abc
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection

from jobwire.actors.runtime.cache import BoundedCache
from jobwire.actors.runtime.tasks import is_ending
from jobwire.actors.transports.base import Listener
from jobwire.actors.transports.rabbitmq.connection import (
    DEADLINE_S,
    RabbitConnection,
    close_channel,
    describe,
    within,
)
from jobwire.actors.transports.rabbitmq.topology import declare_exchanges, declare_subscription

_log = structlog.get_logger()

#: Pause before a lost queue is made again.
_PAUSE_S = 0.2
#: Messages on their way to a listener.
_PREFETCH = 1_000
#: Senders that are remembered.
_MOST_SENDERS = 1_000


class RabbitSubscriber:
    """One subscription to a topic."""

    def __init__(
        self,
        connection: RabbitConnection,
        pattern: str,
        on_message: Listener,
        on_missed: Callable[[], None] | None,
    ) -> None:
        """Subscribe by a connection that is kept open."""
        self._connection = connection
        self._pattern = pattern
        self._on_message = on_message
        self._on_missed = on_missed
        self._last = BoundedCache[str, int](_MOST_SENDERS)
        self._closed = asyncio.Event()
        self._subscribed = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"subscriber.{pattern}")

    @property
    def is_closed(self) -> bool:
        """Whether it has ended."""
        return self._task.done()

    async def subscribed(self) -> None:
        """Wait until broadcasts are received."""
        await self._subscribed.wait()

    async def close(self) -> None:
        """Receive nothing more."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            connection = await self._connection.opened()
            try:
                await self._serve(connection)
            except Exception as error:  # noqa: BLE001 - logged; who gave up here would never heal
                _log.warning("subscription_lost", topic=self._pattern, error=describe(error))
                if is_ending():
                    return
            self._subscribed.clear()
            await asyncio.sleep(_PAUSE_S)

    async def _serve(self, connection: AbstractConnection) -> None:
        async with within(DEADLINE_S):
            channel = await connection.channel(publisher_confirms=False)
        try:
            async with within(DEADLINE_S):
                await self._begin(channel)
            self._subscribed.set()
            self._note_missed()
            await self._closed.wait()
        finally:
            await close_channel(channel)

    async def _begin(self, channel: AbstractChannel) -> None:
        self._closed.clear()
        self._last.clear()
        channel.close_callbacks.add(self._on_closed)
        bare = await channel.get_underlay_channel()
        bare.on_consumer_cancel_callbacks.add(self._on_closed)
        await declare_exchanges(channel)
        queue = await declare_subscription(channel, self._pattern)
        await bare.basic_qos(prefetch_count=_PREFETCH)
        await bare.basic_consume(queue, self._receive, no_ack=True, exclusive=True)

    async def _receive(self, message: aiormq.abc.DeliveredMessage) -> None:
        if self._on_missed is not None:
            self._check_number(message)
        topic = message.routing_key or self._pattern
        try:
            self._on_message(topic, message.body)
        except Exception:  # noqa: BLE001 - logged; other messages go on
            _log.exception("listener_failed", topic=topic)

    def _check_number(self, message: aiormq.abc.DeliveredMessage) -> None:
        """Find a gap in the numbers of a sender."""
        headers = message.header.properties.headers or {}
        sender, number = headers.get("sender"), headers.get("number")
        if not isinstance(sender, str) or not isinstance(number, int):
            return
        last = self._last.get(sender)
        self._last[sender] = number
        if last is not None and number != last + 1:
            self._note_missed()

    def _note_missed(self) -> None:
        if self._on_missed is not None:
            self._on_missed()

    def _on_closed(self, *_: object) -> None:
        self._closed.set()

"""
The bus on RabbitMQ: quorum queues, confirms, one consumer at a time for each queue.

Two connections: one publishes, one consumes, so that a broker that blocks publishers for want of
memory or disk still hands out what it has, which is how it gets better.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Self

from yarl import URL

from jobwire.actors.runtime.settings import Settings
from jobwire.actors.transports.base import BusMessage, ConsumerHandle, Handler, Listener
from jobwire.actors.transports.rabbitmq.connection import RabbitConnection
from jobwire.actors.transports.rabbitmq.consumer import RabbitConsumer
from jobwire.actors.transports.rabbitmq.publisher import RabbitPublisher, properties_of
from jobwire.actors.transports.rabbitmq.subscriber import RabbitSubscriber
from jobwire.actors.transports.rabbitmq.topology import Route, broadcast_route
from jobwire.schemas.addresses import EVENTS_IN, JOBS
from jobwire.schemas.errors import Misconfigured

#: How long `open` and `listen` wait for a broker that is there; one that is away is not waited for.
_READY_S = 2.0
#: Characters of a reason that a header carries.
_REASON_LENGTH = 500


class RabbitTransport:
    """A bus for actors in many processes."""

    confirms_when_handled = False

    def __init__(self, url: str, name: str) -> None:
        """
        Meet others at the broker of a URL.

        Args:
            url: `amqp://` or `amqps://`, with its virtual host.
            name: shown to the broker's operator.

        """
        _check(url)
        self._publisher = RabbitPublisher(url, name)
        self._connection = RabbitConnection(url, f"{name} consumes")
        # What others may publish has a connection of its own: a message that breaks it, because
        # its properties cannot be read, breaks nothing else.
        self._intake = RabbitConnection(url, f"{name} takes in")
        self._consumers: list[RabbitConsumer] = []
        self._subscribers: list[RabbitSubscriber] = []

    @classmethod
    def of(cls, settings: Settings, name: str) -> Self:
        """Meet others at the broker that the settings name."""
        return cls(settings.broker.url or "", name)

    async def open(self) -> None:
        """Begin to connect; a broker that is away is tried again and again."""
        self._publisher.connection.start()
        self._connection.start()
        with suppress(TimeoutError):
            async with asyncio.timeout(_READY_S):
                await self._publisher.connection.opened()
                await self._connection.opened()

    async def close(self) -> None:
        """Hand out nothing more, and disconnect."""
        handles: list[ConsumerHandle] = [*self._consumers, *self._subscribers]
        await asyncio.gather(*(each.close() for each in handles))
        for connection in (self._publisher.connection, self._connection, self._intake):
            await connection.close()

    def not_ready(self) -> str | None:
        """Return what is wrong with the broker, or with what is consumed from it."""
        trouble = self._publisher.not_ready()
        if trouble is None and not self._connection.is_open:
            trouble = self._connection.trouble
        if trouble is not None:
            return f"broker: {trouble}"
        down = [consumer.queue for consumer in self._consumers if consumer.is_down()]
        return f"broker: the queue {down[0]} is not consumed" if down else None

    async def send(self, queue: str, messages: Sequence[bytes]) -> None:
        """Publish to a work queue; return when the broker has every message on disk."""
        await self._publisher.send(queue, messages)

    async def consume(self, queue: str, handler: Handler) -> ConsumerHandle:
        """Hand a queue's messages to a handler while this is its active consumer."""
        connection = self._connection
        if queue == EVENTS_IN:
            connection = self._intake
            connection.start()
        consumer = RabbitConsumer(connection, queue, handler)
        self._consumers = [each for each in self._consumers if not each.is_closed]
        self._consumers.append(consumer)
        return consumer

    async def dead_letter(self, queue: str, message: BusMessage, reason: str) -> None:
        """Put a message into the queue's dead-letter queue, with the reason as a header."""
        headers = {
            **message.headers,
            "x-jobwire-queue": queue,
            "x-jobwire-reason": reason[:_REASON_LENGTH],
        }
        properties = properties_of(
            headers, message_id=message.message_id, content_type=message.content_type
        )
        await self._publisher.dead_letter(queue, message.body, properties)

    async def broadcast(self, topic: str, message: bytes) -> None:
        """Publish to every listener of a topic."""
        await self._publisher.broadcast(broadcast_route(topic), message)

    async def listen(
        self, pattern: str, on_message: Listener, on_missed: Callable[[], None] | None = None
    ) -> ConsumerHandle:
        """Subscribe to a topic, or to `prefix.*`."""
        subscriber = RabbitSubscriber(self._connection, pattern, on_message, on_missed)
        self._subscribers = [each for each in self._subscribers if not each.is_closed]
        self._subscribers.append(subscriber)
        if self._connection.is_open:
            with suppress(TimeoutError):
                async with asyncio.timeout(_READY_S):
                    await subscriber.subscribed()
        return subscriber

    async def announce(self, topic: str, message: bytes) -> None:
        """Publish to the exchange that other systems follow."""
        await self._publisher.announce(Route(JOBS, topic), message)

    async def reply(self, address: str, message: bytes) -> None:
        """Publish to the one listener of an address."""
        await self._publisher.reply(broadcast_route(address), message)


def _check(url: str) -> None:
    """Refuse what is no URL of a broker; it may hold a password, so it is not shown."""
    try:
        parsed = URL(url)
    except ValueError:
        parsed = URL()
    if parsed.scheme not in ("amqp", "amqps") or not parsed.host:
        detail = "the broker's URL cannot be used: it has the form amqp://USER:PASSWORD@HOST/VHOST"
        raise Misconfigured(detail)

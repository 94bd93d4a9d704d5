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
from jobwire.actors.transports.rabbitmq.topology import EVENTS_IN, JOBS, Route, broadcast_route
from jobwire.schemas.errors import Misconfigured

#: How long `open` and `listen` wait for a broker that is there; one that is away is not waited for.
_PATIENCE_S = 2.0
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
        self._link = RabbitConnection(url, f"{name} consumes")
        # What others may publish has a connection of its own: a message that breaks it, because
        # its properties cannot be read, breaks nothing else.
        self._event_consumer = RabbitConnection(url, f"{name} takes in")
        self._consumers: list[RabbitConsumer] = []
        self._ears: list[RabbitSubscriber] = []

    @classmethod
    def of(cls, settings: Settings, name: str) -> Self:
        """Meet others at the broker that the settings name."""
        return cls(settings.broker.url or "", name)

    async def open(self) -> None:
        """Begin to connect; a broker that is away is tried again and again."""
        self._publisher.link.start()
        self._link.start()
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                await self._publisher.link.opened()
                await self._link.opened()

    async def close(self) -> None:
        """Hand out nothing more, and disconnect."""
        handles: list[ConsumerHandle] = [*self._consumers, *self._ears]
        await asyncio.gather(*(each.close() for each in handles))
        for link in (self._publisher.link, self._link, self._event_consumer):
            await link.close()

    def not_ready(self) -> str | None:
        """Return what is wrong with the broker, or with what is consumed from it."""
        trouble = self._publisher.not_ready()
        if trouble is None and not self._link.is_open:
            trouble = self._link.trouble
        if trouble is not None:
            return f"broker: {trouble}"
        down = [consumer.queue for consumer in self._consumers if consumer.is_down()]
        return f"broker: the queue {down[0]} is not consumed" if down else None

    async def send(self, queue: str, messages: Sequence[bytes]) -> None:
        """Publish to a work queue; return when the broker has every message on disk."""
        await self._publisher.send(queue, messages)

    async def consume(self, queue: str, handler: Handler) -> ConsumerHandle:
        """Hand a queue's messages to a handler while this is its active consumer."""
        link = self._link
        if queue == EVENTS_IN:
            link = self._event_consumer
            link.start()
        consumer = RabbitConsumer(link, queue, handler)
        self._consumers = [each for each in self._consumers if not each.is_closed]
        self._consumers.append(consumer)
        return consumer

    async def set_aside(self, queue: str, delivery: BusMessage, reason: str) -> None:
        """Put a message into the queue's dead-letter queue, with the reason as a header."""
        headers = {
            **delivery.headers,
            "x-jobwire-queue": queue,
            "x-jobwire-reason": reason[:_REASON_LENGTH],
        }
        properties = properties_of(
            headers, message_id=delivery.message_id, content_type=delivery.content_type
        )
        await self._publisher.bury(queue, delivery.body, properties)

    async def broadcast(self, topic: str, message: bytes) -> None:
        """Tell every listener of a topic."""
        await self._publisher.tell(broadcast_route(topic), message)

    async def listen(
        self, pattern: str, listener: Listener, missed: Callable[[], None] | None = None
    ) -> ConsumerHandle:
        """Hear a topic, or `prefix.*`."""
        ear = RabbitSubscriber(self._link, pattern, listener, missed)
        self._ears = [each for each in self._ears if not each.is_closed]
        self._ears.append(ear)
        if self._link.is_open:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_S):
                    await ear.hears()
        return ear

    async def announce(self, topic: str, message: bytes) -> None:
        """Publish to the exchange that other systems follow."""
        await self._publisher.announce(Route(JOBS, topic), message)

    async def reply(self, address: str, message: bytes) -> None:
        """Tell the one listener of an address."""
        await self._publisher.whisper(broadcast_route(address), message)


def _check(url: str) -> None:
    """Refuse what is no address of a broker; the text may hold a password, so it is not shown."""
    try:
        parsed = URL(url)
    except ValueError:
        parsed = URL()
    if parsed.scheme not in ("amqp", "amqps") or not parsed.host:
        detail = "the broker's URL cannot be used: it has the form amqp://USER:PASSWORD@HOST/VHOST"
        raise Misconfigured(detail)

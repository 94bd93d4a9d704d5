"""Publishes: to queues with confirms, to topics without."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, cast

import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import DeliveryError
from aiormq.channel import Channel
from aiormq.exceptions import DeliveryError as BareDeliveryError
from aiormq.exceptions import PublishError
from pamqp.commands import Basic

from jobwire.actors.runtime.cache import BoundedCache
from jobwire.actors.transports.rabbitmq.connection import (
    BROKEN,
    DEADLINE_S,
    RabbitConnection,
    close_channel,
    describe,
    within,
)
from jobwire.actors.transports.rabbitmq.topology import (
    DEAD,
    Route,
    declare_exchanges,
    declare_queue,
    route_to,
)
from jobwire.schemas.errors import InDoubt, Unavailable

_log = structlog.get_logger()

#: Longest time to wait for a confirm; shorter than what a client waits for its answer.
_CONFIRM_S = 3.0
#: Longest time to hand a message without confirm to the connection.
_UNCONFIRMED_S = 1.0
#: How long nothing is sent after a confirm did not come.
_DOUBT_S = 1.0
#: How long a queue that was deleted is left to its consumer to be made anew. Made earlier by
#: somebody else, RabbitMQ hands it to the consumer of the deleted one, without a word, and drops
#: each message whose number in the queue that one has had already.
_ABSENT_S = 2.0
#: Routes whose messages are counted.
_MOST_ROUTES = 10_000
#: Messages of one call that are on their way at a time.
_WINDOW = 200
_PERSISTENT = 2


class RabbitPublisher:
    """Publishes on one connection, by two channels: with confirms and without."""

    def __init__(self, url: str, name: str) -> None:
        """Publish to the broker at a URL."""
        self.connection = RabbitConnection(url, f"{name} publishes", self._prepare)
        self._confirming: Channel | None = None
        self._unconfirmed: Channel | None = None
        self._channels: list[AbstractChannel] = []
        self._declared: set[str] = set()
        # Where a queue was missed, and since when.
        self._absent: dict[Route, float] = {}
        self._doubt_until = 0.0
        self._sender = secrets.token_hex(6)
        self._numbers = BoundedCache[Route, int](_MOST_ROUTES)

    def not_ready(self) -> str | None:
        """Return why nothing can be published now."""
        if not self.connection.is_open:
            return self.connection.trouble
        return "it does not confirm" if self._is_in_doubt() else None

    async def send(self, queue: str, messages: Sequence[bytes]) -> None:
        """Publish to a work queue; return when all are confirmed."""
        await self._declare(queue)
        route = route_to(queue)
        for start in range(0, len(messages), _WINDOW):
            window = [
                self._publish_confirmed(
                    queue, route, message, Basic.Properties(delivery_mode=_PERSISTENT)
                )
                for message in messages[start : start + _WINDOW]
            ]
            if len(window) == 1:
                await window[0]
                continue
            results = await asyncio.gather(*window, return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result

    async def dead_letter(self, queue: str, message: bytes, properties: Basic.Properties) -> None:
        """Publish to the dead-letter queue of a work queue; return when that is confirmed."""
        await self._declare(queue)
        properties.delivery_mode = _PERSISTENT
        await self._publish_confirmed(queue, Route(DEAD, queue), message, properties)

    async def broadcast(self, route: Route, message: bytes) -> None:
        """Publish to a topic, numbered: so a listener sees when it has missed some."""
        number = self._numbers[route] = (self._numbers.get(route) or 0) + 1
        headers: dict[str, Any] = {"sender": self._sender, "number": number}
        await self._publish_unconfirmed(
            route, message, Basic.Properties(delivery_mode=1, headers=headers)
        )

    async def reply(self, route: Route, message: bytes) -> None:
        """Publish to one listener, which needs no numbers."""
        await self._publish_unconfirmed(route, message, Basic.Properties(delivery_mode=1))

    async def announce(self, route: Route, message: bytes) -> None:
        """Publish to other systems, whose queues may be durable."""
        properties = Basic.Properties(
            delivery_mode=_PERSISTENT, content_type="application/json", app_id="jobwire"
        )
        await self._publish_unconfirmed(route, message, properties)

    async def _prepare(self, connection: AbstractConnection) -> None:
        """Open both channels of a fresh connection, and make the exchanges."""
        confirming = await connection.channel(publisher_confirms=True, on_return_raises=True)
        unconfirmed = await connection.channel(publisher_confirms=False)
        await declare_exchanges(unconfirmed)
        self._channels = [confirming, unconfirmed]  # held: a channel that nobody holds is closed
        self._confirming = cast("Channel", await confirming.get_underlay_channel())
        self._unconfirmed = cast("Channel", await unconfirmed.get_underlay_channel())
        self._declared.clear()
        self._doubt_until = 0.0

    async def _declare(self, queue: str) -> None:
        """Make a queue before the first message to it, on a channel that may break."""
        if queue in self._declared:
            return
        connection = self.connection.current()
        try:
            async with within(DEADLINE_S - 1):
                channel = await connection.channel(publisher_confirms=False)
                try:
                    await declare_queue(channel, queue)
                finally:
                    await close_channel(channel)
        except BROKEN as error:
            self._mark_in_doubt(connection, error)
            raise _unavailable(f"the queue {queue} cannot be declared") from error
        self._declared.add(queue)

    async def _publish_confirmed(
        self, queue: str, route: Route, message: bytes, properties: Basic.Properties
    ) -> None:
        connection = self.connection.current()
        if self._is_in_doubt() or self._confirming is None:
            raise _unavailable("it did not confirm a moment ago")
        try:
            async with within(_CONFIRM_S):
                await self.connection.ready()
                await self._confirming.basic_publish(
                    message,
                    exchange=route.exchange,
                    routing_key=route.key,
                    properties=properties,
                    mandatory=True,
                    wait=False,
                )
        except PublishError as error:
            self._note_absent(queue, route)
            raise _unavailable(f"the queue {queue} is not there") from error
        except (DeliveryError, BareDeliveryError) as error:
            detail = f"the queue {queue} is full, or has no leader now"
            raise _unavailable(detail, InDoubt) from error
        except BROKEN as error:
            self._mark_in_doubt(connection, error)
            raise _unavailable("it did not confirm", InDoubt) from error
        if self._absent:
            self._absent.pop(route, None)

    def _note_absent(self, queue: str, route: Route) -> None:
        """Leave a queue that was deleted to its consumer; after a while declare it anew here."""
        now = asyncio.get_running_loop().time()
        if now - self._absent.setdefault(route, now) > _ABSENT_S:
            self._declared.discard(queue)

    async def _publish_unconfirmed(
        self, route: Route, message: bytes, properties: Basic.Properties
    ) -> None:
        connection = self.connection.current()
        if self._is_in_doubt() or self._unconfirmed is None:
            raise _unavailable("it did not confirm a moment ago")
        try:
            async with within(_UNCONFIRMED_S):
                await self.connection.ready()
                await self._unconfirmed.basic_publish(
                    message,
                    exchange=route.exchange,
                    routing_key=route.key,
                    properties=properties,
                    wait=False,
                )
        except BROKEN as error:
            self._mark_in_doubt(connection, error)
            raise _unavailable("it does not take messages") from error

    def _mark_in_doubt(self, connection: AbstractConnection, error: BaseException) -> None:
        """Refuse quickly for a moment, and try on a new connection after that."""
        self._doubt_until = asyncio.get_running_loop().time() + _DOUBT_S
        _log.warning("broker_in_doubt", connection=self.connection.name, error=describe(error))
        self.connection.give_up(connection, "it did not confirm")

    def _is_in_doubt(self) -> bool:
        return asyncio.get_running_loop().time() < self._doubt_until


def properties_of(headers: Mapping[str, Any], **fields: Any) -> Basic.Properties:
    """Make the properties of a message."""
    return Basic.Properties(headers=dict(headers), **fields)


def _unavailable(detail: str, kind: type[Unavailable] = Unavailable) -> Unavailable:
    return kind(f"the broker is away: {detail}", retry_after_s=2)

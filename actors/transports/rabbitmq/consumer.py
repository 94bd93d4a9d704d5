"""
Consumes a work queue: batch after batch to one handler, each acknowledged when it returned.

A channel of its own for each queue: closing it gives back in order whatever was not handled. A
consumer is never cancelled with deliveries in hand, because the next one would then overtake them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

import aiormq.abc
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection

from actors.transports.base import Delivery, Handler
from actors.transports.rabbitmq.link import BROKEN, DEADLINE_S, Link, close_channel, describe
from actors.transports.rabbitmq.topology import EVENTS, declare_queue, route_to

_log = structlog.get_logger()

#: Packets that a shard's consumer holds, and messages that any other one does.
_PACKETS, _MESSAGES = 8, 400
#: First and longest pause after a batch that could not be handled.
_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
#: A consumer without a channel for so long makes its process unfit.
_DOWN_S = 30.0


class _Arrived(NamedTuple):
    tag: int
    delivery: Delivery


class _GoneError(Exception):
    """The channel, or the queue, has gone."""


class Consumer:
    """Hands one queue's messages to one handler."""

    def __init__(self, link: Link, queue: str, handler: Handler) -> None:
        """Consume by a connection that is kept open."""
        self.queue = queue
        self._link = link
        self._handler = handler
        self._prefetch = _PACKETS if route_to(queue).exchange == EVENTS else _MESSAGES
        self._arrived: deque[_Arrived] = deque()
        self._wake = asyncio.Event()
        self._gone = False
        self._closing = False
        self._pause_s = _PAUSE_S
        self._down_since: float | None = asyncio.get_running_loop().time()
        self._task = asyncio.create_task(self._run(), name=f"consumer.{queue}")

    async def close(self) -> None:
        """Finish the batch in hand, and leave the rest to the next consumer."""
        self._closing = True
        self._wake.set()
        if self._link.is_open:
            await asyncio.wait([self._task])
        else:
            self._task.cancel()
            await asyncio.wait([self._task])

    @property
    def is_closed(self) -> bool:
        """Whether it has ended."""
        return self._task.done()

    def is_down(self) -> bool:
        """Say whether it has had no channel for long."""
        since = self._down_since
        return since is not None and asyncio.get_running_loop().time() - since > _DOWN_S

    async def _run(self) -> None:
        while not self._closing:
            connection = await self._link.opened()
            try:
                await self._serve(connection)
            except _GoneError:
                _log.warning("consumer_lost", queue=self.queue)
                await asyncio.sleep(_PAUSE_S)
            except BROKEN as error:
                _log.warning("consumer_broken", queue=self.queue, error=describe(error))
                await self._rest()
            except Exception as error:  # noqa: BLE001 - logged; the batch is handed out again
                _log.warning("handler_failed", queue=self.queue, error=describe(error))
                await self._rest()
            finally:
                self._down_since = asyncio.get_running_loop().time()

    async def _rest(self) -> None:
        """Pause before the batch is handed out again: its cause may need time to end."""
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)

    async def _serve(self, connection: AbstractConnection) -> None:
        async with asyncio.timeout(DEADLINE_S):
            channel = await connection.channel(publisher_confirms=False)
        try:
            async with asyncio.timeout(DEADLINE_S):
                bare = await self._begin(channel)
            self._down_since = None
            while not self._closing:
                await self._wake.wait()
                await self._hand_out(bare)
        finally:
            self._arrived.clear()
            await close_channel(channel)

    async def _begin(self, channel: AbstractChannel) -> aiormq.abc.AbstractChannel:
        self._gone = False
        self._arrived.clear()
        channel.close_callbacks.add(self._lose)
        bare = await channel.get_underlay_channel()
        bare.on_consumer_cancel_callbacks.add(self._lose)
        await declare_queue(channel, self.queue)
        await bare.basic_qos(prefetch_count=self._prefetch)
        await bare.basic_consume(self.queue, self._take)
        return bare

    async def _hand_out(self, bare: aiormq.abc.AbstractChannel) -> None:
        self._wake.clear()
        if self._gone:
            raise _GoneError
        if not self._arrived or self._closing:
            return
        batch = list(self._arrived)
        self._arrived.clear()
        await self._handler([each.delivery for each in batch])
        self._pause_s = _PAUSE_S
        await bare.basic_ack(batch[-1].tag, multiple=True)
        if self._arrived or self._gone:
            self._wake.set()

    async def _take(self, message: aiormq.abc.DeliveredMessage) -> None:
        self._arrived.append(_Arrived(message.delivery_tag or 0, _delivery(message)))
        self._wake.set()

    def _lose(self, *_: object) -> None:
        self._gone = True
        self._wake.set()


def _delivery(message: aiormq.abc.DeliveredMessage) -> Delivery:
    properties = message.header.properties
    headers = properties.headers or {}
    return Delivery(
        message.body,
        redelivered=bool(message.redelivered or headers.get("x-delivery-count")),
        message_id=properties.message_id,
        content_type=properties.content_type,
        headers=headers,
    )

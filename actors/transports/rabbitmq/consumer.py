"""
Consumes a work queue: batch after batch to one handler, each acknowledged when it returned.

A channel of its own for each queue: closing it gives back in order whatever was not handled. A
consumer is never cancelled with deliveries in hand, because the next one would then overtake them.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from contextlib import suppress
from typing import NamedTuple

import aiormq.abc
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection

from jobwire.actors.runtime.backoff import Backoff
from jobwire.actors.transports.base import BusMessage, Handler
from jobwire.actors.transports.rabbitmq.connection import (
    DEADLINE_S,
    RabbitConnection,
    answered,
    close_channel,
    describe,
    within,
)
from jobwire.actors.transports.rabbitmq.topology import declare_queue, route_to
from jobwire.schemas.addresses import EVENTS

_log = structlog.get_logger()

#: Packets that a shard's consumer holds, and messages that any other one does.
_PACKETS, _MESSAGES = 32, 200
#: First and longest pause after a batch that could not be handled.
_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
#: A consumer without a channel for so long makes its process unfit.
_DOWN_S = 30.0
#: How long nothing may come before the queue is asked whether there is something, and how long the
#: answer may be overtaken by what is on its way.
_IDLE_S, _OVERTAKEN_S = 2.0, 1.0
#: Longest time that it may take to answer: a queue without a leader may take for ever.
_ASKED_S = 3.0
#: How long a close waits for the batch in hand.
_CLOSE_S = 15.0


class _GoneError(Exception):
    """The channel, or the queue, has gone."""


class _FailedError(Exception):
    """The handler has failed."""


class _StalledError(Exception):
    """The queue holds messages, and hands none of them out here."""


class _Arrived(NamedTuple):
    tag: int
    message: BusMessage


class _Inbox:
    """What one channel was delivered, and whether the channel is there still."""

    def __init__(self) -> None:
        self.wake = asyncio.Event()
        self.is_gone = False
        self._arrived: deque[_Arrived] = deque()

    async def take(self, message: aiormq.abc.DeliveredMessage) -> None:
        self._arrived.append(_Arrived(message.delivery_tag or 0, _bus_message(message)))
        self.wake.set()

    def on_closed(self, *_: object) -> None:
        self.is_gone = True
        self.wake.set()

    async def batch(self, timeout_s: float) -> list[_Arrived]:
        """Wait for deliveries and take them all; none: nothing has come in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.wake.wait()
        self.wake.clear()
        if self.is_gone:
            raise _GoneError
        batch = list(self._arrived)
        self._arrived.clear()
        return batch


class RabbitConsumer:
    """Hands one queue's messages to one handler."""

    def __init__(self, connection: RabbitConnection, queue: str, handler: Handler) -> None:
        """Consume by a connection that is kept open."""
        self.queue = queue
        self._connection = connection
        self._handler = handler
        self._inbox = _Inbox()
        self._closing = False
        # After a channel was lost messages are taken one by one: should it be one of them that
        # breaks it, its neighbours are not counted as delivered again and again.
        self._is_careful = False
        self._backoff = Backoff(_PAUSE_S, _LONGEST_PAUSE_S)
        # Never yet: not ready before it consumes for the first time.
        self._down_since: float | None = -math.inf
        self._task = asyncio.create_task(self._run(), name=f"consumer.{queue}")

    async def close(self) -> None:
        """Finish the batch in hand, and leave the rest to the next consumer."""
        self._closing = True
        self._inbox.wake.set()
        if self._connection.is_open:
            await asyncio.wait([self._task], timeout=_CLOSE_S)
        self._task.cancel()
        await asyncio.wait([self._task])

    @property
    def is_closed(self) -> bool:
        """Whether it has ended."""
        return self._task.done()

    def is_down(self) -> bool:
        """Return whether it has had no channel for long, or has not had one yet."""
        since = self._down_since
        if self._closing or since is None:
            return False
        return asyncio.get_running_loop().time() - since > _DOWN_S

    async def _run(self) -> None:
        while not self._closing:
            connection = await self._connection.opened()
            try:
                await self._serve(connection)
            except _FailedError as error:
                _log.warning("handler_failed", queue=self.queue, error=str(error))
                await self._pause()
            except Exception as error:  # noqa: BLE001 - logged; who gave up here would never heal
                _log.warning("consumer_lost", queue=self.queue, error=describe(error))
                self._is_careful = True
                await self._pause()
            finally:
                if self._down_since is None:
                    self._down_since = asyncio.get_running_loop().time()

    async def _pause(self) -> None:
        """Pause before the batch is handed out again: its cause may need time to end."""
        await asyncio.sleep(self._backoff.next_s())

    async def _serve(self, connection: AbstractConnection) -> None:
        """Consume on one channel, as long as it is there and taken from as it should be."""
        self._inbox = inbox = _Inbox()
        async with within(DEADLINE_S):
            channel = await connection.channel(publisher_confirms=False)
        try:
            async with within(DEADLINE_S):
                bare = await self._begin(channel, inbox)
            self._down_since = None
            is_careful = self._is_careful
            while not self._closing and self._is_careful == is_careful:
                batch = await inbox.batch(_IDLE_S)
                if not batch and await self._holds_messages(bare):
                    batch = await inbox.batch(_OVERTAKEN_S)
                    if not batch and not self._closing:
                        raise _StalledError("the queue holds messages, and hands none out")
                await self._handle(bare, batch)
        finally:
            await close_channel(channel)

    async def _begin(self, channel: AbstractChannel, inbox: _Inbox) -> aiormq.abc.AbstractChannel:
        channel.close_callbacks.add(inbox.on_closed)
        bare = await channel.get_underlay_channel()
        bare.on_consumer_cancel_callbacks.add(inbox.on_closed)
        await declare_queue(channel, self.queue)
        await bare.basic_qos(prefetch_count=self._prefetch())
        # The operator of the broker sees by its tag which process has which queue.
        await bare.basic_consume(self.queue, inbox.take, consumer_tag=self._connection.name)
        return bare

    async def _holds_messages(self, bare: aiormq.abc.AbstractChannel) -> bool:
        """
        Ask the queue whether it has messages that it could hand out.

        A broker may give a queue that was deleted and declared anew to its old consumer in silence,
        drop the messages whose numbers that one has had already, and wait for their
        acknowledgements. Publishers leave the queue to its consumer for a while, so that this does
        not come about; should it all the same, its end is found here. For a consumer that
        stands by another one, beginning again changes nothing.
        """
        if self._closing:
            return False
        async with within(_ASKED_S):
            declared = await bare.queue_declare(self.queue, passive=True)
        return bool(declared.message_count)

    def _prefetch(self) -> int:
        if self._is_careful:
            return 1
        return _PACKETS if route_to(self.queue).exchange == EVENTS else _MESSAGES

    async def _handle(self, bare: aiormq.abc.AbstractChannel, batch: list[_Arrived]) -> None:
        if not batch or self._closing:
            return
        try:
            with answered():
                await self._handler([each.message for each in batch])
        except Exception as error:
            raise _FailedError(describe(error)) from error
        async with within(DEADLINE_S):
            await bare.basic_ack(batch[-1].tag, multiple=True)
        self._backoff.reset()
        if not batch[-1].message.redelivered:
            self._is_careful = False


def _bus_message(message: aiormq.abc.DeliveredMessage) -> BusMessage:
    properties = message.header.properties
    headers = properties.headers or {}
    return BusMessage(
        message.body,
        redelivered=bool(message.redelivered or headers.get("x-delivery-count")),
        message_id=properties.message_id,
        content_type=properties.content_type,
        headers=headers,
    )

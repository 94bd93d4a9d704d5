"""The queues as a real broker has them: what each one limits, and what it does not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from jobwire.actors.transports.rabbitmq import topology
from jobwire.actors.transports.rabbitmq.topology import (
    dead_queue,
    declare_exchanges,
    declare_queue,
    route_to,
)
from tests.support.deadlines import until

#: More often than a command may be handed out.
_OFTEN = 25


@pytest.fixture
async def channel(broker_url: str) -> AsyncIterator[AbstractChannel]:
    """Yield a channel of a broker that has the exchanges."""
    connection = await aio_pika.connect(broker_url)
    async with connection, connection.channel() as opened:
        await declare_exchanges(opened)
        yield opened


async def _publish(channel: AbstractChannel, queue: str) -> None:
    route = route_to(queue)
    exchange = await channel.get_exchange(route.exchange)
    message = aio_pika.Message(b"x", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    await exchange.publish(message, routing_key=route.key)


async def _hand_back(channel: AbstractChannel, queue: str) -> list[bool]:
    """Consume a queue and hand back what comes, for ever; return what grows with each time."""
    times: list[bool] = []

    async def hand_back(message: AbstractIncomingMessage) -> None:
        times.append(bool(message.redelivered))
        await message.nack(requeue=True)

    await (await channel.get_queue(queue)).consume(hand_back)
    return times


async def _count(channel: AbstractChannel, queue: str) -> int:
    declared = await channel.declare_queue(queue, passive=True)
    return declared.declaration_result.message_count or 0


@pytest.mark.servers
async def test_a_packet_is_handed_out_as_often_as_it_takes(channel: AbstractChannel) -> None:
    queue = "events.0"
    await declare_queue(channel, queue)
    await _publish(channel, queue)

    times = await _hand_back(channel, queue)

    await until(lambda: len(times) > _OFTEN)
    assert await _count(channel, dead_queue(queue)) == 0


@pytest.mark.servers
@pytest.mark.parametrize("queue", ["commands.stager", "events.in"])
async def test_what_others_send_and_nobody_can_take_becomes_a_dead_letter(
    channel: AbstractChannel, queue: str
) -> None:
    await declare_queue(channel, queue)
    await _publish(channel, queue)

    times = await _hand_back(channel, queue)

    async def is_dead() -> bool:
        return await _count(channel, dead_queue(queue)) == 1

    await until(is_dead)
    assert len(times) < _OFTEN


@pytest.mark.servers
async def test_dead_letters_go_after_their_time(
    channel: AbstractChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = topology._DEAD_MS / 86_400_000
    monkeypatch.setattr(topology, "_DEAD_MS", 300)
    await declare_queue(channel, "events.in")
    dead = await channel.get_exchange(topology.DEAD)

    await dead.publish(aio_pika.Message(b"letter"), routing_key="events.in")
    before = await _count(channel, dead_queue("events.in"))

    async def is_gone() -> bool:
        return await _count(channel, dead_queue("events.in")) == 0

    await until(is_gone)
    assert (days, before) == (30, 1)

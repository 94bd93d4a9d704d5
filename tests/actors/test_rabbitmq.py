"""The bus on a real RabbitMQ: what it keeps, what it gives again, what it says when it cannot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import aio_pika
import pytest
import structlog
from structlog.testing import capture_logs
from yarl import URL

from jobwire.actors.transports.base import BusMessage
from jobwire.actors.transports.rabbitmq import RabbitTransport, connection
from jobwire.actors.transports.rabbitmq.connection import RabbitConnection
from jobwire.actors.transports.rabbitmq.topology import (
    QUEUE_BYTES,
    broadcast_route,
    dead_queue,
    route_to,
    subscription_route,
)
from jobwire.schemas.errors import InDoubt, Unavailable
from tests.support.consumers import Consumer, numbered
from tests.support.deadlines import PATIENCE_S, turns, until
from tests.support.rabbitmq import RabbitServer
from tests.support.stopwatch import Stopwatch

_MIB = 1024 * 1024


@pytest.fixture
async def bus(broker_url: str) -> AsyncIterator[RabbitTransport]:
    """Yield an open transport."""
    opened = RabbitTransport(broker_url, "test")
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def other(broker_url: str) -> AsyncIterator[RabbitTransport]:
    """Yield the transport of another process."""
    opened = RabbitTransport(broker_url, "other")
    await opened.open()
    yield opened
    await opened.close()


async def _get(url: str, queue: str) -> aio_pika.abc.AbstractIncomingMessage:
    """Take one message of a queue, as an operator would."""
    connection = await aio_pika.connect(url)
    async with connection, connection.channel() as channel:
        return await _take(await channel.get_queue(queue, ensure=False))


async def _take(queue: aio_pika.abc.AbstractQueue) -> aio_pika.abc.AbstractIncomingMessage:
    """Wait for a message, and take it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            message = await queue.get(fail=False, no_ack=True)
            if message is not None:
                return message
            await asyncio.sleep(0.02)


async def test_a_connection_whose_preparation_fails_while_it_is_closed_is_closed(
    broker_url: str,
) -> None:
    begun = asyncio.Event()

    async def prepare(_: aio_pika.abc.AbstractConnection) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            message = "a channel that is gone"
            raise RuntimeError(message)

    made = RabbitConnection(broker_url, "test", prepare)
    made.start()
    await begun.wait()
    async with asyncio.timeout(PATIENCE_S):
        await made.close()

    assert not made.is_open


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("queue", "exchange", "key"),
    [
        ("events.0", "events", "0"),
        ("events.in", "events.in", "events.in"),
        ("commands.stager", "commands", "stager"),
        ("commands.site.local", "commands", "site.local"),
    ],
)
def test_a_queue_has_its_exchange(queue: str, exchange: str, key: str) -> None:
    assert route_to(queue) == (exchange, key)


def test_broadcasts_meet_their_listeners() -> None:
    assert broadcast_route("entries") == subscription_route("entries") == ("entries", "")
    assert broadcast_route("replies.a.1") == ("signals", "replies.a.1")
    assert subscription_route("replies.a.*") == ("signals", "replies.a.#")
    assert subscription_route("packets.a") == ("signals", "packets.a")


# --- what it keeps --------------------------------------------------------------------------------


async def test_messages_outlive_the_process_that_sent_them(
    broker_url: str, other: RabbitTransport
) -> None:
    sender = RabbitTransport(broker_url, "sender")
    await sender.open()
    await sender.send("events.0", numbered(3))
    await sender.close()

    consumer = Consumer()
    await other.consume("events.0", consumer)
    await until(lambda: consumer.messages == numbered(3))


async def test_what_a_handler_failed_at_is_handed_out_again_marked_and_in_order(
    bus: RabbitTransport,
) -> None:
    consumer = Consumer(error=RuntimeError("a fault"))
    await bus.send("events.0", numbered(5))
    await bus.consume("events.0", consumer)
    await until(lambda: consumer.finished > 0)
    first = len(consumer.deliveries)

    consumer.error = None
    await bus.send("events.0", numbered(5, 5))
    await until(lambda: consumer.messages[-1] == b"9")

    again = consumer.deliveries[first:]
    assert [each.body for each in again][-10:] == numbered(10)
    assert all(each.redelivered for each in again if int(each.body) < first)
    assert not any(each.redelivered for each in consumer.deliveries[:first])


async def test_one_consumer_at_a_time_gets_a_queue_and_the_next_takes_over_in_order(
    bus: RabbitTransport, other: RabbitTransport
) -> None:
    first, second = Consumer(), Consumer()
    handle = await bus.consume("events.0", first)
    await bus.send("events.0", numbered(3))
    await until(lambda: len(first.messages) == 3)
    await other.consume("events.0", second)
    await bus.send("events.0", numbered(3, 3))
    await until(lambda: len(first.messages) == 6)
    shared = list(second.messages)

    await handle.close()
    await bus.send("events.0", numbered(3, 6))
    await until(lambda: len(second.messages) == 3)

    assert shared == []
    assert first.messages + second.messages == numbered(9)


async def test_what_a_closed_consumer_had_not_handed_out_goes_to_the_next_in_its_place(
    bus: RabbitTransport, other: RabbitTransport
) -> None:
    slow, next_one = Consumer(held=True), Consumer()
    handle = await bus.consume("events.0", slow)
    await bus.send("events.0", [b"0"])
    await slow.begun.wait()
    await bus.send("events.0", numbered(7, 1))  # prefetched, not handed out

    closing = asyncio.create_task(handle.close())
    await turns()
    slow.let_go.set()
    await closing
    await other.consume("events.0", next_one)
    await until(lambda: len(next_one.messages) == 7)

    assert slow.messages == [b"0"]
    assert next_one.messages == numbered(7, 1)


async def test_a_queue_over_its_limit_refuses_and_takes_in_again(bus: RabbitTransport) -> None:
    message = b"x" * _MIB
    sent = 0
    with pytest.raises(Unavailable) as caught:  # noqa: PT012 - the limit is approximate
        for _ in range(2 * QUEUE_BYTES // _MIB):
            await bus.send("commands.full", [message])
            sent += 1

    consumer = Consumer()
    await bus.consume("commands.full", consumer)
    await until(lambda: len(consumer.messages) >= sent)
    await bus.send("commands.full", [b"y"])

    assert "full" in caught.value.detail
    assert caught.value.retry_after_s is not None
    assert sent >= QUEUE_BYTES // _MIB
    await until(lambda: consumer.messages[-1] == b"y")


async def test_what_is_set_aside_lies_in_the_dead_letter_queue_with_its_reason(
    bus: RabbitTransport, broker_url: str
) -> None:
    delivery = BusMessage(b"nonsense", message_id="m-1", content_type="x/y", headers={"a": "b"})

    await bus.dead_letter("commands.stager", delivery, "not a command: " + "x" * 2_000)
    message = await _get(broker_url, dead_queue("commands.stager"))

    assert (message.body, message.message_id, message.content_type) == (b"nonsense", "m-1", "x/y")
    assert message.headers["a"] == "b"
    assert message.headers["x-jobwire-queue"] == "commands.stager"
    reason = message.headers["x-jobwire-reason"]
    assert isinstance(reason, str)
    assert reason.startswith("not a command")
    assert len(reason) <= 500


async def test_other_systems_hear_announcements_by_topic(
    bus: RabbitTransport, broker_url: str
) -> None:
    connection = await aio_pika.connect(broker_url)
    async with connection, connection.channel() as channel:
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind("jobs", "pipeline.FINISHED.*")

        await bus.announce("pipeline.RUNNING.1", b"no")
        await bus.announce("pipeline.FINISHED.2", b"yes")
        message = await _take(queue)

    assert (message.body, message.routing_key) == (b"yes", "pipeline.FINISHED.2")
    assert message.content_type == "application/json"


# --- what may be missed ---------------------------------------------------------------------------


async def test_a_listener_is_told_once_it_hears_and_not_while_nothing_is_lost(
    bus: RabbitTransport,
) -> None:
    heard: list[bytes] = []
    missed: list[None] = []
    await bus.listen("entries", lambda _, body: heard.append(body), lambda: missed.append(None))
    for body in numbered(30):
        await bus.broadcast("entries", body)
        await bus.broadcast("other", body)
        await bus.reply("replies.x", body)
    await until(lambda: heard == numbered(30))

    assert len(missed) == 1


async def test_a_gap_in_what_a_sender_told_is_noticed(
    bus: RabbitTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[bytes] = []
    missed: list[None] = []
    await bus.listen("entries", lambda _, body: heard.append(body), lambda: missed.append(None))
    await bus.broadcast("entries", b"1")

    async def lose(*_: Any) -> None:
        raise Unavailable

    with monkeypatch.context() as patched:
        patched.setattr(bus._publisher, "_publish_unconfirmed", lose)
        with pytest.raises(Unavailable):
            await bus.broadcast("entries", b"2")
    await bus.broadcast("entries", b"3")
    await until(lambda: heard == [b"1", b"3"])

    assert len(missed) == 2


# --- when it cannot -------------------------------------------------------------------------------


def _wrong_password(url: URL) -> URL:
    return url.with_password("hush-hush")


def _nobody_there(url: URL) -> URL:
    return url.with_port(9)


@pytest.mark.parametrize(
    ("change", "cause"),
    [(_wrong_password, "ACCESS_REFUSED"), (_nobody_there, "Connect call failed")],
    ids=["wrong password", "nobody there"],
)
async def test_what_broker_and_driver_say_of_a_failure_is_logged_and_answered_to_nobody(
    broker_url: str, change: Callable[[URL], URL], cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_log", structlog.get_logger())
    structlog.reset_defaults()
    with capture_logs() as lines:
        bus = RabbitTransport(str(change(URL(broker_url))), "test")
        await bus.open()
        await until(lambda: bus.not_ready() == "broker: no connection")
        with pytest.raises(Unavailable) as caught:
            await bus.send("events.0", [b"1"])
        await bus.close()

    assert caught.value.detail == "the broker is away: no connection"
    # Those who run it are told the cause, and nobody the password.
    causes = [line["error"] for line in lines if line["event"] == "broker_away"]
    assert any(cause in each for each in causes)
    assert not any("hush" in str(line) for line in lines)


async def test_what_a_queue_that_differs_says_is_logged_and_answered_to_nobody(
    bus: RabbitTransport, broker_url: str
) -> None:
    connection = await aio_pika.connect(broker_url)
    async with connection, connection.channel() as channel:
        await channel.declare_queue("events.7", durable=True)  # of another kind

        with pytest.raises(Unavailable) as caught:
            await bus.send("events.7", [b"1"])

        assert caught.value.detail == ("the broker is away: the queue events.7 cannot be declared")


async def test_a_broker_that_is_not_there_is_said_at_once() -> None:
    bus = RabbitTransport("amqp://nobody:sesame@127.0.0.1:1/", "test")
    before = bus.not_ready()
    await bus.open()
    with pytest.raises(Unavailable) as caught:
        await bus.send("events.0", [b"a"])
    with pytest.raises(Unavailable):
        await bus.broadcast("entries", b"a")
    missing = bus.not_ready()
    await bus.close()

    assert before is not None
    assert missing is not None
    assert missing.startswith("broker:")
    assert caught.value.retry_after_s is not None
    assert "sesame" not in missing + caught.value.detail


async def _is_sent(bus: RabbitTransport, message: bytes) -> bool:
    """Send to a shard; say whether it was taken."""
    try:
        await bus.send("events.0", [message])
    except Unavailable:
        return False
    return True


async def _well(bus: RabbitTransport, consumer: Consumer, message: bytes) -> None:
    """Send until it succeeds, and wait until it was handed out."""
    await until(lambda: _is_sent(bus, message))
    await until(lambda: message in consumer.messages)


async def _delete(url: str, queue: str) -> None:
    """Delete a queue, as an operator may."""
    connection = await aio_pika.connect(url)
    async with connection, connection.channel() as channel:
        await channel.queue_delete(queue)


async def test_a_deleted_queue_is_left_to_its_consumer_and_in_the_end_made_anew(
    bus: RabbitTransport, other: RabbitTransport, broker_url: str
) -> None:
    await bus.send("events.0", [b"lost"])
    await _delete(broker_url, "events.0")

    began = time.monotonic()
    await until(lambda: _is_sent(bus, b"kept"))
    alone_s = time.monotonic() - began
    consumer = Consumer()
    await other.consume("events.0", consumer)
    await until(lambda: consumer.messages == [b"kept"])
    await _delete(broker_url, "events.0")
    watch = Stopwatch()
    await _well(bus, consumer, b"made anew by its consumer")
    consumed_s = watch.seconds

    assert alone_s > 1.5
    assert consumed_s < alone_s


@pytest.fixture
async def broken(own_rabbit: RabbitServer) -> AsyncIterator[tuple[RabbitServer, RabbitTransport]]:
    """Yield a broker that may be broken, and a transport to it."""
    bus = RabbitTransport(own_rabbit.vhost(), "test")
    await bus.open()
    yield own_rabbit, bus
    await bus.close()


@pytest.mark.fault
async def test_it_is_well_again_after_all_that_may_happen_to_a_broker(
    broken: tuple[RabbitServer, RabbitTransport],
) -> None:
    rabbit, bus = broken
    consumer, heard, missed = Consumer(), list[bytes](), list[None]()
    await bus.consume("events.0", consumer)
    await bus.listen("entries", lambda _, body: heard.append(body), lambda: missed.append(None))
    await _well(bus, consumer, b"at first")

    await asyncio.to_thread(rabbit.close_connections, "test")
    await _well(bus, consumer, b"after closed connections")
    await until(lambda: len(missed) > 1)

    await asyncio.to_thread(rabbit.restart)
    await _well(bus, consumer, b"after a restart")

    await asyncio.to_thread(rabbit.pause)
    together = await asyncio.gather(
        *(bus.send(f"events.{shard}", [b"x"]) for shard in range(4)), return_exceptions=True
    )
    assert all(isinstance(each, Unavailable) for each in together)
    # What was sent may be safe all the same; a queue that cannot be declared was sent nothing.
    assert isinstance(together[0], InDoubt)
    refused = await _refusals(bus, 2)
    await asyncio.to_thread(rabbit.resume)
    await _well(bus, consumer, b"after a pause")
    assert max(refused) < 5

    await asyncio.to_thread(rabbit.memory_alarm, True)
    refused = await _refusals(bus, 3)
    said = bus.not_ready()
    await asyncio.to_thread(rabbit.memory_alarm, False)
    await _well(bus, consumer, b"after an alarm")
    assert max(refused) < 5
    assert said is not None

    await until(lambda: bus.not_ready() is None)
    await bus.broadcast("entries", b"heard")
    await until(lambda: b"heard" in heard)


async def test_a_message_whose_properties_cannot_be_read_harms_no_other(
    bus: RabbitTransport, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobwire.actors.transports.rabbitmq.consumer._LONGEST_PAUSE_S", 0.2)
    shard, event_consumer = Consumer(), Consumer()
    await bus.consume("events.0", shard)
    await bus.consume("events.in", event_consumer)
    await until(lambda: all(each._down_since is None for each in bus._consumers))
    connection = await aio_pika.connect(broker_url)
    async with connection, connection.channel(publisher_confirms=False) as channel:
        exchange = await channel.get_exchange("events.in", ensure=False)
        for number in range(60):
            message = aio_pika.Message(str(number).encode())
            await exchange.publish(message, "x", mandatory=False)
            if number == 30:
                await _publish_unreadable(channel)

    await bus.send("events.0", [b"a"])
    await until(lambda: len(set(event_consumer.messages)) == 60, 60)
    await until(lambda: _holds_one(broker_url, dead_queue("events.in")))
    await bus.send("events.0", [b"b"])
    await until(lambda: shard.messages == [b"a", b"b"])

    assert list(dict.fromkeys(event_consumer.messages)) == numbered(60)


async def _holds_one(url: str, queue: str) -> bool:
    """Return whether one message lies in a queue; it cannot be read by any client."""
    connection = await aio_pika.connect(url)
    async with connection, connection.channel() as channel:
        declared = await channel.declare_queue(queue, passive=True)
        return declared.declaration_result.message_count == 1


async def _publish_unreadable(channel: aio_pika.abc.AbstractChannel) -> None:
    """Publish a message whose id is no UTF-8, which no client library would."""
    bare: Any = await channel.get_underlay_channel()
    body, marker = b"poison", "MARKER-MARKER"
    from aiormq.abc import ChannelFrame  # noqa: PLC0415
    from pamqp.body import ContentBody  # noqa: PLC0415
    from pamqp.commands import Basic  # noqa: PLC0415
    from pamqp.header import ContentHeader  # noqa: PLC0415

    properties = Basic.Properties(message_id=marker, delivery_mode=2)
    frame = ChannelFrame.marshall(
        channel_number=bare.number,
        frames=[
            Basic.Publish(exchange="events.in", routing_key="x"),
            ContentHeader(properties=properties, body_size=len(body)),
            ContentBody(body),
        ],
    )
    payload = frame.payload.replace(marker.encode(), b"\xff" * len(marker))
    await bare.write_queue.put(ChannelFrame(payload=payload, should_close=False))
    await asyncio.sleep(0.05)


async def _refusals(bus: RabbitTransport, count: int) -> Sequence[float]:
    """Send until it was refused so often; return how long each refusal took."""
    took: list[float] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(took) < count:
            watch = Stopwatch()
            try:
                await bus.send("events.0", [b"x"])
            except Unavailable:
                took.append(watch.seconds)
            await asyncio.sleep(0.1)
    return took

"""What every transport must do, whatever it is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from jobwire.actors.transports.base import BusMessage, Listener, Transport
from tests.support.consumers import Consumer, numbered
from tests.support.deadlines import PATIENCE_S, turns, until


@pytest.mark.parametrize("queue", ["events.0", "commands.stager"])
async def test_a_queue_keeps_the_order_in_which_messages_were_sent(
    transport: Transport, queue: str
) -> None:
    consumer = Consumer()
    await transport.consume(queue, consumer)

    for start in range(0, 210, 7):
        await transport.send(queue, numbered(7, start))
    await until(lambda: len(consumer.messages) == 210)

    assert consumer.messages == numbered(210)


async def test_what_was_sent_before_anybody_consumed_is_handed_out_later(
    transport: Transport,
) -> None:
    consumer = Consumer()
    await transport.send("commands.stager", numbered(3))

    await transport.consume("commands.stager", consumer)
    await until(lambda: len(consumer.messages) == 3)

    assert consumer.messages == numbered(3)


async def test_a_first_delivery_is_not_marked_as_a_repetition(transport: Transport) -> None:
    marks: list[bool] = []

    async def look(deliveries: Sequence[BusMessage]) -> None:
        marks.extend(delivery.redelivered for delivery in deliveries)

    await transport.consume("events.0", look)
    await transport.send("events.0", numbered(2))
    await until(lambda: len(marks) == 2)

    assert marks == [False, False]


async def test_a_command_is_confirmed_without_waiting_for_its_worker(transport: Transport) -> None:
    consumer = Consumer(held=True)
    await transport.consume("commands.stager", consumer)

    async with asyncio.timeout(PATIENCE_S):
        await transport.send("commands.stager", [b"a"])

    assert consumer.finished == 0
    consumer.let_go.set()


async def test_a_batch_is_handed_out_only_after_the_one_before_was_handled(
    transport: Transport,
) -> None:
    consumer = Consumer(held=True)
    await transport.consume("events.0", consumer)
    sending = [asyncio.create_task(transport.send("events.0", [each])) for each in numbered(20)]

    await consumer.begun.wait()
    await turns()
    in_hand = len(consumer.batches)
    consumer.let_go.set()
    await asyncio.gather(*sending)
    await until(lambda: len(consumer.messages) == 20)

    assert in_hand == 1
    assert sorted(consumer.messages) == sorted(numbered(20))


async def test_a_slow_consumer_delays_no_other_queue(transport: Transport) -> None:
    slow, quick = Consumer(held=True), Consumer()
    await transport.consume("events.0", slow)
    await transport.consume("events.1", quick)

    waiting = asyncio.create_task(transport.send("events.0", [b"a"]))
    await slow.begun.wait()
    async with asyncio.timeout(PATIENCE_S):
        await transport.send("events.1", [b"b"])
        await until(lambda: len(quick.messages) == 1)

    assert quick.messages == [b"b"]
    slow.let_go.set()
    await waiting


async def test_a_broadcast_reaches_those_who_listen_to_its_topic(transport: Transport) -> None:
    heard: list[tuple[str, str, bytes]] = []

    def subscription(pattern: str) -> Listener:
        return lambda topic, body: heard.append((pattern, topic, body))

    for pattern in ("entries", "jobs.*", "entries.*", "job"):
        await transport.listen(pattern, subscription(pattern))

    await transport.broadcast("entries", b"1")
    await transport.broadcast("jobs.RUNNING", b"2")
    await transport.broadcast("other", b"3")
    await until(lambda: len(heard) == 2)
    await turns()

    # Two listeners hear independently of each other.
    assert sorted(heard) == [("entries", "entries", b"1"), ("jobs.*", "jobs.RUNNING", b"2")]


async def test_every_listener_hears_broadcasts_in_their_order(transport: Transport) -> None:
    heard: dict[str, list[bytes]] = {"one": [], "two": []}

    def subscription(bodies: list[bytes]) -> Listener:
        return lambda _, body: bodies.append(body)

    for bodies in heard.values():
        await transport.listen("entries", subscription(bodies))

    for body in numbered(50):
        await transport.broadcast("entries", body)
    await until(lambda: all(len(bodies) == 50 for bodies in heard.values()))

    assert heard == {"one": numbered(50), "two": numbered(50)}


async def test_a_listener_that_fails_silences_neither_itself_nor_others(
    transport: Transport,
) -> None:
    heard: list[bytes] = []

    def fail_once(_topic: str, body: bytes) -> None:
        if body == b"1":
            raise RuntimeError
        heard.append(b"first " + body)

    await transport.listen("entries", fail_once)
    await transport.listen("entries", lambda _, body: heard.append(b"second " + body))

    await transport.broadcast("entries", b"1")
    await transport.broadcast("entries", b"2")
    await until(lambda: len(heard) == 3)

    assert sorted(heard) == [b"first 2", b"second 1", b"second 2"]


async def test_a_reply_reaches_its_address_and_no_other(transport: Transport) -> None:
    heard: list[tuple[str, bytes]] = []
    for address in ("replies.a", "replies.b"):
        await transport.listen(address, lambda topic, body: heard.append((topic, body)))

    await transport.reply("replies.b", b"1")
    await transport.reply("replies.gone", b"2")
    await until(lambda: heard == [("replies.b", b"1")])


async def test_a_closed_consumer_gets_nothing_more_and_the_next_one_goes_on(
    transport: Transport,
) -> None:
    first, second = Consumer(), Consumer()
    handle = await transport.consume("commands.stager", first)
    await transport.send("commands.stager", numbered(3))
    await until(lambda: len(first.messages) == 3)

    await handle.close()
    await handle.close()
    await transport.send("commands.stager", numbered(3, 3))
    await turns()
    await transport.consume("commands.stager", second)
    await until(lambda: len(second.messages) == 3)

    assert (first.messages, second.messages) == (numbered(3), numbered(3, 3))


async def test_closing_a_consumer_waits_for_the_batch_in_hand(transport: Transport) -> None:
    first, second = Consumer(held=True), Consumer()
    handle = await transport.consume("commands.stager", first)
    await transport.send("commands.stager", [b"a"])
    await first.begun.wait()

    closing = asyncio.create_task(handle.close())
    await turns()
    early = closing.done()
    first.let_go.set()
    await closing
    await transport.consume("commands.stager", second)
    await transport.send("commands.stager", [b"b"])
    await until(lambda: len(second.messages) == 1)

    assert not early
    assert (first.messages, second.messages) == ([b"a"], [b"b"])


async def test_a_closed_listener_hears_nothing_more(transport: Transport) -> None:
    heard: list[bytes] = []
    subscription = await transport.listen("signal", lambda _, body: heard.append(body))
    others: list[bytes] = []
    await transport.listen("signal", lambda _, body: others.append(body))

    await subscription.close()
    await subscription.close()
    await transport.broadcast("signal", b"1")
    await until(lambda: others == [b"1"])

    assert heard == []


async def test_an_open_transport_misses_nothing(transport: Transport) -> None:
    assert transport.not_ready() is None

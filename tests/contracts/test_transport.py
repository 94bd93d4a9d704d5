"""What every transport must do, whatever it is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from actors.transports.base import Delivery, Listener, Transport
from schemas.errors import Unavailable
from tests.support.deadlines import turns, until

if TYPE_CHECKING:
    from tests.contracts.conftest import TransportKind


class _Consumer:
    """Remembers what it was handed; waits and fails on demand."""

    def __init__(self, *, held: bool = False, error: Exception | None = None) -> None:
        self.batches: list[list[bytes]] = []
        self.finished = 0
        self.error = error
        self.begun = asyncio.Event()
        self.let_go = asyncio.Event()
        if not held:
            self.let_go.set()

    @property
    def messages(self) -> list[bytes]:
        return [message for batch in self.batches for message in batch]

    async def __call__(self, deliveries: Sequence[Delivery]) -> None:
        self.batches.append([delivery.body for delivery in deliveries])
        self.begun.set()
        await self.let_go.wait()
        self.finished += 1
        if self.error is not None:
            raise self.error


def _numbered(count: int, start: int = 0) -> list[bytes]:
    return [str(number).encode() for number in range(start, start + count)]


@pytest.mark.parametrize("queue", ["events.0", "commands.stager"])
async def test_a_queue_keeps_the_order_in_which_messages_were_sent(
    transport: Transport, queue: str
) -> None:
    consumer = _Consumer()
    await transport.consume(queue, consumer)

    await asyncio.gather(
        *(transport.send(queue, _numbered(7, start)) for start in range(0, 210, 7))
    )
    await until(lambda: len(consumer.messages) == 210)

    assert consumer.messages == _numbered(210)


async def test_what_was_sent_before_anybody_consumed_is_handed_out_later(
    transport: Transport,
) -> None:
    consumer = _Consumer()
    await transport.send("commands.stager", _numbered(3))

    await transport.consume("commands.stager", consumer)
    await until(lambda: len(consumer.messages) == 3)

    assert consumer.messages == _numbered(3)


async def test_a_first_delivery_is_not_marked_as_a_repetition(transport: Transport) -> None:
    marks: list[bool] = []

    async def look(deliveries: Sequence[Delivery]) -> None:
        marks.extend(delivery.redelivered for delivery in deliveries)

    await transport.consume("events.0", look)
    await transport.send("events.0", _numbered(2))

    assert marks == [False, False]


async def test_an_event_is_confirmed_only_when_it_has_been_handled(transport: Transport) -> None:
    consumer = _Consumer(held=True)
    await transport.consume("events.0", consumer)

    sending = asyncio.create_task(transport.send("events.0", [b"a"]))
    await consumer.begun.wait()
    await turns()
    early = sending.done()
    consumer.let_go.set()
    await sending

    assert not early
    assert consumer.finished == 1


async def test_a_command_is_confirmed_without_waiting_for_its_worker(transport: Transport) -> None:
    consumer = _Consumer(held=True)
    await transport.consume("commands.stager", consumer)

    async with asyncio.timeout(2):
        await transport.send("commands.stager", [b"a"])

    assert consumer.finished == 0
    consumer.let_go.set()


async def test_a_batch_is_handed_out_only_after_the_one_before_was_handled(
    transport: Transport,
) -> None:
    consumer = _Consumer(held=True)
    await transport.consume("events.0", consumer)
    sending = [asyncio.create_task(transport.send("events.0", [each])) for each in _numbered(20)]

    await consumer.begun.wait()
    await turns()
    in_hand = len(consumer.batches)
    consumer.let_go.set()
    await asyncio.gather(*sending)

    assert in_hand == 1
    assert consumer.messages == _numbered(20)


@pytest.mark.parametrize(
    "error", [Unavailable("the store is away"), RuntimeError("a fault")], ids=["away", "fault"]
)
async def test_a_sender_is_told_to_come_back_when_the_handler_fails(
    transport: Transport, error: Exception
) -> None:
    consumer = _Consumer(error=error)
    await transport.consume("events.0", consumer)

    with pytest.raises(Unavailable):
        await transport.send("events.0", [b"a"])


async def test_a_queue_goes_on_after_its_handler_failed(transport: Transport) -> None:
    consumer = _Consumer(error=RuntimeError("a fault"))
    await transport.consume("events.0", consumer)
    with pytest.raises(Unavailable):
        await transport.send("events.0", [b"a"])

    consumer.error = None
    await transport.send("events.0", [b"b"])

    assert consumer.messages[-1] == b"b"


async def test_a_sender_that_gives_up_takes_nobody_with_it(transport: Transport) -> None:
    consumer = _Consumer(held=True)
    await transport.consume("events.0", consumer)
    given_up = asyncio.create_task(transport.send("events.0", [b"a"]))
    patient = asyncio.create_task(transport.send("events.0", [b"b"]))
    await consumer.begun.wait()

    given_up.cancel()
    await asyncio.wait([given_up])
    consumer.let_go.set()
    async with asyncio.timeout(2):
        await patient
        await transport.send("events.0", [b"c"])

    assert consumer.messages == [b"a", b"b", b"c"]


async def test_a_slow_consumer_delays_no_other_queue(transport: Transport) -> None:
    slow, quick = _Consumer(held=True), _Consumer()
    await transport.consume("events.0", slow)
    await transport.consume("events.1", quick)

    waiting = asyncio.create_task(transport.send("events.0", [b"a"]))
    await slow.begun.wait()
    async with asyncio.timeout(2):
        await transport.send("events.1", [b"b"])

    assert quick.messages == [b"b"]
    slow.let_go.set()
    await waiting


async def test_a_full_queue_refuses_and_takes_in_again_when_it_is_emptied(
    transport: Transport, kind: TransportKind
) -> None:
    await transport.send("commands.stager", [b"x"] * kind.queue_limit)

    with pytest.raises(Unavailable) as caught:
        await transport.send("commands.stager", [b"y"])
    consumer = _Consumer()
    await transport.consume("commands.stager", consumer)
    await until(lambda: len(consumer.messages) == kind.queue_limit)
    await transport.send("commands.stager", [b"z"])

    assert caught.value.retry_after_s is not None
    await until(lambda: consumer.messages[-1] == b"z")
    assert b"y" not in consumer.messages


async def test_what_does_not_fit_as_a_whole_is_not_taken_in_part(
    transport: Transport, kind: TransportKind
) -> None:
    await transport.send("commands.stager", [b"x"] * (kind.queue_limit - 1))

    with pytest.raises(Unavailable):
        await transport.send("commands.stager", [b"y", b"y"])
    consumer = _Consumer()
    await transport.consume("commands.stager", consumer)
    await until(lambda: len(consumer.messages) == kind.queue_limit - 1)

    assert set(consumer.messages) == {b"x"}


async def test_a_broadcast_reaches_those_who_listen_to_its_topic(transport: Transport) -> None:
    heard: list[tuple[str, str, bytes]] = []

    def ear(pattern: str) -> Listener:
        return lambda topic, body: heard.append((pattern, topic, body))

    for pattern in ("entries", "jobs.*", "entries.*", "job"):
        await transport.listen(pattern, ear(pattern))

    await transport.broadcast("entries", b"1")
    await transport.broadcast("jobs.RUNNING", b"2")
    await transport.broadcast("other", b"3")
    await until(lambda: len(heard) == 2)
    await turns()

    assert heard == [("entries", "entries", b"1"), ("jobs.*", "jobs.RUNNING", b"2")]


async def test_every_listener_hears_broadcasts_in_their_order(transport: Transport) -> None:
    heard: dict[str, list[bytes]] = {"one": [], "two": []}

    def ear(bodies: list[bytes]) -> Listener:
        return lambda _, body: bodies.append(body)

    for bodies in heard.values():
        await transport.listen("entries", ear(bodies))

    for body in _numbered(50):
        await transport.broadcast("entries", body)
    await until(lambda: all(len(bodies) == 50 for bodies in heard.values()))

    assert heard == {"one": _numbered(50), "two": _numbered(50)}


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


async def test_a_listener_is_told_after_the_broadcast_returned(transport: Transport) -> None:
    heard: list[bytes] = []
    await transport.listen("entries", lambda _, body: heard.append(body))

    await transport.broadcast("entries", b"1")
    at_return = list(heard)
    await until(lambda: heard == [b"1"])

    assert at_return == []


async def test_a_reply_reaches_its_address_and_no_other(transport: Transport) -> None:
    heard: list[tuple[str, bytes]] = []
    for address in ("replies.a", "replies.b"):
        await transport.listen(address, lambda topic, body: heard.append((topic, body)))

    await transport.reply("replies.b", b"1")
    await transport.reply("replies.gone", b"2")
    await until(lambda: heard == [("replies.b", b"1")])


async def test_nothing_is_taken_in_before_the_opening_and_after_the_closing(
    kind: TransportKind,
) -> None:
    transport = kind.make()
    with pytest.raises(Unavailable):
        await transport.send("events.0", [b"a"])
    await transport.open()
    await transport.close()

    with pytest.raises(Unavailable):
        await transport.send("commands.stager", [b"a"])


async def test_closing_lets_the_batch_in_hand_end_and_refuses_what_waits_behind_it(
    kind: TransportKind,
) -> None:
    transport, consumer = kind.make(), _Consumer(held=True)
    await transport.open()
    await transport.consume("events.0", consumer)
    in_hand = asyncio.create_task(transport.send("events.0", [b"a"]))
    await consumer.begun.wait()
    behind = asyncio.create_task(transport.send("events.0", [b"b"]))
    await turns()

    closing = asyncio.create_task(transport.close())
    await turns()
    early = closing.done()
    consumer.let_go.set()
    await closing
    results = await asyncio.gather(in_hand, behind, return_exceptions=True)

    assert not early
    assert results[0] is None
    assert isinstance(results[1], Unavailable)
    assert consumer.messages == [b"a"]


async def test_closing_twice_is_closing_once(kind: TransportKind) -> None:
    transport, consumer = kind.make(), _Consumer()
    await transport.open()
    await transport.consume("events.0", consumer)
    await transport.send("events.0", [b"a"])

    await transport.close()
    async with asyncio.timeout(2):
        await transport.close()

    assert consumer.finished == 1

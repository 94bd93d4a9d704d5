"""The bus inside one process: an event is confirmed when it has been handled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from jobwire.actors.transports.embedded import EmbeddedTransport
from jobwire.schemas.errors import Unavailable
from tests.support.consumers import Consumer
from tests.support.deadlines import PATIENCE_S, turns, until

_QUEUE_LIMIT = 10_000


@pytest.fixture
async def transport() -> AsyncIterator[EmbeddedTransport]:
    """Yield an open transport."""
    opened = EmbeddedTransport()
    await opened.open()
    yield opened
    await opened.close()


async def test_an_event_is_confirmed_only_when_it_has_been_handled(
    transport: EmbeddedTransport,
) -> None:
    consumer = Consumer(held=True)
    await transport.consume("events.0", consumer)

    sending = asyncio.create_task(transport.send("events.0", [b"a"]))
    await consumer.begun.wait()
    await turns()
    early = sending.done()
    consumer.let_go.set()
    await sending

    assert not early
    assert consumer.finished == 1


async def test_a_queue_goes_on_after_its_handler_failed(transport: EmbeddedTransport) -> None:
    consumer = Consumer(error=RuntimeError("a fault"))
    await transport.consume("events.0", consumer)
    with pytest.raises(Unavailable):
        await transport.send("events.0", [b"a"])

    consumer.error = None
    await transport.send("events.0", [b"b"])

    assert consumer.messages[-1] == b"b"


async def test_a_sender_that_gives_up_takes_nobody_with_it(transport: EmbeddedTransport) -> None:
    consumer = Consumer(held=True)
    await transport.consume("events.0", consumer)
    given_up = asyncio.create_task(transport.send("events.0", [b"a"]))
    patient = asyncio.create_task(transport.send("events.0", [b"b"]))
    await consumer.begun.wait()

    given_up.cancel()
    await asyncio.wait([given_up])
    consumer.let_go.set()
    async with asyncio.timeout(PATIENCE_S):
        await patient
        await transport.send("events.0", [b"c"])

    assert consumer.messages == [b"a", b"b", b"c"]


async def test_a_full_queue_refuses_and_takes_in_again_when_it_is_emptied(
    transport: EmbeddedTransport,
) -> None:
    await transport.send("commands.stager", [b"x"] * _QUEUE_LIMIT)

    with pytest.raises(Unavailable) as caught:
        await transport.send("commands.stager", [b"y"])
    consumer = Consumer()
    await transport.consume("commands.stager", consumer)
    await until(lambda: len(consumer.messages) == _QUEUE_LIMIT)
    await transport.send("commands.stager", [b"z"])

    assert caught.value.retry_after_s is not None
    await until(lambda: consumer.messages[-1] == b"z")
    assert b"y" not in consumer.messages


async def test_what_does_not_fit_as_a_whole_is_not_taken_in_part(
    transport: EmbeddedTransport,
) -> None:
    await transport.send("commands.stager", [b"x"] * (_QUEUE_LIMIT - 1))

    with pytest.raises(Unavailable):
        await transport.send("commands.stager", [b"y", b"y"])
    consumer = Consumer()
    await transport.consume("commands.stager", consumer)
    await until(lambda: len(consumer.messages) == _QUEUE_LIMIT - 1)

    assert set(consumer.messages) == {b"x"}


async def test_a_listener_is_told_after_the_broadcast_returned(
    transport: EmbeddedTransport,
) -> None:
    heard: list[bytes] = []
    await transport.listen("entries", lambda _, body: heard.append(body))

    await transport.broadcast("entries", b"1")
    at_return = list(heard)
    await until(lambda: heard == [b"1"])

    assert at_return == []


async def test_nothing_is_taken_in_before_the_opening_and_after_the_closing() -> None:
    transport = EmbeddedTransport()
    with pytest.raises(Unavailable):
        await transport.send("events.0", [b"a"])
    await transport.open()
    await transport.close()

    with pytest.raises(Unavailable):
        await transport.send("commands.stager", [b"a"])


async def test_closing_lets_the_batch_in_hand_end_and_refuses_what_waits_behind_it() -> None:
    transport, consumer = EmbeddedTransport(), Consumer(held=True)
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


async def test_closing_twice_is_closing_once() -> None:
    transport, consumer = EmbeddedTransport(), Consumer()
    await transport.open()
    await transport.consume("events.0", consumer)
    await transport.send("events.0", [b"a"])

    await transport.close()
    async with asyncio.timeout(PATIENCE_S):
        await transport.close()

    assert consumer.finished == 1


@pytest.mark.parametrize(
    "error", [Unavailable("the store is away"), RuntimeError("a fault")], ids=["away", "fault"]
)
async def test_a_sender_is_told_to_come_back_when_the_handler_fails(
    transport: EmbeddedTransport, error: Exception
) -> None:
    consumer = Consumer(error=error)
    await transport.consume("events.0", consumer)

    with pytest.raises(Unavailable):
        await transport.send("events.0", [b"a"])

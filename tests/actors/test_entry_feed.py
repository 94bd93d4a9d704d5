"""Entries as they are committed: who gets them, what is kept, and when the store is to be read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from jobwire.actors.messaging import entry_feed
from jobwire.actors.messaging.entry_buffer import EntryBuffer
from jobwire.actors.messaging.entry_feed import EntryFeed, broadcast_entries
from jobwire.actors.stores.base import Positioned
from jobwire.actors.transports.base import ConsumerHandle
from jobwire.actors.transports.embedded import EmbeddedTransport
from jobwire.schemas.addresses import ENTRIES
from tests.support.deadlines import turns
from tests.support.factories import make_entry


class _Bus(EmbeddedTransport):
    """A bus that knows who listens, and can lose messages."""

    def __init__(self) -> None:
        super().__init__()
        self.listening = 0
        self.missed: list[Callable[[], None]] = []

    async def listen(
        self,
        pattern: str,
        listener: Callable[[str, bytes], None],
        missed: Callable[[], None] | None = None,
    ) -> ConsumerHandle:
        self.listening += 1
        if missed is not None:
            self.missed.append(missed)
        return await super().listen(pattern, listener)

    async def commit(self, *seqs: int) -> None:
        await broadcast_entries(self, _entries(*seqs))
        await turns()


def _entries(*seqs: int) -> list[Positioned]:
    return [Positioned(seq, make_entry(seq=seq, name="update")) for seq in seqs]


def _buffer(most: int = 10, *, mark: bytes = b"", drops_oldest: bool = False) -> EntryBuffer[int]:
    return EntryBuffer(lambda each: each.entry.seq, most, mark=mark, drops_oldest=drops_oldest)


async def test_all_followers_of_a_process_get_entries_that_are_decoded_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded: list[bytes] = []

    class Decoder:
        def decode(self, message: bytes) -> list[Positioned]:
            decoded.append(message)
            return _entries(2)

    monkeypatch.setattr(entry_feed, "_decoder", Decoder())
    bus = _Bus()
    feed, first, second = EntryFeed(bus), _buffer(), _buffer()
    await feed.follow(first)
    await feed.follow(second)

    await bus.commit(2)

    assert (first.take(), second.take()) == ([2], [2])
    assert (len(decoded), bus.listening) == (1, 1)


async def test_what_no_follower_wants_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_feed, "_decoder", None)
    bus = _Bus()
    buffer = _buffer(mark=b"cb_")
    await EntryFeed(bus).follow(buffer)

    await bus.commit(2)

    assert not buffer.is_behind
    assert buffer.take() == []


async def test_who_has_left_gets_nothing_and_the_others_go_on() -> None:
    bus = _Bus()
    feed, first, second = EntryFeed(bus), _buffer(), _buffer()
    handle = await feed.follow(first)
    await feed.follow(second)

    await handle.close()
    await handle.close()
    await bus.commit(2)

    assert (first.take(), second.take()) == ([], [2])


async def test_where_nobody_follows_nothing_is_listened_to() -> None:
    bus = _Bus()
    feed = EntryFeed(bus)

    handle = await feed.follow(_buffer())
    while_followed = len(bus._subscribers)
    await handle.close()

    assert (while_followed, len(bus._subscribers)) == (1, 0)


async def test_two_who_begin_at_once_share_one_subscription() -> None:
    bus = _Bus()
    feed = EntryFeed(bus)

    await asyncio.gather(feed.follow(_buffer()), feed.follow(_buffer()))

    assert bus.listening == 1


async def test_what_the_bus_has_lost_sends_every_follower_to_the_store() -> None:
    bus = _Bus()
    feed, buffer = EntryFeed(bus), _buffer()
    await feed.follow(buffer)
    await bus.commit(2)

    for missed in bus.missed:
        missed()
    await bus.commit(3)
    kept = buffer.take()
    buffer.catch_up()
    await bus.commit(4)

    assert (kept, buffer.take(), buffer.is_behind) == ([], [4], False)


async def test_what_cannot_be_read_sends_every_follower_to_the_store() -> None:
    bus = _Bus()
    buffer = _buffer()
    await EntryFeed(bus).follow(buffer)

    await bus.broadcast(ENTRIES, b"from a newer release")
    await turns()

    assert buffer.is_behind


async def test_a_follower_that_fails_harms_no_other() -> None:
    bus = _Bus()
    feed, good = EntryFeed(bus), _buffer()
    broken: EntryBuffer[int] = EntryBuffer(lambda _: 1 // 0, 10)
    await feed.follow(broken)
    await feed.follow(good)

    await bus.commit(2)

    assert (broken.is_behind, good.take()) == (True, [2])


async def test_too_many_that_wait_send_their_reader_to_the_store() -> None:
    buffer = _buffer(3)

    buffer.on_entries(_entries(1, 2))
    before = buffer.is_behind
    buffer.on_entries(_entries(3, 4))

    assert (before, buffer.is_behind, buffer.take()) == (False, True, [])


async def test_a_reader_without_a_store_keeps_the_newest() -> None:
    buffer = _buffer(3, drops_oldest=True)

    buffer.on_entries(_entries(1, 2, 3, 4, 5))
    buffer.on_missed()

    assert (buffer.is_behind, buffer.dropped, buffer.take()) == (False, 2, [3, 4, 5])


async def test_a_portion_is_taken_and_what_could_not_be_used_comes_first_again() -> None:
    buffer = _buffer()
    buffer.on_entries(_entries(1, 2, 3))

    (first,) = buffer.take(1)
    buffer.put_back(first)

    assert (first, buffer.take(2), buffer.take(2)) == (1, [1, 2], [3])


async def test_a_reader_waits_until_something_is_there_or_it_is_behind() -> None:
    buffer = _buffer()
    await buffer.wait(0.001)

    waiting = asyncio.create_task(buffer.wait())
    await turns()
    early = waiting.done()
    buffer.on_entries(_entries(1))
    async with asyncio.timeout(2):
        await waiting
        buffer.take()
        buffer.on_missed()
        await buffer.wait()
        await buffer.wait()
    buffer.catch_up()
    again = asyncio.create_task(buffer.wait())
    await turns()

    assert (early, again.done()) == (False, False)
    again.cancel()

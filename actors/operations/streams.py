"""
Live entries without a gap: read the store up to its end, then hear what is committed.

A subscriber is registered before it reads, so what is committed meanwhile waits for it. One that
is too slow for its queue loses the queue, not the entries: it reads the store again from where it
stands.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import NamedTuple

import msgspec
import structlog

from actors.stores.base import Positioned, Store
from actors.transports.base import Transport
from schemas.errors import TooManyRequests
from schemas.identifiers import JobId
from schemas.jobs import Entry, Job
from schemas.principals import Principal

_log = structlog.get_logger()
_decoder = msgspec.msgpack.Decoder(list[Positioned])

#: Where the state manager broadcasts the entries of each batch.
ENTRIES_TOPIC = "entries"
#: After so many quiet seconds a stream gives an empty list, so that its reader can see whether
#: anybody is there.
PULSE_S = 15.0
#: Entries that wait for one subscriber before it has to read the store again.
_QUEUE_ENTRIES = 5_000
#: Entries of one page read from the store.
_PAGE = 500


class Item(NamedTuple):
    """One entry on a stream; the client goes on after `place` when it comes back."""

    place: int
    entry: Entry


Read = Callable[[int], Awaitable[tuple[list[Item], int]]]
"""Reads a page after a place; gives where to go on, which is the same place at the end."""


class Subscription:
    """What one subscriber has not yet taken."""

    def __init__(self, owner: str, job: JobId | None) -> None:
        """Hear an owner's entries, of one job or of all."""
        self.owner = owner
        self.job = job
        self.is_behind = False
        self._waiting: deque[Positioned] = deque()
        self._filled = asyncio.Event()
        self._closed = False

    def offer(self, entries: Sequence[Positioned]) -> None:
        """Put entries before the subscriber; too many at once make it fall behind."""
        if len(self._waiting) + len(entries) > _QUEUE_ENTRIES:
            self._waiting.clear()
            self.is_behind = True
        elif not self.is_behind:
            self._waiting.extend(entries)
        self._filled.set()

    def close(self) -> None:
        """Let the subscriber end."""
        self._closed = True
        self._filled.set()

    async def take(self) -> list[Positioned] | None:
        """
        Wait for entries and take them all.

        Nothing after a while: an empty list; closed: None.
        """
        try:
            async with asyncio.timeout(PULSE_S):
                await self._filled.wait()
        except TimeoutError:
            return []
        if self._closed:
            return None
        taken = list(self._waiting)
        self._waiting.clear()
        self._filled.clear()
        return taken


class Streams:
    """Follows entries as they are committed."""

    def __init__(self, store: Store, most_per_owner: int) -> None:
        """Read what was before from a store; serve each owner so many streams."""
        self._store = store
        self._most = most_per_owner
        self._by_owner: dict[str, set[Subscription]] = {}
        self._closed = False

    async def start(self, transport: Transport) -> None:
        """Begin to hear."""
        await transport.listen(ENTRIES_TOPIC, self._hear)

    def close(self) -> None:
        """End every stream; clients come back with the place they stand at."""
        self._closed = True
        for subscriptions in self._by_owner.values():
            for subscription in subscriptions:
                subscription.close()

    @property
    def is_closed(self) -> bool:
        """Whether the service is stopping; whoever follows anything ends."""
        return self._closed

    @property
    def open_streams(self) -> int:
        """How many streams are open."""
        return sum(map(len, self._by_owner.values()))

    async def newest(self) -> int:
        """Give the place after which everything is new."""
        return await self._store.last_position()

    async def of_job(
        self, principal: Principal, job: Job, after: int
    ) -> AsyncGenerator[list[Item], None]:
        """
        Follow one job from after a seq; ends when the job is deleted.

        An empty list is a sign of life; the first one says that the stream is registered.
        """

        async def read(place: int) -> tuple[list[Item], int]:
            page = [
                Item(entry.seq, entry)
                for entry in await self._store.history(job.owner, job.id, place, _PAGE)
            ]
            return page, page[-1].place if page else place

        def place_of(positioned: Positioned) -> int:
            return positioned.entry.seq

        subscription = Subscription(principal.name, job.id)
        async with aclosing(
            self._follow(subscription, max(after, job.born - 1), read, place_of)
        ) as followed:
            async for items in followed:
                yield items
                if items and items[-1].entry.change.deleted is True:
                    return

    async def of_owner(
        self, principal: Principal, after: int | None
    ) -> AsyncGenerator[list[Item], None]:
        """Follow all jobs of an owner from after a position; None: from now on."""

        async def read(place: int) -> tuple[list[Item], int]:
            page, end = await self._store.since(principal.name, place, _PAGE)
            return [Item(positioned.position, positioned.entry) for positioned in page], end

        def place_of(positioned: Positioned) -> int:
            return positioned.position

        subscription = Subscription(principal.name, None)
        start = await self._store.last_position() if after is None else after
        async with aclosing(self._follow(subscription, start, read, place_of)) as followed:
            async for items in followed:
                yield items

    async def _follow(
        self,
        subscription: Subscription,
        place: int,
        read: Read,
        place_of: Callable[[Positioned], int],
    ) -> AsyncGenerator[list[Item], None]:
        self._register(subscription)
        try:
            yield []  # registered: from here on nothing is missed
            while True:
                subscription.is_behind = False
                while True:
                    items, end = await read(place)
                    if items:
                        yield items
                    if end == place:
                        break
                    place = end
                while not subscription.is_behind:
                    taken = await subscription.take()
                    if taken is None:
                        return
                    fresh = [
                        Item(place_of(each), each.entry) for each in taken if place_of(each) > place
                    ]
                    place = fresh[-1].place if fresh else place
                    if fresh or not taken:
                        yield fresh
        finally:
            self._forget(subscription)

    def _register(self, subscription: Subscription) -> None:
        mine = self._by_owner.setdefault(subscription.owner, set())
        if len(mine) >= self._most:
            raise TooManyRequests(
                f"this owner has {self._most} streams open already",
                limit=self._most,
                retry_after_s=5,
            )
        mine.add(subscription)
        if self._closed:
            subscription.close()

    def _forget(self, subscription: Subscription) -> None:
        mine = self._by_owner.get(subscription.owner, set())
        mine.discard(subscription)
        if not mine:
            self._by_owner.pop(subscription.owner, None)

    def _hear(self, _topic: str, message: bytes) -> None:
        if not self._by_owner:
            return
        heard: dict[str, list[Positioned]] = {}
        for positioned in _decoder.decode(message):
            heard.setdefault(positioned.entry.owner, []).append(positioned)
        for owner, entries in heard.items():
            for subscription in self._by_owner.get(owner, ()):
                job = subscription.job
                matching = (
                    entries if job is None else [each for each in entries if each.entry.job == job]
                )
                if matching:
                    subscription.offer(matching)

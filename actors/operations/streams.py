"""
Live entries without a gap: read the store up to its end, then follow what is committed.

A subscriber is registered before it reads, so what is committed meanwhile waits for it. One that
is too slow for its buffer loses the buffer, not the entries: it reads the store again from its
place. So do all when the bus may have lost something, and each that gets nothing for a while.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import NamedTuple

from jobwire.actors.messaging.entry_buffer import EntryBuffer
from jobwire.actors.messaging.entry_feed import EntryFeed
from jobwire.actors.stores.base import Place, Positioned, Store, is_after, moved_to
from jobwire.schemas.errors import TooManyRequests
from jobwire.schemas.identifiers import JobId
from jobwire.schemas.jobs import Entry, Job
from jobwire.schemas.principals import Principal

#: Seconds without entries after which a stream yields an empty list, so that its reader can see
#: whether the client is there.
PULSE_S = 15.0
#: Entries that wait for one subscriber before it has to read the store again.
_QUEUE_ENTRIES = 5_000
#: Entries of one page read from the store.
_PAGE = 500


class Item(NamedTuple):
    """One entry on a stream; the client goes on after `place` when it comes back."""

    place: Place
    entry: Entry


Read = Callable[[Place], Awaitable[tuple[list[Positioned], Place]]]
"""Reads a page after a place; returns where to go on, which is the same place at the end."""


class StreamSubscription(EntryBuffer[Positioned]):
    """What one subscriber has not taken yet of an owner's entries, of one job or of all."""

    def __init__(self, owner: str, job: JobId | None, *, counted: bool = True) -> None:
        """Keep entries of an owner; `counted` is a stream that a client holds open."""
        super().__init__(self._pick_entry, _QUEUE_ENTRIES)
        self.owner = owner
        self.counted = counted
        self._job = job
        self._closed = False

    def close(self) -> None:
        """Let the subscriber end."""
        self._closed = True
        self._filled.set()

    async def receive(self) -> list[Positioned] | None:
        """
        Wait for entries and take them all.

        Nothing after a while: an empty list; closed: None.
        """
        if not self._closed:
            await self.wait(PULSE_S)
        return None if self._closed else self.take()

    def _pick_entry(self, each: Positioned) -> Positioned | None:
        if self._job is None:
            return each
        # A job's stream has one lane, in which an entry stands at its seq.
        return Positioned(each.entry.seq, each.entry) if each.entry.job == self._job else None


class Streams:
    """Follows entries as they are committed."""

    def __init__(self, store: Store, feed: EntryFeed, most_per_owner: int) -> None:
        """Read earlier entries from a store; serve a limited number of streams per owner."""
        self._store = store
        self._feed = feed
        self._most = most_per_owner
        self._by_owner: dict[str, set[StreamSubscription]] = {}
        self._closed = False

    async def start(self) -> None:
        """Begin to follow what is committed."""
        await self._feed.follow(self)

    def close(self) -> None:
        """End every stream; clients come back with the place they stand at."""
        self._closed = True
        for subscriptions in self._by_owner.values():
            for subscription in subscriptions:
                subscription.close()

    @property
    def order(self) -> str:
        """Name the kind of order that places are in: those of another kind mean nothing here."""
        return "lanes" if self._store.is_gapless else "all"

    @property
    def is_closed(self) -> bool:
        """Whether the service is stopping; all streams end then."""
        return self._closed

    @property
    def open_streams(self) -> int:
        """How many streams are open."""
        return sum(map(len, self._by_owner.values()))

    async def newest(self, principal: Principal) -> Place:
        """Return the place after which everything of an owner is new."""
        return await self._store.newest(principal.name)

    async def of_job(
        self, principal: Principal, job: Job, after: int, *, counted: bool = True
    ) -> AsyncGenerator[list[Item], None]:
        """
        Follow one job from after a seq; ends when the job is deleted.

        Only a stream that a client holds open is `counted` as one of its owner's.

        An empty list is a sign of life; the first one says that the stream is registered.
        """

        async def read(place: Place) -> tuple[list[Positioned], Place]:
            page = await self._store.history(job.owner, job.id, place[0], _PAGE)
            return [Positioned(entry.seq, entry) for entry in page], (
                (page[-1].seq,) if page else place
            )

        subscription = StreamSubscription(principal.name, job.id, counted=counted)
        start = (max(after, job.born - 1),)
        async with aclosing(self._follow(subscription, start, read, gapless=True)) as followed:
            async for items in followed:
                yield items
                if items and items[-1].entry.change.deleted is True:
                    return

    async def of_owner(
        self, principal: Principal, after: Place | None
    ) -> AsyncGenerator[list[Item], None]:
        """Follow all jobs of an owner from after a place; None: from now on."""

        async def read(place: Place) -> tuple[list[Positioned], Place]:
            return await self._store.since(principal.name, place, _PAGE)

        subscription = StreamSubscription(principal.name, None)
        start = await self._store.newest(principal.name) if after is None else after
        gapless = self._store.is_gapless
        async with aclosing(self._follow(subscription, start, read, gapless=gapless)) as followed:
            async for items in followed:
                yield items

    def wants(self, _message: bytes) -> bool:
        """Return whether any stream is open."""
        return bool(self._by_owner)

    def on_entries(self, entries: Sequence[Positioned]) -> None:
        """Hand entries to the streams of their owners."""
        by_owner: dict[str, list[Positioned]] = {}
        for positioned in entries:
            by_owner.setdefault(positioned.entry.owner, []).append(positioned)
        for owner, own in by_owner.items():
            for subscription in self._by_owner.get(owner, ()):
                subscription.on_entries(own)

    def on_missed(self) -> None:
        """Have every stream read the store again."""
        for subscriptions in self._by_owner.values():
            for subscription in subscriptions:
                subscription.on_missed()

    async def _follow(
        self,
        subscription: StreamSubscription,
        place: Place,
        read: Read,
        *,
        gapless: bool,
    ) -> AsyncGenerator[list[Item], None]:
        self._register(subscription)
        try:
            yield []  # registered: from here on nothing is missed
            received: Sequence[Positioned] = ()
            while True:
                subscription.catch_up()
                async for page, end in _pages(read, place):
                    if page:
                        yield _items(place, page)
                    place = end
                # Received, but gone from the store since: the end of a deleted job.
                if items := _items(place, received):
                    place = items[-1].place
                    yield items
                while not subscription.is_behind:
                    taken = await subscription.receive()
                    if taken is None:
                        return
                    received = taken
                    if gapless and not _are_next(place, received):
                        break  # one is missing, or comes later: the store has it
                    items = _items(place, received)
                    place = items[-1].place if items else place
                    if items or not received:
                        yield items
                    if not received:
                        break  # quiet for long: the store shows whether something was missed
        finally:
            self._forget(subscription)

    def _register(self, subscription: StreamSubscription) -> None:
        mine = self._by_owner.setdefault(subscription.owner, set())
        if subscription.counted and sum(each.counted for each in mine) >= self._most:
            raise TooManyRequests(
                f"this owner has {self._most} streams open already",
                limit=self._most,
                retry_after_s=5,
            )
        mine.add(subscription)
        if self._closed:
            subscription.close()

    def _forget(self, subscription: StreamSubscription) -> None:
        mine = self._by_owner.get(subscription.owner, set())
        mine.discard(subscription)
        if not mine:
            self._by_owner.pop(subscription.owner, None)


async def _pages(read: Read, place: Place) -> AsyncGenerator[tuple[list[Positioned], Place], None]:
    """Read page after page up to the end, each with the place behind it."""
    while True:
        page, end = await read(place)
        if end == place:
            return
        yield page, end
        place = end


def _are_next(place: Place, entries: Sequence[Positioned]) -> bool:
    """Return whether nothing is left out between a place and entries that come after it."""
    for each in entries:
        if is_after(place, each):
            last = place[each.lane] if each.lane < len(place) else 0
            if each.position != last + 1:
                return False
            place = moved_to(place, each)
    return True


def _items(place: Place, entries: Sequence[Positioned]) -> list[Item]:
    """Return what comes after a place, each with the place behind it."""
    items = []
    for each in entries:
        if is_after(place, each):
            place = moved_to(place, each)
            items.append(Item(place, each.entry))
    return items

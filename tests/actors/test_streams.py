"""Following entries: nothing missed between what was and what is new, nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from jobwire.actors.messaging.entry_feed import EntryFeed, broadcast_entries
from jobwire.actors.operations.streams import Item, Streams
from jobwire.actors.stores.base import Positioned, Store
from jobwire.actors.stores.sqlite import SqliteStore
from jobwire.actors.transports.embedded import EmbeddedTransport
from jobwire.schemas.errors import TooManyRequests
from jobwire.schemas.jobs import Change, Entry, Job
from jobwire.schemas.principals import Principal
from tests.support.commits import make_commit
from tests.support.deadlines import PATIENCE_S, turns, until
from tests.support.factories import (
    OWNER,
    STRANGER,
    fold,
    job_id,
    make_creation,
    make_entry,
    make_history,
)

_ALICE = Principal(OWNER, frozenset({"read"}))
_BATCH_OF_A_SLOW_SUBSCRIBER = 5_001


class Bench:
    """Streams over a real store, and a writer that commits and broadcasts."""

    def __init__(self, store: SqliteStore, most: int = 10) -> None:
        """Follow a store."""
        self.store = store
        self.transport = EmbeddedTransport()
        self.streams = Streams(store, EntryFeed(self.transport), most)
        self.jobs: dict[int, list[Entry]] = {}

    async def commit(self, *entries: Entry) -> list[Positioned]:
        """Store entries; tell nobody."""
        before = [fold(known) for known in self.jobs.values() if known]
        committed = await self.store.commit(make_commit(entries, before=before))
        return list(committed.stored)

    async def tell(self, positioned: list[Positioned]) -> None:
        """Broadcast entries."""
        await broadcast_entries(self.transport, positioned)
        await turns()

    async def add(self, *names: str, number: int = 1, owner: str = OWNER) -> list[Entry]:
        """Make a job, or go on with it; commit and tell."""
        known = self.jobs.setdefault(number, [])
        fresh = (
            [
                make_entry(job=job_id(number), seq=len(known) + 1 + index, name=name, owner=owner)
                for index, name in enumerate(names)
            ]
            if known
            else make_history(*names, job=job_id(number), creation=make_creation(owner=owner))
        )
        positioned = await self.commit(*fresh)
        known += fresh
        await self.tell(positioned)
        return fresh

    def job(self, number: int = 1) -> Job:
        """Return a job as it stands."""
        return fold(self.jobs[number])


@pytest.fixture
async def bench(store: SqliteStore) -> AsyncIterator[Bench]:
    """Yield streams that hear."""
    made = Bench(store)
    await made.transport.open()
    await made.streams.start()
    yield made
    await made.transport.close()


async def _take(stream: AsyncIterator[list[Item]], count: int) -> list[Entry]:
    """Take so many entries from a stream."""
    found: list[Entry] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(found) < count:
            found += [item.entry for item in await anext(stream)]
    return found


async def _close(stream: Any) -> None:
    await stream.aclose()


async def test_what_was_before_comes_first_then_what_is_committed(bench: Bench) -> None:
    before = await bench.add("run", "update")
    stream = bench.streams.of_job(_ALICE, bench.job(), 0)

    caught_up = await _take(stream, 3)
    fresh = await bench.add("finish")
    live = await _take(stream, 1)

    assert caught_up == before
    assert live == fresh
    await _close(stream)


@pytest.mark.parametrize(
    ("after", "seqs"), [(0, [1, 2, 3]), (2, [3]), (1, [2, 3]), (-5, [1, 2, 3])]
)
async def test_a_follower_goes_on_behind_the_seq_it_names(
    bench: Bench, after: int, seqs: list[int]
) -> None:
    await bench.add("run", "update")
    stream = bench.streams.of_job(_ALICE, bench.job(), after)

    assert [entry.seq for entry in await _take(stream, len(seqs))] == seqs
    await _close(stream)


async def test_a_follower_of_an_owner_sees_all_of_its_jobs_and_nobody_elses(bench: Bench) -> None:
    await bench.add("run", number=1)
    await bench.add(number=2, owner=STRANGER)
    stream = bench.streams.of_owner(_ALICE, ())

    before = await _take(stream, 2)
    await bench.add("run", number=2, owner=STRANGER)
    await bench.add("run", number=3)
    live = await _take(stream, 2)

    assert [(e.job, e.seq) for e in before + live] == [
        (job_id(1), 1),
        (job_id(1), 2),
        (job_id(3), 1),
        (job_id(3), 2),
    ]
    await _close(stream)


async def test_a_follower_from_now_on_sees_nothing_of_what_was(bench: Bench) -> None:
    await bench.add("run")
    stream = bench.streams.of_owner(_ALICE, None)
    first = await anext(stream)

    fresh = await bench.add("update")

    assert first == []
    assert await _take(stream, 1) == fresh
    await _close(stream)


async def test_a_follower_of_one_job_sees_no_other_job(bench: Bench) -> None:
    await bench.add(number=1)
    stream = bench.streams.of_job(_ALICE, bench.job(1), 1)
    assert await anext(stream) == []

    await bench.add("run", number=2)
    fresh = await bench.add("run", number=1)

    assert await _take(stream, 1) == fresh
    await _close(stream)


class _Interposing:
    """A store that lets something happen just before each page is read."""

    def __init__(self, store: Store, act: Callable[[], Any]) -> None:
        self._store = store
        self._act = act

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def history(self, *args: Any) -> list[Entry]:
        page = await self._store.history(*args)
        await self._act()
        return page


async def test_what_is_committed_between_the_reading_and_the_hearing_is_not_missed(
    store: SqliteStore,
) -> None:
    bench = Bench(store)
    await bench.add()
    late = iter([["run"], ["update"], ["finish"]])

    async def commit_one_more() -> None:
        for names in late:
            await bench.add(*names)
            return

    interposing: Any = _Interposing(store, commit_one_more)
    streams = Streams(interposing, EntryFeed(bench.transport), 10)
    await bench.transport.open()
    await streams.start()
    stream = streams.of_job(_ALICE, bench.job(), 0)

    entries = await _take(stream, 4)

    assert [entry.seq for entry in entries] == [1, 2, 3, 4]
    await _close(stream)
    await bench.transport.close()


class _Follower:
    """Takes everything that a stream gives, and knows when it has caught up and only hears."""

    def __init__(self, bench: Bench) -> None:
        self.seqs: list[int] = []
        self._ends = 0
        interposing: Any = _Interposing(bench.store, self._look)
        self.streams = Streams(interposing, EntryFeed(bench.transport), 10)
        self._stream = self.streams.of_job(_ALICE, bench.job(), 0)
        self._expected = bench.job().seq

    async def _look(self) -> None:
        self._ends += len(self.seqs) == self._expected

    async def start(self) -> asyncio.Task[None]:
        """Follow; return when the follower waits for what is new."""
        await self.streams.start()
        task = asyncio.create_task(self._follow())
        await until(lambda: self._ends == 1)
        await turns()
        return task

    async def _follow(self) -> None:
        async for items in self._stream:
            self.seqs += [item.entry.seq for item in items]


async def test_an_entry_that_is_told_twice_is_seen_once(bench: Bench) -> None:
    await bench.add()
    follower = _Follower(bench)
    task = await follower.start()
    run = make_entry(seq=2, name="run")
    positioned = await bench.commit(run)

    for _ in range(3):
        await bench.tell(positioned)
    bench.jobs[1].append(run)
    await bench.add("update")
    await until(lambda: follower.seqs[-1] == 3)

    assert follower.seqs == [1, 2, 3]
    task.cancel()
    await asyncio.wait([task])


async def test_a_subscriber_that_is_too_slow_reads_the_store_again_and_misses_nothing(
    bench: Bench,
) -> None:
    await bench.add()
    follower = _Follower(bench)
    task = await follower.start()
    half = _BATCH_OF_A_SLOW_SUBSCRIBER // 2 + 1
    updates = [make_entry(seq=2 + number, name="update") for number in range(2 * half)]
    positioned = await bench.commit(*updates)

    for part in (positioned[:half], positioned[half:]):
        await broadcast_entries(bench.transport, part)
    await until(lambda: follower.seqs[-1] == 1 + 2 * half)
    bench.jobs[1] += updates
    await bench.add("finish")
    await until(lambda: follower.seqs[-1] == 2 + 2 * half)

    assert follower.seqs == list(range(1, 3 + 2 * half))
    task.cancel()
    await asyncio.wait([task])


async def test_a_stream_of_a_job_ends_with_its_deletion(bench: Bench) -> None:
    await bench.add("run")
    stream = bench.streams.of_job(_ALICE, bench.job(), 2)
    assert await anext(stream) == []

    await bench.tell(
        await bench.commit(make_entry(seq=3, name="delete", change=Change(deleted=True)))
    )
    rest = [items async for items in stream]

    assert [[item.entry.name for item in items] for items in rest] == [["delete"]]
    assert bench.streams.open_streams == 0


async def test_closing_ends_every_stream_and_lets_none_begin(bench: Bench) -> None:
    await bench.add()
    stream = bench.streams.of_owner(_ALICE, None)
    assert await anext(stream) == []

    bench.streams.close()
    async with asyncio.timeout(PATIENCE_S):
        rest = [items async for items in stream]
        late = [items async for items in bench.streams.of_owner(_ALICE, None)]

    assert rest == []
    assert [items for items in late if items] == []
    assert bench.streams.open_streams == 0


async def test_an_owner_has_only_so_many_streams_and_another_owner_its_own(
    store: SqliteStore,
) -> None:
    streams = Streams(store, EntryFeed(EmbeddedTransport()), 2)
    mine = [streams.of_owner(_ALICE, None) for _ in range(3)]
    foreign = streams.of_owner(Principal(STRANGER, frozenset()), None)

    for stream in (*mine[:2], foreign):
        await anext(stream)
    with pytest.raises(TooManyRequests) as caught:
        await anext(mine[2])
    open_streams = streams.open_streams
    await _close(mine[0])
    again = streams.of_owner(_ALICE, None)
    await anext(again)

    assert (caught.value.limit, open_streams) == (2, 3)
    for stream in (mine[1], foreign, again):
        await _close(stream)
    assert streams.open_streams == 0

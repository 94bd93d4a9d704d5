"""
The embedded store: one SQLite file, one writer, group commits that survive a power cut.

One transaction holds a whole batch, so entries and projections never part company here; the
contract's fold and repair exist for stores where they can.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Collection, Container, Sequence
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from jobwire.actors.runtime.failpoints import failpoint
from jobwire.actors.runtime.tasks import Loop
from jobwire.actors.stores.base import (
    After,
    AfterDelivery,
    Awaited,
    Commit,
    Committed,
    Count,
    DeliveryFilter,
    EventKey,
    JobFilter,
    Place,
    Positioned,
    Record,
    View,
)
from jobwire.actors.stores.rows import encode
from jobwire.actors.stores.sqlite import leases, outbox, reading, records, retention, writing
from jobwire.actors.stores.sqlite.schema import PAGE_BYTES, upgrade
from jobwire.actors.stores.sqlite.threads import ReaderThreads, WriterThread
from jobwire.schemas.deliveries import Delivery
from jobwire.schemas.identifiers import EventId, JobId
from jobwire.schemas.jobs import Entry, Job, Refusal

#: What must fit for the store to count as able to write: an event with the largest data.
_PROBE_BYTES = 65_536
_READERS = 2
_WRITER_CACHE_KIB = 32_768
_READER_CACHE_KIB = 8_192
#: How often the write-ahead log is moved into the database, beside the writer.
_CHECKPOINT_S = 0.5


class SqliteStore:
    """Keeps everything in one SQLite file."""

    #: Owners share one lane.
    is_gapless = False

    def __init__(self, path: Path, *, max_bytes: int = 0) -> None:
        """Use the file at `path`; `max_bytes` limits it, 0 does not."""
        self._writer = WriterThread(
            path, cache_kib=_WRITER_CACHE_KIB, max_pages=max_bytes // PAGE_BYTES
        )
        self._readers = ReaderThreads(path, _READERS, cache_kib=_READER_CACHE_KIB)
        self._checkpointer = ReaderThreads(path, 1, cache_kib=64)
        self._checkpoints = Loop("sqlite.checkpoint", self._checkpoint)

    async def open(self) -> None:
        """Make the tables, or bring older ones up to date."""
        self._writer.open(upgrade)
        self._checkpoints.start()

    async def close(self) -> None:
        """Finish what runs and close."""
        await self._checkpoints.stop()
        await asyncio.to_thread(self._checkpointer.close)
        await asyncio.to_thread(self._readers.close)
        await self._writer.close()

    async def check(self) -> None:
        """Write one row."""
        await self._writer.write(_check)

    async def load(
        self,
        jobs: Collection[JobId],
        keys: Collection[EventKey],
        *,
        fold: Collection[JobId],
        known: bool,
    ) -> View:
        """Load jobs and what is known of events."""
        return await self._writer.read(writing.load, jobs, keys, fold, known)

    async def commit(self, commit: Commit) -> Committed:
        """Write a batch in one transaction; at a conflict nothing of it is written."""
        try:
            stored = await self._writer.write(writing.write, commit)
        except sqlite3.IntegrityError:
            taken = await self._writer.read(writing.conflict, commit.entries)
            return Committed([], conflict=taken)
        failpoint("store.after_commit")
        return Committed(stored)

    async def get(self, owner: str, job: JobId) -> Job | None:
        """Return a job of this owner."""
        return await self._writer.read(reading.get, owner, job)

    async def find(
        self, owner: str, which: JobFilter, after: After | None, limit: int
    ) -> list[Job]:
        """Return an owner's jobs, newest first."""
        return await self._readers.run(reading.find, owner, which, after, limit)

    async def history(self, owner: str, job: JobId, after: int, limit: int) -> list[Entry]:
        """Return a job's entries above a seq."""
        return await self._readers.run(reading.history, owner, job, after, limit)

    async def entry(self, owner: str, job: JobId, seq: int) -> Entry | None:
        """Return one entry of a job."""
        entries = await self._writer.read(reading.history, owner, job, seq - 1, 1)
        return entries[0] if entries and entries[0].seq == seq else None

    async def since(self, owner: str, place: Place, limit: int) -> tuple[list[Positioned], Place]:
        """Return an owner's entries after a place."""
        return await self._readers.run(reading.since, owner, place, limit)

    async def newest(self, owner: str) -> Place:
        """Return the position of the newest entry of all owners."""
        del owner  # they share one lane
        position = await self._writer.read(reading.last_position)
        return (position,) if position else ()

    async def count(self, owner: str, most: int) -> list[Count]:
        """Count an owner's jobs, at most so many of each state."""
        return await self._readers.run(reading.count, owner, most)

    async def refusals(self, owner: str, after: int, limit: int) -> list[Refusal]:
        """Return an owner's refused events."""
        return await self._readers.run(reading.refusals, owner, after, limit)

    async def refusal(self, owner: str, key: EventKey) -> Refusal | None:
        """Return one refused event."""
        return await self._writer.read(reading.refusal, owner, key)

    async def mark_replayed(self, owner: str, key: EventKey, replayed_as: EventId) -> None:
        """Remember under which id a refused event was sent again."""
        await self._writer.write(_mark_replayed, owner, key, replayed_as)

    async def outstanding(
        self, until: datetime, after: Awaited | None, limit: int
    ) -> list[Awaited]:
        """Return jobs whose command is to be published by a moment."""
        return await self._readers.run(reading.outstanding, until, after, limit)

    async def postpone(self, jobs: Sequence[tuple[Job, datetime]]) -> None:
        """Publish the command of each job again at that moment."""
        if jobs:
            await self._writer.write(writing.postpone, jobs)

    async def stale(self, now: datetime, limit: int) -> list[Job]:
        """Return jobs whose watch has run out."""
        return await self._readers.run(reading.stale, now, limit)

    async def watch(self, job: Job, until: datetime | None) -> None:
        """Look at a job again at that moment."""
        await self._writer.write(writing.watch, job, until)

    async def put(self, kind: str, record: Record, *, fresh: bool = False) -> bool:
        """Write a record."""
        return await self._writer.write(records.put, kind, record, fresh)

    async def swap(self, kind: str, record: Record, expected: bytes) -> bool:
        """Write a record if its text is still the expected one."""
        return await self._writer.write(records.swap, kind, record, expected)

    async def fetch(self, kind: str, owner: str | None, key: str) -> Record | None:
        """Return one record."""
        return await self._writer.read(records.fetch, kind, owner, key)

    async def select(self, kind: str, owner: str | None, after: str, limit: int) -> list[Record]:
        """Return records in the order of keys."""
        return await self._readers.run(records.select, kind, owner, after, limit)

    async def drop(self, kind: str, owner: str, key: str) -> bool:
        """Remove a record."""
        return await self._writer.write(records.drop, kind, owner, key)

    async def claim(self, role: str, holder: str, ttl_s: float) -> int | None:
        """Take a role that nobody holds, or keep it."""
        return await self._writer.write(leases.claim, role, holder, ttl_s)

    async def release(self, role: str, holder: str) -> None:
        """Give a role back."""
        await self._writer.write(leases.release, role, holder)

    async def holders(self, prefix: str) -> dict[str, str]:
        """Return the roles beginning with `prefix` that are held now."""
        return await self._writer.read(leases.holders, prefix)

    async def forget(self, before: datetime, limit: int) -> int:
        """Remove whole jobs that ended or were deleted before a moment."""
        return await self._writer.write(retention.forget, before, limit)

    async def due(self, limit: int) -> list[Entry]:
        """Return the oldest entries of which somebody must still be told."""
        return await self._writer.read(outbox.due, limit)

    async def plan_deliveries(
        self, deliveries: Sequence[Delivery], told: Sequence[EventKey]
    ) -> list[Delivery]:
        """Write deliveries and mark their entries as told, both or neither."""
        return await self._writer.write(outbox.plan_deliveries, deliveries, told)

    async def deliverable(
        self, now: datetime, busy: Container[str], each: int, limit: int
    ) -> list[Delivery]:
        """Return deliveries whose next try is due."""
        return await self._readers.run(outbox.deliverable, now, busy, each, limit)

    async def next_delivery(self, now: datetime, busy: Container[str]) -> datetime | None:
        """Return the moment of the earliest try to come."""
        return await self._readers.run(outbox.next_delivery, now, busy)

    async def save_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Write down what became of tries."""
        await self._writer.write(outbox.save_deliveries, deliveries)

    async def redeliver(self, owner: str, delivery: str, now: datetime) -> Delivery | None:
        """Make one delivery due again."""
        return await self._writer.write(outbox.redeliver, owner, delivery, now)

    async def recover(self, owner: str, since: datetime, now: datetime, limit: int) -> int:
        """Make deliveries due again that gave up."""
        return await self._writer.write(outbox.recover, owner, since, now, limit)

    async def deliveries(
        self, owner: str, which: DeliveryFilter, after: AfterDelivery | None, limit: int
    ) -> list[Delivery]:
        """Return an owner's deliveries, newest first."""
        return await self._readers.run(outbox.deliveries, owner, which, after, limit)

    async def delivery(self, owner: str, delivery: str) -> Delivery | None:
        """Return one delivery of this owner."""
        return await self._writer.read(outbox.delivery, owner, delivery)

    async def drop_deliveries(self, before: datetime, limit: int) -> int:
        """Remove old deliveries that need no further try."""
        return await self._writer.write(outbox.drop_deliveries, before, limit)

    async def _checkpoint(self) -> None:
        """Move the log into the database beside the writer: no commit has to wait for it."""
        while True:
            await asyncio.sleep(_CHECKPOINT_S)
            await self._checkpointer.run(_checkpoint)


def _checkpoint(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _check(connection: sqlite3.Connection) -> None:
    # Large, then small: a full database still has room for a row of a few bytes, not for events.
    for size in (_PROBE_BYTES, 8):
        connection.execute(
            "INSERT OR REPLACE INTO records VALUES ('service', '', 'probe', randomblob(?))", (size,)
        )


def _mark_replayed(
    connection: sqlite3.Connection, owner: str, key: EventKey, replayed_as: EventId
) -> None:
    found = reading.refusal(connection, owner, key)
    if found is not None:
        body = encode(replace(found, replayed_as=replayed_as))
        connection.execute("UPDATE refused SET body = ? WHERE position = ?", (body, found.position))

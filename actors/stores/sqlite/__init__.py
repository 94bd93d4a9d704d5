"""
The embedded store: one SQLite file, one writer, group commits that survive a power cut.

One transaction holds a whole batch, so entries and projections never part company here; the
contract's fold and repair exist for stores where they can.
"""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Self

from jobwire.actors.runtime.failpoints import failpoint
from jobwire.actors.runtime.folder import DataFolder
from jobwire.actors.runtime.settings import Settings
from jobwire.actors.runtime.tasks import Loop
from jobwire.actors.stores.base import Commit, Committed
from jobwire.actors.stores.sqlite import leases, outbox, reading, records, retention, writing
from jobwire.actors.stores.sqlite.schema import PAGE_BYTES, upgrade
from jobwire.actors.stores.sqlite.threads import ReaderThreads, WriterThread
from jobwire.actors.stores.sqlite.verbs import long_read, quick_read, write

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
        self.writer = WriterThread(
            path, cache_kib=_WRITER_CACHE_KIB, max_pages=max_bytes // PAGE_BYTES
        )
        self.readers = ReaderThreads(path, _READERS, cache_kib=_READER_CACHE_KIB)
        self._checkpointer = ReaderThreads(path, 1, cache_kib=64)
        self._checkpoints = Loop("sqlite.checkpoint", self._checkpoint)

    @classmethod
    def of(cls, settings: Settings, folder: DataFolder) -> Self:
        """Use the file of the data folder."""
        return cls(folder.database, max_bytes=settings.limits.database_bytes)

    async def open(self) -> None:
        """Make the tables, or bring older ones up to date."""
        self.writer.open(upgrade)
        self._checkpoints.start()

    async def close(self) -> None:
        """Finish what runs and close."""
        await self._checkpoints.stop()
        await asyncio.to_thread(self._checkpointer.close)
        await asyncio.to_thread(self.readers.close)
        await self.writer.close()

    async def commit(self, commit: Commit) -> Committed:
        """Write a batch in one transaction; at a conflict nothing of it is written."""
        try:
            stored = await self.writer.write(writing.write, commit)
        except sqlite3.IntegrityError:
            taken = await self.writer.read(writing.conflict, commit.entries)
            return Committed([], conflict=taken)
        failpoint("store.after_commit")
        return Committed(stored)

    load = quick_read(writing.load)
    check = write(records.check)

    get = quick_read(reading.get)
    find = long_read(reading.find)
    history = long_read(reading.history)
    entry = quick_read(reading.entry)
    since = long_read(reading.since)
    newest = quick_read(reading.newest)
    count = long_read(reading.count)
    refusals = long_read(reading.refusals)
    refusal = quick_read(reading.refusal)
    mark_replayed = write(writing.mark_replayed)

    outstanding = long_read(reading.outstanding)
    postpone = write(writing.postpone)
    stale = long_read(reading.stale)
    watch = write(writing.watch)
    forget = write(retention.forget)

    put = write(records.put)
    swap = write(records.swap)
    fetch = quick_read(records.fetch)
    select = long_read(records.select)
    drop = write(records.drop)

    claim = write(leases.claim)
    release = write(leases.release)
    holders = quick_read(leases.holders)

    due = quick_read(outbox.due)
    plan_deliveries = write(outbox.plan_deliveries)
    deliverable = long_read(outbox.deliverable)
    next_delivery = long_read(outbox.next_delivery)
    save_deliveries = write(outbox.save_deliveries)
    redeliver = write(outbox.redeliver)
    recover = write(outbox.recover)
    deliveries = long_read(outbox.deliveries)
    delivery = quick_read(outbox.delivery)
    drop_deliveries = write(outbox.drop_deliveries)

    async def _checkpoint(self) -> None:
        """Move the log into the database beside the writer: no commit has to wait for it."""
        while True:
            await asyncio.sleep(_CHECKPOINT_S)
            await self._checkpointer.run(_checkpoint)


def _checkpoint(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

"""
The store for many processes: MongoDB, as a replica set of one member or more.

A batch is written in parts, each safe on a majority's disks before the next one; the order of the
parts, and guards that name what was read, make up for the transaction that is not there.
"""

from __future__ import annotations

from typing import Self

from jobwire.actors.runtime.failpoints import failpoint
from jobwire.actors.runtime.folder import DataFolder
from jobwire.actors.runtime.settings import Settings
from jobwire.actors.stores.base import Commit, Committed
from jobwire.actors.stores.mongodb import (
    leases,
    loading,
    outbox,
    reading,
    records,
    retention,
    schema,
    writing,
)
from jobwire.actors.stores.mongodb.call_guard import CallGuard
from jobwire.actors.stores.mongodb.client import Driver, MongoConnection, translated
from jobwire.actors.stores.mongodb.job_database import JobDatabase
from jobwire.actors.stores.mongodb.verbs import guarded, unguarded
from jobwire.schemas.errors import InDoubt, Unavailable


class MongoStore:
    """Keeps everything in one MongoDB database."""

    #: Positions count within an owner's jobs of one shard.
    is_gapless = True

    def __init__(self, url: str, *, shards: int, driver: Driver = "motor") -> None:
        """
        Use the database that the URL names; `shards` must never change for its data.

        Raises:
            Misconfigured: the URL is not one, or names no database.

        """
        self._url = url
        self._driver = driver
        self.connection = MongoConnection(url, driver)
        self.database = JobDatabase(self.connection.database, shards)
        self.call_guard = CallGuard(self.connection)

    @classmethod
    def of(cls, settings: Settings, folder: DataFolder) -> Self:
        """Use the database that the settings name."""
        del folder  # everything lies in the database
        database = settings.database
        return cls(database.url or "", shards=settings.shards, driver=database.driver)

    async def open(self) -> None:
        """Make collections and indexes."""
        # On much data an index takes longer than any other call may.
        patient = MongoConnection(self._url, self._driver, timeout_ms=None)
        try:
            with translated():
                await schema.prepare(patient)
                await schema.check_complete(self.connection.database)
        finally:
            await patient.close()

    async def close(self) -> None:
        """Close the connections."""
        await self.connection.close()

    async def commit(self, commit: Commit) -> Committed:
        """Write a batch in parts; at a conflict what stands before it stays."""
        try:
            with translated():
                committed = await self.connection.finish(writing.commit(self.database, commit))
        except Unavailable as error:  # what was lost may be the answer alone
            raise InDoubt(
                error.detail, code=error.code, retry_after_s=error.retry_after_s
            ) from error
        if committed.conflict is None:
            failpoint("store.after_commit")
        return committed

    load = unguarded(loading.load)
    check = unguarded(schema.check)

    get = guarded(reading.get)
    find = guarded(reading.find)
    history = guarded(reading.history)
    entry = guarded(reading.entry)
    since = guarded(reading.since)
    newest = guarded(reading.newest)
    count = guarded(reading.count)
    refusals = guarded(reading.refusals)
    refusal = guarded(reading.refusal)
    mark_replayed = guarded(writing.mark_replayed)

    outstanding = guarded(reading.outstanding)
    postpone = guarded(writing.postpone)
    stale = guarded(reading.stale)
    watch = guarded(writing.watch)
    forget = guarded(retention.forget)

    put = guarded(records.put)
    swap = guarded(records.swap)
    fetch = guarded(records.fetch)
    select = guarded(records.select)
    drop = guarded(records.drop)

    claim = guarded(leases.claim)
    release = guarded(leases.release)
    holders = guarded(leases.holders)

    due = guarded(outbox.due)
    plan_deliveries = guarded(outbox.plan_deliveries)
    deliverable = guarded(outbox.deliverable)
    next_delivery = guarded(outbox.next_delivery)
    save_deliveries = guarded(outbox.save_deliveries)
    redeliver = guarded(outbox.redeliver)
    recover = guarded(outbox.recover)
    deliveries = guarded(outbox.deliveries)
    delivery = guarded(outbox.delivery)
    drop_deliveries = guarded(outbox.drop_deliveries)

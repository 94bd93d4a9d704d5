"""
The store for many processes: MongoDB, as a replica set of one member or more.

A batch is written in parts, each safe on a majority's disks before the next one; the order of the
parts, and guards that name what was read, make up for the transaction that is not there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Container, Sequence
from datetime import datetime
from typing import Concatenate, ParamSpec, TypeVar

from jobwire.actors.runtime.failpoints import failpoint
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
from jobwire.actors.stores.mongodb import leases, outbox, reading, records, retention, writing
from jobwire.actors.stores.mongodb.call_guard import CallGuard
from jobwire.actors.stores.mongodb.client import Database, Driver, MongoConnection, translated
from jobwire.actors.stores.mongodb.schema import check_complete, prepare
from jobwire.actors.stores.mongodb.writing import Writing
from jobwire.schemas.deliveries import Delivery
from jobwire.schemas.errors import InDoubt, Unavailable
from jobwire.schemas.identifiers import EventId, JobId
from jobwire.schemas.jobs import Entry, Job, Refusal

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


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
        self._shards = shards
        self._client = MongoConnection(url, driver)
        self._database = self._client.database
        self._writing = Writing(self._database, shards)
        self._call_guard = CallGuard()

    async def open(self) -> None:
        """Make collections and indexes."""
        # On much data an index takes longer than any other call may.
        patient = MongoConnection(self._url, self._driver, timeout_ms=None)
        try:
            await _translated(prepare(patient))
            await _translated(check_complete(self._database))
        finally:
            await patient.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def check(self) -> None:
        """Write one document."""
        probe = {"$inc": {"checks": 1}}
        await _translated(self._database.meta.update_one({"_id": "probe"}, probe, upsert=True))

    async def load(
        self,
        jobs: Collection[JobId],
        keys: Collection[EventKey],
        *,
        fold: Collection[JobId],
        known: bool,
    ) -> View:
        """Load jobs and what is known of events."""
        return await _translated(self._writing.load(jobs, keys, fold=fold, known=known))

    async def commit(self, commit: Commit) -> Committed:
        """Write a batch in parts; at a conflict what stands before it stays."""
        try:
            committed = await _translated(self._writing.commit(commit))
        except Unavailable as error:  # what was lost may be the answer alone
            raise InDoubt(
                error.detail, code=error.code, retry_after_s=error.retry_after_s
            ) from error
        if committed.conflict is None:
            failpoint("store.after_commit")
        return committed

    async def get(self, owner: str, job: JobId) -> Job | None:
        """Return a job of this owner."""
        return await self._call(reading.get, owner, job)

    async def find(
        self, owner: str, which: JobFilter, after: After | None, limit: int
    ) -> list[Job]:
        """Return an owner's jobs, newest first."""
        return await self._call(reading.find, owner, which, after, limit)

    async def history(self, owner: str, job: JobId, after: int, limit: int) -> list[Entry]:
        """Return a job's entries above a seq."""
        return await self._call(reading.history, self._shards, owner, job, after, limit)

    async def entry(self, owner: str, job: JobId, seq: int) -> Entry | None:
        """Return one entry of a job."""
        entries = await self._call(reading.history, self._shards, owner, job, seq - 1, 1)
        return entries[0] if entries and entries[0].seq == seq else None

    async def since(self, owner: str, place: Place, limit: int) -> tuple[list[Positioned], Place]:
        """Return an owner's entries after a place."""
        return await self._call(reading.since, self._shards, owner, place, limit)

    async def newest(self, owner: str) -> Place:
        """Return the last position of each lane."""
        return await self._call(reading.newest, self._shards, owner)

    async def count(self, owner: str, most: int) -> list[Count]:
        """Count an owner's jobs, at most so many of each state."""
        return await self._call(reading.count, owner, most)

    async def refusals(self, owner: str, after: int, limit: int) -> list[Refusal]:
        """Return an owner's refused events."""
        return await self._call(reading.refusals, owner, after, limit)

    async def refusal(self, owner: str, key: EventKey) -> Refusal | None:
        """Return one refused event."""
        return await self._call(reading.refusal, owner, key)

    async def mark_replayed(self, owner: str, key: EventKey, replayed_as: EventId) -> None:
        """Remember under which id a refused event was sent again."""
        await self._call(writing.mark_replayed, owner, key, replayed_as)

    async def outstanding(
        self, until: datetime, after: Awaited | None, limit: int
    ) -> list[Awaited]:
        """Return jobs whose command is to be published by a moment."""
        return await self._call(reading.outstanding, until, after, limit)

    async def postpone(self, jobs: Sequence[tuple[Job, datetime]]) -> None:
        """Publish the command of each job again at that moment."""
        if jobs:
            await self._call(writing.postpone, jobs)

    async def stale(self, now: datetime, limit: int) -> list[Job]:
        """Return jobs whose watch has run out."""
        return await self._call(reading.stale, now, limit)

    async def watch(self, job: Job, until: datetime | None) -> None:
        """Look at a job again at that moment."""
        await self._call(writing.watch, job, until)

    async def put(self, kind: str, record: Record, *, fresh: bool = False) -> bool:
        """Write a record."""
        return await self._call(records.put, kind, record, fresh=fresh)

    async def swap(self, kind: str, record: Record, expected: bytes) -> bool:
        """Write a record if its text is still the expected one."""
        return await self._call(records.swap, kind, record, expected)

    async def fetch(self, kind: str, owner: str | None, key: str) -> Record | None:
        """Return one record."""
        return await self._call(records.fetch, kind, owner, key)

    async def select(self, kind: str, owner: str | None, after: str, limit: int) -> list[Record]:
        """Return records in the order of keys."""
        return await self._call(records.select, kind, owner, after, limit)

    async def drop(self, kind: str, owner: str, key: str) -> bool:
        """Remove a record."""
        return await self._call(records.drop, kind, owner, key)

    async def claim(self, role: str, holder: str, ttl_s: float) -> int | None:
        """Take a role that nobody holds, or keep it."""
        return await self._call(leases.claim, role, holder, ttl_s)

    async def release(self, role: str, holder: str) -> None:
        """Give a role back."""
        await self._call(leases.release, role, holder)

    async def holders(self, prefix: str) -> dict[str, str]:
        """Return the roles beginning with `prefix` that are held now."""
        return await self._call(leases.holders, prefix)

    async def forget(self, before: datetime, limit: int) -> int:
        """Remove whole jobs that ended or were deleted before a moment."""
        positions = self._writing.positions
        return await self._call(retention.forget, self._shards, positions, before, limit)

    async def due(self, limit: int) -> list[Entry]:
        """Return the oldest entries of which somebody must still be told."""
        return await self._call(outbox.due, limit)

    async def plan_deliveries(
        self, deliveries: Sequence[Delivery], told: Sequence[EventKey]
    ) -> list[Delivery]:
        """Write deliveries, then mark their entries as told; give those that are new."""
        return await self._call(outbox.plan_deliveries, deliveries, told)

    async def deliverable(
        self, now: datetime, busy: Container[str], each: int, limit: int
    ) -> list[Delivery]:
        """Return deliveries whose next try is due."""
        return await self._call(outbox.deliverable, now, busy, each, limit)

    async def next_delivery(self, now: datetime, busy: Container[str]) -> datetime | None:
        """Return the moment of the earliest try to come."""
        return await self._call(outbox.next_delivery, now, busy)

    async def save_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Write down what became of tries."""
        await self._call(outbox.save_deliveries, deliveries)

    async def redeliver(self, owner: str, delivery: str, now: datetime) -> Delivery | None:
        """Make one delivery due again."""
        return await self._call(outbox.redeliver, owner, delivery, now)

    async def recover(self, owner: str, since: datetime, now: datetime, limit: int) -> int:
        """Make deliveries due again that gave up."""
        return await self._call(outbox.recover, owner, since, now, limit)

    async def deliveries(
        self, owner: str, which: DeliveryFilter, after: AfterDelivery | None, limit: int
    ) -> list[Delivery]:
        """Return an owner's deliveries, newest first."""
        return await self._call(outbox.deliveries, owner, which, after, limit)

    async def delivery(self, owner: str, delivery: str) -> Delivery | None:
        """Return one delivery of this owner."""
        return await self._call(outbox.delivery, owner, delivery)

    async def drop_deliveries(self, before: datetime, limit: int) -> int:
        """Remove old deliveries that need no further try."""
        return await self._call(outbox.drop_deliveries, before, limit)

    async def _call(
        self,
        verb: Callable[Concatenate[Database, Arguments], Awaitable[Result]],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        return await self._call_guard.ask(verb, self._database, *args, **kwargs)


async def _translated(call: Awaitable[Result]) -> Result:
    with translated():
        return await call

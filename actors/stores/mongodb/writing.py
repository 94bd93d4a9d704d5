"""
The main path: load, then write a batch in parts, each of which may be the last one before a crash.

Refusals go first, then the entries in order, then the projections, each over a smaller seq only. A
deleted job's texts go last: while they are there its projection says so, and whoever looks at it
again after a crash finishes the work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection as Many
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from jobwire.actors.runtime.failpoints import failpoint
from jobwire.actors.stores.base import Commit, Committed, EventKey, Known, Positioned, View
from jobwire.actors.stores.mongodb import reading
from jobwire.actors.stores.mongodb.client import Database, Document, insert, update
from jobwire.actors.stores.mongodb.documents import (
    entry_document,
    event_key,
    in_lanes,
    job_document,
    projection,
    refusal_document,
    refusal_key,
)
from jobwire.actors.stores.mongodb.position_sequence import PositionSequence
from jobwire.actors.stores.rows import (
    decode_entry,
    decode_job,
    decode_refusal,
    encode,
    job_key,
    microseconds,
)
from jobwire.schemas.identifiers import EventId, JobId, shard_of
from jobwire.schemas.jobs import Entry, Job, Refusal

#: Fields that a moved job may lose, except `watch_at`, which others set and take away.
_LOSABLE: Final = ("parent", "publish_at", "ended", "unstripped")


class Writing:
    """Loads and commits."""

    def __init__(self, database: Database, shards: int) -> None:
        """Write to a database; the lane of a job is its shard."""
        self._database = database
        self._shards = shards
        self.positions = PositionSequence(database.entries, ("lane", "owner"), kept=database.lanes)
        self._refusals = PositionSequence(database.refused, ("owner",))

    async def load(
        self, jobs: Many[JobId], keys: Many[EventKey], *, fold: Many[JobId], known: bool
    ) -> View:
        """
        Load jobs with what comes after them, and only then ask for the events.

        Asked before, an event that another writer stores in between could be refused as well.
        """
        loaded = await self._load_jobs(jobs) if jobs else {}
        tails = await self._tails(jobs, fold, loaded)
        refused = await self._refused(keys) if keys else {}
        entries = await self._known(keys) if keys and known else {}
        return View(loaded, tails, entries, refused)

    async def commit(self, work: Commit) -> Committed:
        """Write a batch; after a conflict what stands before it stays, and nothing follows."""
        if work.refusals:
            await self._refuse(work.refusals)
        failpoint("store.before_insert")
        stored = await self._insert(work.entries) if work.entries else []
        if len(stored) < len(work.entries):
            taken = work.entries[len(stored)]
            return Committed(stored, conflict=EventKey(taken.job, taken.id))
        failpoint("store.after_insert")
        if work.jobs:
            await self._project(work)
        failpoint("store.after_projection")
        return Committed(stored)

    async def _load_jobs(self, jobs: Many[JobId]) -> dict[JobId, Job]:
        keys = {job_key(job): job for job in jobs}
        fields = {"projection.body": 1, "unstripped": 1}
        rows = await self._database.jobs.find({"_id": {"$in": [*keys]}}, fields).to_list(None)
        loaded = {keys[row["_id"]]: decode_job(row["projection"]["body"]) for row in rows}
        half_deleted = [loaded[keys[row["_id"]]] for row in rows if "unstripped" in row]
        if half_deleted:
            await self._strip(half_deleted)
        return loaded

    async def _tails(
        self, jobs: Many[JobId], fold: Many[JobId], loaded: Mapping[JobId, Job]
    ) -> dict[JobId, list[Entry]]:
        absent = [job for job in {*jobs, *fold} if job not in loaded]
        behind = [job for job in {*fold} if job in loaded]
        first = await self._first_entries(absent) if absent else {}
        later = await asyncio.gather(*(self._tail(job, loaded[job].seq) for job in behind))
        return first | dict(zip(behind, later, strict=True))

    async def _refused(self, keys: Many[EventKey]) -> dict[EventKey, list[Refusal]]:
        by_event = {event_key(key): key for key in keys}
        rows = self._database.refused.find(
            {"event": {"$in": [*by_event]}}, {"_id": 0, "event": 1, "body": 1}, hint="by_event"
        )
        found: dict[EventKey, list[Refusal]] = {}
        for row in await rows.to_list(None):
            found.setdefault(by_event[row["event"]], []).append(decode_refusal(row["body"]))
        return found

    async def _known(self, keys: Many[EventKey]) -> dict[EventKey, Known]:
        by_event = {event_key(key): key for key in keys}
        fields = {"seq": 1, "digest": 1, "body": 1}
        lanes = {shard_of(key.job, self._shards) for key in keys}
        # The lanes say where to ask, when the collection is sharded.
        which = {"_id": {"$in": [*by_event]}, "lane": {"$in": [*lanes]}}
        rows = self._database.entries.find(which, fields, hint="_id_")
        return {
            by_event[row["_id"]]: Known(
                int(row["seq"]), row["digest"], decode_entry(row["body"]) if "body" in row else None
            )
            for row in await rows.to_list(None)
        }

    async def _tail(self, job: JobId, seq: int) -> list[Entry]:
        rows = self._database.entries.find(
            {
                "lane": shard_of(job, self._shards),
                "job": job_key(job),
                "seq": {"$gt": seq},
            },
            {"_id": 0, "body": 1},
            sort=[("seq", 1)],
            hint="by_seq",
        )
        return [decode_entry(row["body"]) for row in await rows.to_list(None) if "body" in row]

    async def _first_entries(self, jobs: Sequence[JobId]) -> dict[JobId, list[Entry]]:
        """Return all entries of jobs that have no projection."""
        keys = {job_key(job): job for job in jobs}
        rows = await self._database.entries.find(
            {"$or": in_lanes(jobs, self._shards)},
            {"_id": 0, "job": 1, "seq": 1, "body": 1},
            sort=[("lane", 1), ("job", 1), ("seq", 1)],
            hint="by_seq",
        ).to_list(None)
        tails: dict[JobId, list[Entry]] = {}
        orphans: set[JobId] = set()
        for row in rows:
            job = keys[row["job"]]
            if job in orphans:
                continue
            tail = tails.setdefault(job, [])
            if not tail and row["seq"] != 1:
                # Written by somebody who had looked before the job was forgotten.
                orphans.add(job)
            elif "body" in row:
                tail.append(decode_entry(row["body"]))
        if orphans:
            which = {"$or": in_lanes(orphans, self._shards)}
            await self._database.entries.delete_many(which, hint="by_seq")
        return tails

    async def _refuse(self, refusals: Sequence[Refusal]) -> None:
        """Keep refusals that are not there yet, each owner's in their order."""
        documents: dict[bytes, Document] = {}
        for document in map(refusal_document, refusals):
            documents.setdefault(document["_id"], document)
        while documents:
            rows = self._database.refused.find({"_id": {"$in": [*documents]}}, {"_id": 1})
            for row in await rows.to_list(None):
                del documents[row["_id"]]
            if not documents or await self._refusals.append([*documents.values()]) == len(
                documents
            ):
                return

    async def _insert(self, entries: Sequence[Entry]) -> list[Positioned]:
        """Insert entries; give those that are stored, which are the first so many."""
        documents = [entry_document(each, shard_of(each.job, self._shards)) for each in entries]
        stored = await self.positions.append(documents)
        return [
            Positioned(document["position"], entry, document["lane"])
            for document, entry in zip(documents[:stored], entries, strict=False)
        ]

    async def _project(self, work: Commit) -> None:
        moved = {*work.moved, *work.created}
        created = [job for job in work.jobs if job.id in work.created]
        updates: list[Document] = []
        for job in work.jobs:
            if job.id not in work.created:
                updates += _move(job) if job.id in moved else [_touch(job)]
        if created:
            documents = [{"_id": job_key(job.id), **job_document(job)} for job in created]
            taken = await insert(self._database.jobs, documents, ordered=False)
            updates += [update for each in taken for update in _move(created[each["index"]])]
        if updates:
            await update(self._database.jobs, updates)
        deleted = [job for job in work.jobs if job.deleted and job.id in moved]
        if deleted:
            await self._strip(deleted)

    async def _strip(self, jobs: Sequence[Job]) -> None:
        """Leave of deleted jobs only the ids, seqs and digests of their entries."""
        # What somebody must still be told of stays whole until then.
        await update(
            self._database.entries,
            [
                {
                    "q": {
                        "lane": shard_of(job.id, self._shards),
                        "job": job_key(job.id),
                        "seq": {"$lte": job.seq},
                        "due": {"$exists": False},
                        "body": {"$exists": True},
                    },
                    "u": {"$unset": {"body": ""}},
                    "multi": True,
                    "hint": "by_seq",
                }
                for job in jobs
            ],
        )
        done = {"$unset": {"unstripped": ""}}
        await update(self._database.jobs, [{"q": _unchanged(job), "u": done} for job in jobs])


async def mark_replayed(
    database: Database, owner: str, key: EventKey, replayed_as: EventId
) -> None:
    """Remember under which id a refused event was sent again."""
    found = await reading.refusal(database, owner, key)
    if found is not None:
        which = {"_id": refusal_key(event_key(key), owner)}
        body = encode(replace(found, replayed_as=replayed_as))
        await database.refused.update_one(which, {"$set": {"body": body}})


async def watch(database: Database, job: Job, until: datetime | None) -> None:
    """Look at a job again at that moment, unless it has moved on since."""
    at = {"watch_at": microseconds(until) if until else ""}
    change = {"$set": at} if until else {"$unset": at}
    await update(database.jobs, [{"q": _unchanged(job), "u": change}])


async def postpone(database: Database, jobs: Sequence[tuple[Job, datetime]]) -> None:
    """Publish the command of each job again at that moment, unless it has moved on since."""
    updates = [
        {
            "q": _unchanged(job) | {"publish_at": {"$exists": True}},
            "u": {"$set": {"publish_at": microseconds(until)}},
        }
        for job, until in jobs
    ]
    await update(database.jobs, updates)


def _touch(job: Job) -> Document:
    """
    Write a projection that is found where it was.

    With the key alone to be found, and `$max` as the guard, it costs the server half of what a
    condition on the seq would.
    """
    return {"q": {"_id": job_key(job.id)}, "u": {"$max": {"projection": projection(job)}}}


def _move(job: Job) -> list[Document]:
    """Write a projection that may be found elsewhere now; at most one of the updates applies."""
    fields = job_document(job)
    lost = {name: "" for name in _LOSABLE if name not in fields}
    if job.deleted:
        lost |= {"terms": "", "watch_at": ""}
    elif job.seq != job.born and job.born == 1:
        fields.pop("terms", None)  # as they were at the create
    watch_at = fields.pop("watch_at", None)
    change = {"$set": fields, "$unset": lost}
    if watch_at is None:
        return [{"q": _older(job), "u": change}]
    # A moment at which somebody looks anyway stays: then the next one is found out.
    watched = {"$set": fields | {"watch_at": watch_at}, "$unset": lost}
    return [
        {"q": _older(job) | {"watch_at": {"$exists": True}}, "u": change},
        {"q": _older(job) | {"watch_at": {"$exists": False}}, "u": watched},
    ]


def _older(job: Job) -> Document:
    return {"_id": job_key(job.id), "projection.seq": {"$lt": job.seq}}


def _unchanged(job: Job) -> Document:
    return {"_id": job_key(job.id), "projection.seq": job.seq}

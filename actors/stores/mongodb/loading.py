"""
The first half of the main path: load jobs and what is known of events.

Loading a job that is half deleted finishes the deletion, and finding entries of a job that was
forgotten removes them: both were left by a process that ended in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence

from jobwire.actors.stores.base import EventKey, KnownEvent, Loaded
from jobwire.actors.stores.mongodb.deletion import remove_entry_bodies
from jobwire.actors.stores.mongodb.documents import event_key, in_lanes
from jobwire.actors.stores.mongodb.job_database import JobDatabase
from jobwire.actors.stores.rows import decode_entry, decode_job, decode_refusal, job_key
from jobwire.schemas.identifiers import JobId, shard_of
from jobwire.schemas.jobs import Entry, Job, Refusal


async def load(
    database: JobDatabase,
    jobs: Collection[JobId],
    keys: Collection[EventKey],
    *,
    fold: Collection[JobId],
    known: bool,
) -> Loaded:
    """
    Load jobs with what comes after them, and only then ask for the events.

    Asked before, an event that another writer stores in between could be refused as well.
    """
    loaded = await _load_jobs(database, jobs) if jobs else {}
    tails = await _tails(database, jobs, fold, loaded)
    refused = await _refused(database, keys) if keys else {}
    entries = await _known(database, keys) if keys and known else {}
    return Loaded(loaded, tails, entries, refused)


async def _load_jobs(database: JobDatabase, jobs: Collection[JobId]) -> dict[JobId, Job]:
    keys = {job_key(job): job for job in jobs}
    fields = {"projection.body": 1, "unstripped": 1}
    rows = await database.jobs.find({"_id": {"$in": [*keys]}}, fields).to_list(None)
    loaded = {keys[row["_id"]]: decode_job(row["projection"]["body"]) for row in rows}
    half_deleted = [loaded[keys[row["_id"]]] for row in rows if "unstripped" in row]
    if half_deleted:
        await remove_entry_bodies(database, half_deleted)
    return loaded


async def _tails(
    database: JobDatabase,
    jobs: Collection[JobId],
    fold: Collection[JobId],
    loaded: Mapping[JobId, Job],
) -> dict[JobId, list[Entry]]:
    absent = [job for job in {*jobs, *fold} if job not in loaded]
    behind = [job for job in {*fold} if job in loaded]
    first = await _first_entries(database, absent) if absent else {}
    later = await asyncio.gather(*(_tail(database, job, loaded[job].seq) for job in behind))
    return first | dict(zip(behind, later, strict=True))


async def _refused(
    database: JobDatabase, keys: Collection[EventKey]
) -> dict[EventKey, list[Refusal]]:
    by_event = {event_key(key): key for key in keys}
    rows = database.refused.find(
        {"event": {"$in": [*by_event]}}, {"_id": 0, "event": 1, "body": 1}, hint="by_event"
    )
    found: dict[EventKey, list[Refusal]] = {}
    for row in await rows.to_list(None):
        found.setdefault(by_event[row["event"]], []).append(decode_refusal(row["body"]))
    return found


async def _known(database: JobDatabase, keys: Collection[EventKey]) -> dict[EventKey, KnownEvent]:
    by_event = {event_key(key): key for key in keys}
    fields = {"seq": 1, "digest": 1, "body": 1}
    lanes = {shard_of(key.job, database.shards) for key in keys}
    # The lanes say where to ask, when the collection is sharded.
    which = {"_id": {"$in": [*by_event]}, "lane": {"$in": [*lanes]}}
    rows = database.entries.find(which, fields, hint="_id_")
    return {
        by_event[row["_id"]]: KnownEvent(
            int(row["seq"]), row["digest"], decode_entry(row["body"]) if "body" in row else None
        )
        for row in await rows.to_list(None)
    }


async def _tail(database: JobDatabase, job: JobId, seq: int) -> list[Entry]:
    rows = database.entries.find(
        {
            "lane": shard_of(job, database.shards),
            "job": job_key(job),
            "seq": {"$gt": seq},
        },
        {"_id": 0, "body": 1},
        sort=[("seq", 1)],
        hint="by_seq",
    )
    return [decode_entry(row["body"]) for row in await rows.to_list(None) if "body" in row]


async def _first_entries(database: JobDatabase, jobs: Sequence[JobId]) -> dict[JobId, list[Entry]]:
    """Return all entries of jobs that have no projection."""
    keys = {job_key(job): job for job in jobs}
    rows = await database.entries.find(
        {"$or": in_lanes(jobs, database.shards)},
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
        which = {"$or": in_lanes(orphans, database.shards)}
        await database.entries.delete_many(which, hint="by_seq")
    return tails

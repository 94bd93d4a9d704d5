"""
The second half of the main path: a batch in parts, each of which may be the last before a crash.

Refusals go first, then the entries in order, then the projections, each over a smaller seq only. A
deleted job's texts go last: while they are there its projection says so, and loading it
again after a crash finishes the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from jobwire.actors.runtime.failpoints import failpoint
from jobwire.actors.stores.base import Commit, Committed, EventKey, Positioned
from jobwire.actors.stores.mongodb import reading
from jobwire.actors.stores.mongodb.client import Document, insert, update
from jobwire.actors.stores.mongodb.deletion import remove_entry_bodies
from jobwire.actors.stores.mongodb.documents import (
    entry_document,
    event_key,
    job_document,
    projection,
    refusal_document,
    refusal_key,
    unchanged,
)
from jobwire.actors.stores.mongodb.job_database import JobDatabase
from jobwire.actors.stores.rows import encode, job_key, microseconds
from jobwire.schemas.identifiers import EventId, shard_of
from jobwire.schemas.jobs import Entry, Job, Refusal

#: Fields that a moved job may lose, except `watch_at`, which others set and take away.
_LOSABLE: Final = ("parent", "publish_at", "ended", "unstripped")


async def commit(database: JobDatabase, work: Commit) -> Committed:
    """Write a batch; after a conflict what stands before it stays, and nothing follows."""
    if work.refusals:
        await _refuse(database, work.refusals)
    failpoint("store.before_insert")
    stored = await _insert(database, work.entries) if work.entries else []
    if len(stored) < len(work.entries):
        taken = work.entries[len(stored)]
        return Committed(stored, conflict=EventKey(taken.job, taken.id))
    failpoint("store.after_insert")
    if work.jobs:
        await _project(database, work)
    failpoint("store.after_projection")
    return Committed(stored)


async def _refuse(database: JobDatabase, refusals: Sequence[Refusal]) -> None:
    """Keep refusals that are not there yet, each owner's in their order."""
    documents: dict[bytes, Document] = {}
    for document in map(refusal_document, refusals):
        documents.setdefault(document["_id"], document)
    while documents:
        rows = database.refused.find({"_id": {"$in": [*documents]}}, {"_id": 1})
        for row in await rows.to_list(None):
            del documents[row["_id"]]
        if not documents or await database.refusal_positions.append([*documents.values()]) == len(
            documents
        ):
            return


async def _insert(database: JobDatabase, entries: Sequence[Entry]) -> list[Positioned]:
    """Insert entries; return those that are stored, a prefix of them."""
    documents = [entry_document(each, shard_of(each.job, database.shards)) for each in entries]
    stored = await database.entry_positions.append(documents)
    return [
        Positioned(document["position"], entry, document["lane"])
        for document, entry in zip(documents[:stored], entries, strict=False)
    ]


async def _project(database: JobDatabase, work: Commit) -> None:
    moved = {*work.moved, *work.created}
    created = [job for job in work.jobs if job.id in work.created]
    updates: list[Document] = []
    for job in work.jobs:
        if job.id not in work.created:
            updates += _move(job) if job.id in moved else [_touch(job)]
    if created:
        documents = [{"_id": job_key(job.id), **job_document(job)} for job in created]
        taken = await insert(database.jobs, documents, ordered=False)
        updates += [update for each in taken for update in _move(created[each["index"]])]
    if updates:
        await update(database.jobs, updates)
    deleted = [job for job in work.jobs if job.deleted and job.id in moved]
    if deleted:
        await remove_entry_bodies(database, deleted)


async def mark_replayed(
    database: JobDatabase, owner: str, key: EventKey, replayed_as: EventId
) -> None:
    """Remember under which id a refused event was sent again."""
    found = await reading.refusal(database, owner, key)
    if found is not None:
        which = {"_id": refusal_key(event_key(key), owner)}
        body = encode(replace(found, replayed_as=replayed_as))
        await database.refused.update_one(which, {"$set": {"body": body}})


async def watch(database: JobDatabase, job: Job, until: datetime | None) -> None:
    """Look at a job again at that moment, unless it has moved on since."""
    at = {"watch_at": microseconds(until) if until else ""}
    change = {"$set": at} if until else {"$unset": at}
    await update(database.jobs, [{"q": unchanged(job), "u": change}])


async def postpone(database: JobDatabase, jobs: Sequence[tuple[Job, datetime]]) -> None:
    """Publish the command of each job again at that moment, unless it has moved on since."""
    updates = [
        {
            "q": unchanged(job) | {"publish_at": {"$exists": True}},
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

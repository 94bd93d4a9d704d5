"""
What callers and the reaper read.

Every caller's query names the owner, and every query its index: the planner would take the wrong
one while a collection is small.
"""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from jobwire.actors.stores.base import (
    Count,
    DeliveryCursor,
    EventKey,
    JobCursor,
    JobFilter,
    OutstandingJob,
    Place,
    Positioned,
)
from jobwire.actors.stores.mongodb.client import Document, aggregate
from jobwire.actors.stores.mongodb.documents import NO_OUTCOME, event_key, refusal_key
from jobwire.actors.stores.mongodb.job_database import JobDatabase
from jobwire.actors.stores.rows import (
    JobKind,
    counts,
    decode_entry,
    decode_job,
    decode_refusal,
    job_key,
    microseconds,
    moment,
    words,
)
from jobwire.schemas.identifiers import JobId, shard_of
from jobwire.schemas.jobs import Entry, Job, Refusal

_BODY = {"_id": 0, "body": 1}
_JOB = {"_id": 0, "projection.body": 1}
_NEWEST_FIRST = [("created", -1), ("_id", -1)]


async def get(database: JobDatabase, owner: str, job: JobId) -> Job | None:
    """Return a job of this owner."""
    which = {"_id": job_key(job), "owner": owner, "deleted": False}
    row = await database.jobs.find_one(which, _JOB)
    return decode_job(row["projection"]["body"]) if row else None


async def find(
    database: JobDatabase, owner: str, which: JobFilter, after: JobCursor | None, limit: int
) -> list[Job]:
    """Return a page of an owner's jobs, newest first."""
    terms = [f"#{which.tag}"] if which.tag else []
    if which.words:
        looked_up = words(*which.words)
        if not looked_up:
            return []  # a search that names no word finds nothing, not everything
        terms += [f"~{word}" for word in looked_up]
    query: Document = {"owner": owner, "deleted": False}
    if terms:
        # The index is walked by the first term; the others are asked of each job.
        query["terms"] = terms[0]
        query |= {"$and": [{"terms": term} for term in terms[1:]]} if terms[1:] else {}
    named = {"state": which.state, "outcome": which.outcome, "lifecycle": which.lifecycle}
    query |= {name: value for name, value in named.items() if value is not None}
    if which.is_live:
        query["outcome"] = NO_OUTCOME if which.outcome is None else {"$in": []}
    if which.parent is not None:
        query["parent"] = job_key(which.parent)
    before = (after.created, job_key(after.id)) if after else None
    rows = database.jobs.find(
        _page(query, which.since, which.until, before),
        _JOB,
        sort=_NEWEST_FIRST,
        limit=limit,
        hint=_index_for(which, query),
    )
    return [decode_job(row["projection"]["body"]) for row in await rows.to_list(None)]


def _index_for(which: JobFilter, query: Document) -> str:
    if "terms" in query:
        return "by_term" if which.state is None else "by_term_and_state"
    if which.parent is not None:
        return "by_parent"
    if which.state is not None:
        return "by_state"
    return "by_outcome" if "outcome" in query else "by_owner"


def _page(
    query: Document,
    since: datetime | None,
    until: datetime | None,
    before: tuple[datetime, object] | None,
) -> Document:
    """Let a query find only what was made in a time, and comes after the page before."""
    bounds = {}
    if since is not None:
        bounds["$gte"] = microseconds(since)
    if until is not None:
        bounds["$lt"] = microseconds(until)
    if before is None:
        return query | ({"created": bounds} if bounds else {})
    # Two ranges of one index, merged: no key of a page before is looked at again.
    created, key = microseconds(before[0]), before[1]
    earlier = {"created": {**bounds, "$lt": min(created, bounds.get("$lt", created))}}
    same = {"created": {**bounds, "$eq": created}, "_id": {"$lt": key}}
    return {"$or": [query | earlier, query | same]}


def page_of_deliveries(
    query: Document, since: datetime | None, after: DeliveryCursor | None
) -> Document:
    """Let a query of deliveries find one page."""
    return _page(query, since, None, (after.created, after.id) if after else None)


async def history(
    database: JobDatabase, owner: str, job: JobId, after: int, limit: int
) -> list[Entry]:
    """Return a page of a job's entries."""
    rows = database.entries.find(
        {
            "lane": shard_of(job, database.shards),
            "job": job_key(job),
            "seq": {"$gt": after},
            "owner": owner,
            "body": {"$exists": True},
        },
        _BODY,
        sort=[("seq", 1)],
        limit=limit,
        hint="by_seq",
    )
    return [decode_entry(row["body"]) for row in await rows.to_list(None)]


async def entry(database: JobDatabase, owner: str, job: JobId, seq: int) -> Entry | None:
    """Return one entry of a job."""
    found = await history(database, owner, job, seq - 1, 1)
    return found[0] if found and found[0].seq == seq else None


async def since(
    database: JobDatabase, owner: str, place: Place, limit: int
) -> tuple[list[Positioned], Place]:
    """Return a page of an owner's entries in the order of their positions, and where to go on."""
    start = [*place[: database.shards], *(0 for _ in range(database.shards - len(place)))]
    lanes = [
        {"lane": lane, "owner": owner, "position": {"$gt": position}}
        for lane, position in enumerate(start)
    ]
    rows = await database.entries.find(
        {"$or": lanes},
        {"_id": 0, "lane": 1, "position": 1, "body": 1},
        sort=[("position", 1)],
        limit=limit,
        hint="by_position",
    ).to_list(None)
    if not rows:
        return [], place
    end = list(start)
    for row in rows:
        # Large numbers come as a kind of the driver's own, which nothing else can encode.
        row["position"] = end[row["lane"]] = int(row["position"])
    page = [
        # Of a deleted job only the position is left.
        Positioned(row["position"], decode_entry(row["body"]), row["lane"])
        for row in rows
        if "body" in row
    ]
    return page, _short(end)


async def newest(database: JobDatabase, owner: str) -> Place:
    """Return the last position of each lane."""
    rows = await aggregate(
        database.entries,
        [
            {"$match": {"lane": {"$in": [*range(database.shards)]}, "owner": owner}},
            {"$sort": {"lane": -1, "owner": -1, "position": -1}},
            {"$group": {"_id": "$lane", "last": {"$first": "$position"}}},
        ],
        hint="by_position",
    )
    last = {row["_id"]: int(row["last"]) for row in rows}
    return _short([last.get(lane, 0) for lane in range(max(last, default=-1) + 1)])


def _short(place: list[int]) -> Place:
    while place and not place[-1]:
        place.pop()
    return tuple(place)


async def count(database: JobDatabase, owner: str, most: int) -> list[Count]:
    """Count an owner's jobs, up to a limit for each state."""
    states = await aggregate(
        database.jobs,
        [
            {"$match": {"owner": owner, "deleted": False}},
            {"$sort": {"owner": 1, "state": 1}},
            {"$group": {"_id": "$state", "first": {"$first": "$state"}}},
        ],
        hint="by_state",
    )
    counted: dict[JobKind, int] = {}
    by = {name: f"${name}" for name in ("lifecycle", "outcome")}
    for state in [row["_id"] for row in states]:
        rows = await aggregate(
            database.jobs,
            [
                {"$match": {"owner": owner, "state": state, "deleted": False}},
                {"$sort": dict(_NEWEST_FIRST)},
                {"$limit": most},
                {"$group": {"_id": by, "jobs": {"$sum": 1}}},
            ],
            hint="by_state",
        )
        for row in rows:
            kind = row["_id"]["lifecycle"], state, row["_id"]["outcome"] or None
            counted[kind] = int(row["jobs"])
    return counts(counted, most)


async def refusals(database: JobDatabase, owner: str, after: int, limit: int) -> list[Refusal]:
    """Return a page of an owner's refused events."""
    rows = database.refused.find(
        {"owner": owner, "position": {"$gt": after}},
        {"_id": 0, "position": 1, "body": 1},
        sort=[("position", 1)],
        limit=limit,
        hint="by_position",
    )
    return [_at(row) for row in await rows.to_list(None)]


async def refusal(database: JobDatabase, owner: str, key: EventKey) -> Refusal | None:
    """Return one refused event."""
    which = {"_id": refusal_key(event_key(key), owner)}
    row = await database.refused.find_one(which, {"_id": 0, "position": 1, "body": 1})
    return _at(row) if row else None


def _at(row: Document) -> Refusal:
    return replace(decode_refusal(row["body"]), position=int(row["position"]))


async def outstanding(
    database: JobDatabase, until: datetime, after: OutstandingJob | None, limit: int
) -> list[OutstandingJob]:
    """Return jobs whose command is to be published by a moment."""
    latest = microseconds(until)
    query: Document = {"publish_at": {"$lte": latest}}
    if after is not None:
        at = microseconds(after.at)
        later = {"publish_at": {"$gt": at, "$lte": latest}}
        same = {"publish_at": {"$eq": at, "$lte": latest}, "_id": {"$gt": job_key(after.job.id)}}
        query = {"$or": [later, same]}
    rows = database.jobs.find(
        query,
        {"publish_at": 1, **_JOB},
        sort=[("publish_at", 1), ("_id", 1)],
        limit=limit,
        hint="outstanding",
    )
    return [
        OutstandingJob(moment(row["publish_at"]), decode_job(row["projection"]["body"]))
        for row in await rows.to_list(None)
    ]


async def stale(database: JobDatabase, now: datetime, limit: int) -> list[Job]:
    """Return jobs whose watch has run out."""
    rows = database.jobs.find(
        {"watch_at": {"$lte": microseconds(now)}},
        _JOB,
        sort=[("watch_at", 1)],
        limit=limit,
        hint="watched",
    )
    return [decode_job(row["projection"]["body"]) for row in await rows.to_list(None)]

"""
What must be told: due entries and deliveries.

A change of a delivery names what it was read as, and is tried again when it is that no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Sequence
from datetime import datetime
from typing import Final

from pymongo import UpdateMany, UpdateOne
from pymongo.errors import BulkWriteError

from jobwire.actors.stores.base import DeliveryCursor, DeliveryFilter, EventKey
from jobwire.actors.stores.mongodb.client import DUPLICATE_KEY, Document, aggregate
from jobwire.actors.stores.mongodb.documents import became, delivery_document, event_key
from jobwire.actors.stores.mongodb.job_database import JobDatabase
from jobwire.actors.stores.mongodb.reading import page_of_deliveries
from jobwire.actors.stores.rows import decode_delivery, decode_entry, job_key, microseconds, moment
from jobwire.schemas.deliveries import Delivery
from jobwire.schemas.errors import Unavailable
from jobwire.schemas.jobs import Entry

#: Most tries to change a delivery that others change meanwhile.
_MOST_TRIES: Final = 20
_BODY: Final = {"_id": 0, "body": 1}
_NEWEST_FIRST: Final = [("created", -1), ("_id", -1)]


async def due(database: JobDatabase, limit: int) -> list[Entry]:
    """Return the oldest entries whose deliveries are still to be planned."""
    # All have the same key, and equal keys stand in the order in which they were inserted.
    rows = database.entries.find({"due": True}, _BODY, limit=limit, hint="due")
    return [decode_entry(row["body"]) for row in await rows.to_list(None)]


async def plan_deliveries(
    database: JobDatabase, deliveries: Sequence[Delivery], told: Sequence[EventKey]
) -> list[Delivery]:
    """
    Write deliveries, then mark their entries as told; return those that are new.

    After a crash in between the entries are planned again, to the same deliveries.
    """
    there: set[int] = set()
    if deliveries:
        documents = [delivery_document(each) for each in deliveries]
        try:
            await database.deliveries.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            there = _duplicates(error)
    if told:
        await _tell(database, told)
    return [each for index, each in enumerate(deliveries) if index not in there]


def _duplicates(error: BulkWriteError) -> set[int]:
    details = error.details or {}
    failed = details.get("writeErrors") or []
    if details.get("writeConcernErrors") or any(e["code"] != DUPLICATE_KEY for e in failed):
        raise error
    return {each["index"] for each in failed}


async def _tell(database: JobDatabase, told: Sequence[EventKey]) -> None:
    keys = [event_key(key) for key in told]
    await database.entries.update_many({"_id": {"$in": keys}}, {"$unset": {"due": ""}})
    # Only an entry of a job that was deleted since loses its text with the telling. Asked last:
    # a later deletion of the job removes the bodies of planned entries.
    jobs = {job_key(key.job) for key in told}
    deleted = await database.jobs.find(
        {"_id": {"$in": [*jobs]}, "deleted": True}, {"projection.seq": 1}
    ).to_list(None)
    if deleted:
        await database.entries.bulk_write(
            [
                UpdateMany(
                    {
                        "_id": {"$in": keys},
                        "job": row["_id"],
                        "seq": {"$lte": row["projection"]["seq"]},
                    },
                    {"$unset": {"body": ""}},
                )
                for row in deleted
            ],
            ordered=False,
        )


async def _firsts(database: JobDatabase, busy: Container[str]) -> list[tuple[int, str]]:
    """
    Return the first try of each endpoint that waits and is not busy, the earliest first.

    It is one step in the index each, however many deliveries wait there.
    """
    rows = await aggregate(
        database.deliveries,
        [
            {"$match": {"waiting": {"$gte": ""}}},
            {"$sort": {"waiting": 1, "next_at": 1}},
            {"$group": {"_id": "$waiting", "first": {"$first": "$next_at"}}},
        ],
        hint="due",
    )
    return sorted((row["first"], row["_id"]) for row in rows if row["_id"] not in busy)


async def deliverable(
    database: JobDatabase, now: datetime, busy: Container[str], each: int, limit: int
) -> list[Delivery]:
    """Return deliveries whose next try is due, some of each endpoint."""
    latest = microseconds(now)
    found: list[Delivery] = []
    for first, endpoint in await _firsts(database, busy):
        if first > latest or len(found) >= limit:
            break
        rows = database.deliveries.find(
            {"waiting": endpoint, "next_at": {"$lte": latest}},
            _BODY,
            sort=[("next_at", 1)],
            limit=min(each, limit - len(found)),
            hint="due",
        )
        found += [decode_delivery(row["body"]) for row in await rows.to_list(None)]
    return found


async def next_delivery(
    database: JobDatabase, now: datetime, busy: Container[str]
) -> datetime | None:
    """Return the moment of the earliest try to come."""
    latest = microseconds(now)

    async def to_come(first: int, endpoint: str) -> int | None:
        if first > latest:
            return first
        row = await database.deliveries.find_one(
            {"waiting": endpoint, "next_at": {"$gt": latest}},
            {"_id": 0, "next_at": 1},
            sort=[("next_at", 1)],
            hint="due",
        )
        return row["next_at"] if row else None

    found = await asyncio.gather(*(to_come(*each) for each in await _firsts(database, busy)))
    earliest = min((at for at in found if at is not None), default=None)
    return None if earliest is None else moment(earliest)


async def save_deliveries(database: JobDatabase, deliveries: Sequence[Delivery]) -> None:
    """Write down what became of tries."""
    if not deliveries:
        return
    updates = [
        UpdateOne(
            {"_id": each.id, "owner": each.owner, "asked": {"$lte": each.asked}}, became(each)
        )
        for each in deliveries
    ]
    saved = await database.deliveries.bulk_write(updates, ordered=False)
    if saved.matched_count < len(deliveries):
        for each in deliveries:
            await _change(database, each.owner, each.id, each.onto)


async def redeliver(database: JobDatabase, owner: str, key: str, now: datetime) -> Delivery | None:
    """Make one delivery due again."""
    return await _change(database, owner, key, lambda stored: stored.asked_again(now))


async def recover(
    database: JobDatabase, owner: str, since: datetime, now: datetime, limit: int
) -> int:
    """Make deliveries due again that gave up."""
    rows = database.deliveries.find(
        {"owner": owner, "status": "gave_up", "created": {"$gte": microseconds(since)}},
        {"body": 1},
        sort=[("created", 1), ("_id", 1)],
        hint="by_status",
    )
    updates: list[UpdateOne] = []
    async for row in rows:
        delivery = decode_delivery(row["body"])
        if delivery.is_worth_another_try:
            updates.append(UpdateOne(row, became(delivery.asked_again(now))))
        if len(updates) == limit:
            break
    if not updates:
        return 0
    return (await database.deliveries.bulk_write(updates, ordered=False)).matched_count


async def _change(
    database: JobDatabase, owner: str, key: str, change: Callable[[Delivery], Delivery]
) -> Delivery | None:
    """Change a delivery as it is stored; return what it is then, None: it is not there."""
    for _ in range(_MOST_TRIES):
        row = await database.deliveries.find_one({"_id": key, "owner": owner}, {"body": 1})
        if row is None:
            return None
        stored = decode_delivery(row["body"])
        changed = change(stored)
        if changed == stored:
            return stored
        if (await database.deliveries.update_one(row, became(changed))).matched_count:
            return changed
    detail = "other processes keep changing this delivery"
    raise Unavailable(detail, code="store_unavailable", retry_after_s=1)


async def deliveries(
    database: JobDatabase,
    owner: str,
    which: DeliveryFilter,
    after: DeliveryCursor | None,
    limit: int,
) -> list[Delivery]:
    """Return an owner's deliveries, newest first."""
    query: Document = {"owner": owner}
    index = "by_owner"
    if which.subscription is not None:
        query["subscription"] = which.subscription
    if which.status is not None:
        query["status"] = which.status
        index = "by_status"
    if which.job is not None:
        query["job"] = job_key(which.job)
        index = "by_job"
    page = page_of_deliveries(query, which.since, after)
    rows = database.deliveries.find(page, _BODY, sort=_NEWEST_FIRST, limit=limit, hint=index)
    return [decode_delivery(row["body"]) for row in await rows.to_list(None)]


async def delivery(database: JobDatabase, owner: str, key: str) -> Delivery | None:
    """Return one delivery of this owner."""
    row = await database.deliveries.find_one({"_id": key, "owner": owner}, _BODY)
    return decode_delivery(row["body"]) if row else None


async def drop_deliveries(database: JobDatabase, before: datetime, limit: int) -> int:
    """Remove deliveries that ended long ago."""
    ended = {"ended": {"$lt": microseconds(before)}}
    rows = await database.deliveries.find(
        ended, {"_id": 1}, sort=[("ended", 1)], limit=limit, hint="ended"
    ).to_list(None)
    if not rows:
        return 0
    which = {"_id": {"$in": [row["_id"] for row in rows]}, **ended}
    return (await database.deliveries.delete_many(which)).deleted_count

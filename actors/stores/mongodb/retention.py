"""
The end of old jobs: entries first, then the projection, if it is still what it was.

A crash in between leaves a projection whose entries are gone; it is found again. An event that
comes in between keeps its projection, and both go the next time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from jobwire.actors.stores.mongodb.client import Document
from jobwire.actors.stores.mongodb.job_database import JobDatabase
from jobwire.actors.stores.mongodb.position_sequence import order_key
from jobwire.actors.stores.rows import job_id, microseconds
from jobwire.schemas.identifiers import shard_of

#: Candidates that are looked at together.
_PAGE: Final = 200
#: Entries that are removed at once: a call has to end in time.
_MOST_ENTRIES: Final = 5_000


async def forget(database: JobDatabase, before: datetime, limit: int) -> int:
    """Remove whole jobs that ended before a moment and that nobody waits for."""
    removed = 0
    after = 0
    seen: list[bytes] = []
    while removed < limit:
        query = {"ended": {"$gte": after, "$lt": microseconds(before)}, "_id": {"$nin": seen}}
        rows = await database.jobs.find(
            query, {"projection.seq": 1, "ended": 1}, sort=[("ended", 1)], limit=_PAGE, hint="ended"
        ).to_list(None)
        if not rows:
            return removed
        last = rows[-1]["ended"]
        seen = [row["_id"] for row in rows if row["ended"] == last] + (seen * (last == after))
        after = last
        # Anew for each page: an entry that came since the last one may be on this one.
        noted: set[tuple[object, ...]] = set()
        waiting = await _waiting(database, [row["_id"] for row in rows])
        for row in [row for row in rows if row["_id"] not in waiting][: limit - removed]:
            lane = shard_of(job_id(row["_id"]), database.shards)
            removed += await _remove(database, lane, row, noted)
    return removed


async def _waiting(database: JobDatabase, jobs: Sequence[bytes]) -> set[bytes]:
    """Return the jobs with deliveries still to be planned or sent."""
    waiting = set()
    for collection, field, index in (
        (database.entries, "due", "due_of_job"),
        (database.deliveries, "waiting", "to_come"),
    ):
        which = {"job": {"$in": [*jobs]}, field: {"$exists": True}}
        rows = collection.find(which, {"_id": 0, "job": 1}, hint=index)
        waiting |= {row["job"] for row in await rows.to_list(None)}
    return waiting


async def _remove(
    database: JobDatabase,
    lane: int,
    row: Document,
    noted: set[tuple[object, ...]],
) -> bool:
    which = {"lane": lane, "job": row["_id"]}
    newest = await database.entries.find_one(which, {"owner": 1}, hint="by_seq")
    if newest is not None:
        order = (lane, newest["owner"])
        if order not in noted:
            await _note(database, order)
            noted.add(order)
    last = row["projection"]["seq"]
    for first in range(0, last, _MOST_ENTRIES):
        seqs = {"$gt": first, "$lte": min(first + _MOST_ENTRIES, last)}
        await database.entries.delete_many({**which, "seq": seqs}, hint="by_seq")
    still = {"_id": row["_id"], "projection.seq": last, "ended": row["ended"]}
    return bool((await database.jobs.delete_one(still)).deleted_count)


async def _note(database: JobDatabase, order: tuple[object, ...]) -> None:
    """Keep up to where the numbers of an order were used: what has the last one may go."""
    last = await database.entry_positions.last(order)
    await database.lanes.update_one(
        {"_id": order_key(order)}, {"$max": {"last": last}}, upsert=True
    )

"""Documents of other kinds than jobs."""

from __future__ import annotations

from pymongo.errors import DuplicateKeyError

from jobwire.actors.stores.base import Record
from jobwire.actors.stores.mongodb.client import Document
from jobwire.actors.stores.mongodb.job_database import JobDatabase

_FIELDS = {"_id": 0, "owner": 1, "key": 1, "body": 1}


async def put(database: JobDatabase, kind: str, record: Record, *, fresh: bool = False) -> bool:
    """Write a record; with `fresh` only where none is, and say whether it was written."""
    which = {"kind": kind, "owner": record.owner, "key": record.key}
    try:
        if fresh:
            await database.records.insert_one({**which, "body": record.body})
        else:
            await database.records.update_one(which, {"$set": {"body": record.body}}, upsert=True)
    except DuplicateKeyError:
        if fresh:
            return False
        # Somebody else has made it in between.
        await database.records.update_one(which, {"$set": {"body": record.body}})
    return True


async def swap(database: JobDatabase, kind: str, record: Record, expected: bytes) -> bool:
    """Write a record if its text is still the expected one; say whether."""
    which = {"kind": kind, "owner": record.owner, "key": record.key, "body": expected}
    written = await database.records.update_one(which, {"$set": {"body": record.body}})
    return bool(written.matched_count)


async def fetch(database: JobDatabase, kind: str, owner: str | None, key: str) -> Record | None:
    """Return one record by its key, of one owner or of any."""
    which = {"kind": kind, "key": key} | ({} if owner is None else {"owner": owner})
    index = "by_key" if owner is None else "by_owner"
    row = await database.records.find_one(which, _FIELDS, hint=index)
    return Record(**row) if row else None


async def select(
    database: JobDatabase, kind: str, owner: str | None, after: str, limit: int
) -> list[Record]:
    """Return a page of records, of an owner or of all."""
    which: Document = {"kind": kind, "key": {"$gt": after}}
    if owner is not None:
        which["owner"] = owner
    index = "by_key" if owner is None else "by_owner"
    rows = database.records.find(which, _FIELDS, sort=[("key", 1)], limit=limit, hint=index)
    return [Record(**row) for row in await rows.to_list(None)]


async def drop(database: JobDatabase, kind: str, owner: str, key: str) -> bool:
    """Remove a record; say whether it was there."""
    which = {"kind": kind, "owner": owner, "key": key}
    return bool((await database.records.delete_one(which)).deleted_count)

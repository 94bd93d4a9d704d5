"""
Who holds which role. Only the primary's clock counts; no process compares its own with another's.

`$literal` keeps a name that begins with `$` from being read as a field.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from pymongo import ReturnDocument

from jobwire.actors.stores.mongodb.job_database import JobDatabase

_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_IS_HELD: Final = {"$expr": {"$gt": ["$until", "$$NOW"]}}
#: Behind every text that begins with the same characters.
_LAST: Final = "\U0010ffff"


async def claim(database: JobDatabase, role: str, holder: str, ttl_s: float) -> int | None:
    """Take a role that nobody holds, or keep it; return its fencing number."""
    me = {"$literal": holder}
    is_mine = {"$eq": ["$holder", me]}
    is_over = {"$lte": [{"$ifNull": ["$until", _LONG_AGO]}, "$$NOW"]}
    lease = {
        "fence": {"$add": [{"$ifNull": ["$fence", 0]}, {"$cond": [is_mine, 0, 1]}]},
        "holder": me,
        "until": {"$add": ["$$NOW", round(ttl_s * 1_000)]},
    }
    # The decision is part of the write, so two claims cannot both be granted.
    may = {"$or": [is_mine, is_over]}
    granted = {name: {"$cond": [may, value, f"${name}"]} for name, value in lease.items()}
    held = await database.leases.find_one_and_update(
        {"_id": role}, [{"$set": granted}], upsert=True, return_document=ReturnDocument.AFTER
    )
    return int(held["fence"]) if held and held["holder"] == holder else None


async def release(database: JobDatabase, role: str, holder: str) -> None:
    """Release a role."""
    # The number stays, so that the next holder's is larger.
    freed = {"$set": {"holder": "", "until": _LONG_AGO}}
    await database.leases.update_one({"_id": role, "holder": holder}, freed)


async def holders(database: JobDatabase, prefix: str) -> dict[str, str]:
    """Return the roles beginning with `prefix` that are held now."""
    rows = database.leases.find(
        {"_id": {"$gte": prefix, "$lt": prefix + _LAST}, **_IS_HELD}, sort=[("_id", 1)]
    )
    return {row["_id"]: row["holder"] for row in await rows.to_list(None)}

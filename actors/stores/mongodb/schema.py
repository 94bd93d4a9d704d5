"""
Collections, their indexes, and the version of both.

No index names a field that every event rewrites. Fields that few documents have are left out of
the documents that lack them, and their indexes are partial.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import DuplicateKeyError, OperationFailure

from jobwire.actors.stores.mongodb.client import Database, MongoConnection
from jobwire.actors.stores.mongodb.job_database import JobDatabase
from jobwire.schemas.errors import Misconfigured

VERSION: Final = 1
#: The mark of a database that is, or was, filled from another store.
MIGRATION: Final = "migration"
#: The wire version of MongoDB 6.0, the oldest that is tested.
_OLDEST_WIRE: Final = 17

_LIVE: Final = {"deleted": False}


def _there(*names: str) -> dict[str, Any]:
    return {name: {"$exists": True} for name in names}


def _index(name: str, *fields: str, unique: bool = False, where: object = None) -> IndexModel:
    """Describe an index; a field that begins with `-` descends."""
    keys = [
        (field.removeprefix("-"), DESCENDING if field.startswith("-") else ASCENDING)
        for field in fields
    ]
    options: dict[str, Any] = {"unique": True} if unique else {}
    if where is not None:
        options["partialFilterExpression"] = where
    return IndexModel(keys, name=name, **options)


_NEWEST_FIRST: Final = ("-created", "-_id")

INDEXES: Final[dict[str, list[IndexModel]]] = {
    # `_id` is job and event id: an event counts once. (job, seq) keeps a stale view from writing
    # over a newer one; (owner, position) keeps a late writer from going back in a lane's order.
    # A sharded collection keeps only unique indexes that begin with its shard key: that is the
    # lane, which follows from the job, so all keys of one job, `_id` too, lie on one shard.
    "entries": [
        _index("by_seq", "lane", "job", "seq", unique=True),
        _index("by_position", "lane", "owner", "position", unique=True),
        _index("due", "due", where=_there("due")),
        _index("due_of_job", "job", where=_there("due")),
    ],
    "jobs": [
        _index("by_owner", "owner", *_NEWEST_FIRST, where=_LIVE),
        # Its last three fields let jobs be counted without reading them.
        _index(
            "by_state",
            *("owner", "state", *_NEWEST_FIRST, "lifecycle", "outcome", "deleted"),
            where=_LIVE,
        ),
        _index("by_outcome", "owner", "outcome", *_NEWEST_FIRST, where=_LIVE),
        _index("by_term", "owner", "terms", *_NEWEST_FIRST, where=_LIVE | _there("terms")),
        _index(
            "by_term_and_state",
            *("owner", "terms", "state", *_NEWEST_FIRST),
            where=_LIVE | _there("terms"),
        ),
        _index("by_parent", "parent", *_NEWEST_FIRST, where=_there("parent")),
        _index("outstanding", "publish_at", "_id", where=_there("publish_at")),
        _index("watched", "watch_at", where=_there("watch_at")),
        _index("ended", "ended", where=_there("ended")),
    ],
    "refused": [
        _index("by_event", "event"),
        _index("by_position", "owner", "position", unique=True),
    ],
    "records": [
        _index("by_owner", "kind", "owner", "key", unique=True),
        _index("by_key", "kind", "key"),
    ],
    "deliveries": [
        _index("due", "waiting", "next_at", where=_there("waiting")),
        _index("by_owner", "owner", *_NEWEST_FIRST),
        _index("by_job", "job", *_NEWEST_FIRST),
        _index("by_status", "owner", "status", *_NEWEST_FIRST),
        _index("ended", "ended", where=_there("ended")),
        _index("to_come", "job", where=_there("waiting")),
    ],
    "leases": [],
    "lanes": [],
    "meta": [],
}


async def prepare(client: MongoConnection) -> None:
    """
    Make what is missing; return when the database is ready for traffic.

    Raises:
        Misconfigured: it is no replica set, too old, of a newer release, or an index fails.

    """
    await _check_server(client)
    database = client.database
    await _check_version(database)
    for name, indexes in INDEXES.items():
        if indexes:
            await _make(database, name, indexes)
    # It may be there already, or another process is as quick.
    with suppress(DuplicateKeyError):
        await database.meta.insert_one({"_id": "schema", "version": VERSION})


async def check_complete(database: Database) -> None:
    """
    Make sure that nothing of another store is still to come.

    Raises:
        Misconfigured: it is.

    """
    mark = await database.meta.find_one({"_id": MIGRATION})
    if mark is not None and not mark["is_complete"]:
        detail = (
            f"the database {database.name} is being filled by `jobwire migrate-store`, which has "
            "not finished: run it again, and start this process afterwards"
        )
        raise Misconfigured(detail)


async def check(database: JobDatabase) -> None:
    """Write one document."""
    await database.meta.update_one({"_id": "probe"}, {"$inc": {"checks": 1}}, upsert=True)


async def _check_server(client: MongoConnection) -> None:
    hello = await client.command("hello")
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        detail = (
            "the database is a single server, on which writes could be lost: start mongod with "
            "--replSet rs0, run `rs.initiate()` once in mongosh, and add ?replicaSet=rs0 to the URL"
        )
        raise Misconfigured(detail)
    if hello["maxWireVersion"] < _OLDEST_WIRE:
        raise Misconfigured("the database is older than MongoDB 6.0: use a newer one")


async def _check_version(database: Database) -> None:
    found = await database.meta.find_one({"_id": "schema"})
    if found is not None and found["version"] > VERSION:
        detail = (
            f"the database {database.name} has schema version {found['version']}, this release "
            f"reads up to {VERSION}: start the newer release"
        )
        raise Misconfigured(detail)


async def _make(database: Database, name: str, indexes: list[IndexModel]) -> None:
    try:
        await database[name].create_indexes(indexes)
    except OperationFailure as error:
        detail = (
            f"the indexes of {database.name}.{name} cannot be made ({error.code}: "
            f"{(error.details or {}).get('errmsg', error)}): drop the index that it names, or use "
            "an empty database"
        )
        raise Misconfigured(detail) from error

"""
Taking over all that another store holds, so that it can be interrupted anywhere and gone on with.

Every row has one document, which is the same each time: a row that is there already is left out.
A mark in the database says from which store it is being filled, and how far; until everything is
there and has been compared no service opens it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Final

from jobwire.actors.runtime.failpoints import failpoint
from jobwire.actors.runtime.settings import Settings
from jobwire.actors.stores.mongodb.client import (
    Document,
    MongoConnection,
    insert,
    plain,
    translated,
)
from jobwire.actors.stores.mongodb.documents import (
    delivery_document,
    job_document,
    refusal_document,
)
from jobwire.actors.stores.mongodb.schema import INDEXES, MIGRATION, prepare
from jobwire.actors.stores.plugins import Source
from jobwire.actors.stores.rows import (
    TABLES,
    Row,
    Table,
    decode_delivery,
    decode_job,
    decode_refusal,
    job_id,
)
from jobwire.schemas.errors import Conflict
from jobwire.schemas.identifiers import shard_of

#: Documents of one command, and of one answer.
_BATCH: Final = 1_000
_JOB_BYTES: Final = 16
#: Longest time of one call: nobody waits for this database but the copy.
_TIMEOUT_MS: Final = 60_000
#: The number of shards, as the service keeps it.
_SHARDS: Final = {"kind": "service", "owner": "", "key": "shards"}


class MongoImporter:
    """Fills one database from one store."""

    def __init__(self, url: str, settings: Settings) -> None:
        """
        Write to the database that the URL names; its jobs are spread over the settings' shards.

        Raises:
            Misconfigured: the URL is not one, or names no database.

        """
        self._client = MongoConnection(url, settings.database.driver, timeout_ms=_TIMEOUT_MS)
        self._database = self._client.database
        self._shards = settings.shards
        self._done: Counter[str] = Counter()
        self._last: Counter[tuple[object, ...]] = Counter()

    @property
    def name(self) -> str:
        """What people call the database."""
        return self._database.name

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def begin(self, source: Source) -> None:
        """
        Make the indexes and put the mark in, or find out how far an earlier run came.

        Raises:
            Conflict: the database holds something else, or the source has changed since.

        """
        with translated():
            mark = await self._database.meta.find_one({"_id": MIGRATION})
            if mark is None:
                await self._refuse_what_is_there()
                await prepare(self._client)
                mark = {"source": source.name, "last": source.last_position, "done": {}}
                mark |= {"shards": self._shards, "is_complete": False}
                await self._database.meta.insert_one({"_id": MIGRATION, **mark})
            self._check(mark, source)
            self._done = Counter(mark["done"])

    async def take(self, table: Table, rows: Sequence[Row], seen: int) -> list[Row]:
        """
        Take rows over; those that are there already are left out.

        Args:
            table: what they are.
            rows: the next ones in the order of the source, from its beginning on.
            seen: how many came before them.

        Returns:
            The rows, each with its lane and position, where it has such.

        """
        documents = [self._document(table, row) for row in rows]
        upto = seen + len(rows)
        if upto > self._done[table]:
            with translated():
                await insert(self._database[table], documents, ordered=False)
                failpoint("migrate.after_rows")
                self._done[table] = upto
                await self._database.meta.update_one(
                    {"_id": MIGRATION}, {"$set": {f"done.{table}": upto}}
                )
        return [(*row, *_place(document)) for row, document in zip(rows, documents, strict=True)]

    async def rows(self, table: Table) -> AsyncIterator[list[Row]]:
        """Read back what is there, as `take` gave it, in no certain order."""
        where = {"key": {"$ne": "shards"}} if table == "records" else {}
        with translated():
            cursor = self._database[table].find(where, batch_size=_BATCH)
            while portion := await cursor.to_list(_BATCH):
                yield [(*_row(table, document), *_place(document)) for document in portion]

    async def finish(self) -> None:
        """Say that all is there: from now on services may open the database."""
        with translated():
            shards = {"$set": {"body": str(self._shards).encode()}}
            await self._database.records.update_one(_SHARDS, shards, upsert=True)
            await self._database.meta.update_one(
                {"_id": MIGRATION}, {"$set": {"is_complete": True}}
            )

    async def _refuse_what_is_there(self) -> None:
        for name in await self._database.list_collection_names():
            is_ours = name in INDEXES and name not in TABLES
            if not is_ours and await self._database[name].find_one({}, {"_id": 1}) is not None:
                detail = (
                    f"the database {self._database.name} contains {name} already: name another "
                    "database, or drop this one if it is not needed"
                )
                raise Conflict(detail, code="not_empty")

    def _check(self, mark: Document, source: Source) -> None:
        name = self._database.name
        if mark["is_complete"]:
            detail = f"the database {name} was filled before and is in use; nothing was changed"
        elif mark["source"] != source.name:
            detail = (
                f"the database {name} is being filled from another data folder: "
                "name another database"
            )
        elif mark["last"] != source.last_position:
            detail = (
                f"a service has run on the data folder since the copy into {name} was started: "
                "drop that database and start again"
            )
        elif mark["shards"] != self._shards:
            detail = (
                f"the copy into {name} was started with shards = {mark['shards']}, now it is "
                f"{self._shards}: continue with {mark['shards']}, or drop that database"
            )
        else:
            return
        raise Conflict(detail, code="not_empty")

    def _document(self, table: Table, row: Row) -> Document:
        match table:
            case "entries":
                return self._entry(row)
            case "jobs":
                return _job(row)
            case "refused":
                owner, body = row
                self._last[("refused", owner)] += 1
                position = self._last[("refused", owner)]
                return refusal_document(decode_refusal(body)) | {
                    "position": position,
                    "body": body,
                }
            case "records":
                kind, owner, key, body = row
                return {"kind": kind, "owner": owner, "key": key, "body": body}
            case "deliveries":
                return delivery_document(decode_delivery(row[1])) | {"body": row[1]}

    def _entry(self, row: Row) -> Document:
        job, seq, identifier, owner, digest, body, is_due = row
        lane = shard_of(job_id(job), self._shards)
        self._last[(owner, lane)] += 1
        document: Document = {
            "_id": job + identifier.encode(),
            "job": job,
            "seq": seq,
            "owner": owner,
            "lane": lane,
            "position": self._last[(owner, lane)],
            "digest": digest,
        }
        return (
            document | ({} if body is None else {"body": body}) | ({"due": True} if is_due else {})
        )


def _job(row: Row) -> Document:
    """Return a job; when somebody looks at it may have been put off since it was written."""
    key, publish_at, watch_at, ended, body = row
    job = decode_job(body)
    document = {"_id": key, **job_document(job)}
    moments = {"publish_at": publish_at, "watch_at": watch_at, "ended": ended}
    for name in (*moments, "unstripped"):
        document.pop(name, None)
    document |= {name: at for name, at in moments.items() if at is not None}
    return document | {"projection": {"seq": job.seq, "body": body}}


def _place(document: Document) -> tuple[object, object]:
    return plain(document.get("lane")), plain(document.get("position"))


def _row(table: Table, document: Document) -> Row:
    """Return the row that a document was made of."""
    match table:
        case "entries":
            names = ("job", "seq", "owner", "digest")
            job, seq, owner, digest = (document[name] for name in names)
            identifier = document["_id"][_JOB_BYTES:].decode()
            return (
                job,
                plain(seq),
                identifier,
                owner,
                digest,
                document.get("body"),
                int("due" in document),
            )
        case "jobs":
            moments = (plain(document.get(name)) for name in ("publish_at", "watch_at", "ended"))
            return (document["_id"], *moments, document["projection"]["body"])
        case "refused":
            return (document["owner"], document["body"])
        case "records":
            return tuple(document[name] for name in ("kind", "owner", "key", "body"))
        case "deliveries":
            return (document["_id"], document["body"])

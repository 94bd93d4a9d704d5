"""
The one place that knows the driver: motor, or PyMongo's own asynchronous client.

Everything else uses the calls that both have in common, typed as PyMongo's. What differs is hidden
here: `aggregate` and `close` are awaited with the one and not with the other, and what a
cancellation does. With either driver a call that was cancelled may go on, and write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal, TypeVar, cast

import structlog
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient, ReadPreference, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    InvalidURI,
    OperationFailure,
    PyMongoError,
)
from pymongo.read_concern import ReadConcern

from jobwire.schemas.errors import Misconfigured, Unavailable

_log = structlog.get_logger()

Result = TypeVar("Result")
Driver = Literal["motor", "pymongo"]
Document = dict[str, Any]  # what BSON holds: bytes, text, numbers, and documents of them
Collection = AsyncCollection[Document]
Database = AsyncDatabase[Document]

#: Longest time of any one call; a server that stands still is found out by nothing else.
TIMEOUT_MS: Final = 3_000
#: How long a primary is looked for; the rest of the time is for the call itself.
_SELECTION_MS: Final = 2_500
#: Seconds after which a client may retry: an election takes about as long.
_RETRY_AFTER_S: Final = 2
#: The server's code of a write whose key is taken.
DUPLICATE_KEY: Final = 11_000
#: A write is safe when a majority has it on disk.
_SAFE: Final = WriteConcern("majority", j=True)
#: Bytes of one command; a server takes 48 MB.
_MOST_BYTES: Final = 16_000_000
#: More bytes than a document or an update has besides bodies and lists of texts.
_SHORT_FIELDS_BYTES: Final = 8_192
#: The most that a character takes, and an item of a list besides its text.
_CHARACTER_BYTES: Final = 4
_ITEM_BYTES: Final = 16
#: Characters of a driver's message that are logged.
_MOST_MESSAGE: Final = 200
#: The server's codes of what it will never take, however often it is asked. What the driver itself
#: cannot encode is no error of the server, and comes as the driver says it.
_PERMANENT: Final = {
    2: "BadValue",
    9: "FailedToParse",
    14: "TypeMismatch",
    22: "InvalidBSON",
    10334: "BSONObjectTooLarge",
    17419: "the document is too large after an update",
    17420: "the document is too large after an update",
}


class MongoConnection:
    """A connection to the database that a URL names; writes wait for a majority's disks."""

    def __init__(self, url: str, driver: Driver, timeout_ms: int | None = TIMEOUT_MS) -> None:
        """
        Prepare a client; it connects at its first call, and belongs to the loop of that.

        Raises:
            Misconfigured: the URL is not one, or names no database.

        """
        kind: Any = AsyncIOMotorClient if driver == "motor" else AsyncMongoClient
        options = {
            "serverSelectionTimeoutMS": _SELECTION_MS,
            "timeoutMS": timeout_ms,
            "appname": "jobwire",
            "retryWrites": True,
        }
        self._driver = driver
        self._calls: set[asyncio.Task[Any]] = set()
        try:
            self._client: Any = kind(url, **options)
            name = self._client.get_default_database().name
        except (InvalidURI, ConfigurationError, ValueError) as error:
            # The driver's own words may repeat the password.
            why = "" if "@" in url else f" ({error})"
            detail = (
                f"the database's URL cannot be used{why}: it has the form "
                "mongodb://HOST:PORT/DATABASE?replicaSet=NAME and must name a database"
            )
            raise Misconfigured(detail) from None
        self.database = cast(
            "Database",
            self._client.get_database(
                name,
                write_concern=_SAFE,
                read_concern=ReadConcern("majority"),
                read_preference=ReadPreference.PRIMARY,
            ),
        )

    async def finish(self, call: Coroutine[Any, Any, Result]) -> Result:
        """
        Await a call to the database, which goes on when its caller is cancelled.

        With motor it does so in a thread. PyMongo's own client does not bear two cancellations in
        a row where it waits for a server (on Python 3.11): its lock is never free again, and every
        later call hangs. So it never sees one; its calls end by their time-outs.
        """
        if self._driver == "motor":
            return await call
        task = asyncio.create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._calls.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, for nobody may be waiting any more

    async def command(self, name: str) -> Document:
        """Run a command of the whole server."""
        return cast("Document", await self._client.admin.command(name))

    async def close(self) -> None:
        """Let calls end that go on without anybody, then close the connections."""
        await asyncio.gather(*self._calls, return_exceptions=True)
        closing = self._client.close()
        if closing is not None:
            await closing


async def aggregate(
    collection: Collection, pipeline: Sequence[Mapping[str, Any]], **options: object
) -> list[Document]:
    """Return all that a pipeline makes."""
    cursor: Any = collection.aggregate(pipeline, **options)  # type: ignore[arg-type]
    if not hasattr(cursor, "to_list"):
        cursor = await cursor
    return cast("list[Document]", await cursor.to_list(None))


async def insert(
    collection: Collection, documents: Sequence[Document], *, ordered: bool
) -> list[Document]:
    """
    Insert documents, as one command where that is not too large; return the errors of taken keys.

    Ordered, there is at most one, and nothing after it is inserted. The driver's own `insert_many`
    lets the server remember each write, so that it can be sent again; here a write that was cut
    off is found out by its keys.

    Raises:
        OperationFailure: something else went wrong; what was inserted before may be there.

    """
    taken: list[Document] = []
    for first, portion in _portions(documents):
        command = {"insert": collection.name, "documents": portion, "ordered": ordered}
        failed = await _write(collection, command)
        taken += ({**each, "index": first + each["index"]} for each in failed)
        if taken and ordered:
            break
    return taken


async def update(collection: Collection, updates: Sequence[Document]) -> None:
    """
    Run update statements, `q` what to find and `u` what to do, in any order.

    They are one command where that is not too large.

    Raises:
        OperationFailure: one of them failed; others may have been done.

    """
    for _, portion in _portions(updates):
        command = {"update": collection.name, "updates": portion, "ordered": False}
        if failed := await _write(collection, command):
            raise OperationFailure(failed[0]["errmsg"], failed[0]["code"], failed[0])


async def _write(collection: Collection, command: Document) -> list[Document]:
    """Run one writing command; return the errors of taken keys."""
    whole = {**command, "writeConcern": _SAFE.document}
    return _failed(await collection.database.command(whole))


def _portions(parts: Sequence[Document]) -> Iterator[tuple[int, Sequence[Document]]]:
    """Cut documents or updates into commands that the server takes, each with its place in all."""
    first = total = 0
    for index, part in enumerate(parts):
        size = _long_fields_bytes(part) + _SHORT_FIELDS_BYTES
        total += size
        if total > _MOST_BYTES and index > first:
            yield first, parts[first:index]
            first, total = index, size
    if parts:
        yield first, parts[first:]


def _long_fields_bytes(part: Document) -> int:
    """Add up what may be long; to encode everything twice would cost more than the decision."""
    size = 0
    for value in part.values():
        if type(value) is bytes:
            size += len(value)
        elif type(value) is dict:
            size += _long_fields_bytes(value)
        elif type(value) is list:
            size += sum(_CHARACTER_BYTES * len(each) + _ITEM_BYTES for each in value)
    return size


def _failed(answer: Document) -> list[Document]:
    """Return the errors of taken keys in a command's answer; raise any other."""
    failed: list[Document] = answer.get("writeErrors", [])
    for each in failed:
        if each["code"] != DUPLICATE_KEY:
            raise OperationFailure(each["errmsg"], each["code"], each)
    if unsafe := answer.get("writeConcernError"):
        raise OperationFailure(unsafe["errmsg"], unsafe["code"], unsafe)
    return failed


def plain(number: Any) -> int | None:
    """Return a number as Python's own: the driver's 64-bit kind cannot be encoded; None stays."""
    return None if number is None else int(number)


@contextmanager
def translated() -> Iterator[None]:
    """
    Turn the driver's failures into the one error that means: try again.

    What no other try can mend stays what it is. The driver's words, which may name hosts, go into
    the log only.
    """
    try:
        yield
    except PyMongoError as error:
        if _codes(error) & _PERMANENT.keys():
            raise
        _log.warning("database_failed", error=_said(error))
        what = "does not answer" if is_silence(error) else "cannot do this now"
        detail = f"the database {what}; it is not known whether the write happened"
        raise Unavailable(detail, code="store_unavailable", retry_after_s=_RETRY_AFTER_S) from error


def is_silence(error: BaseException | None) -> bool:
    """Return whether the server was not reached, or did not answer in time."""
    return isinstance(error, ConnectionFailure) or (
        isinstance(error, PyMongoError) and bool(error.timeout)
    )


def _codes(error: PyMongoError) -> set[int | None]:
    """Return the server's codes of what went wrong."""
    if isinstance(error, BulkWriteError):
        return {each.get("code") for each in (error.details or {}).get("writeErrors", ())}
    return {error.code} if isinstance(error, OperationFailure) else set()


def _said(error: PyMongoError) -> str:
    """Return the heart of a driver's message in one line."""
    text = str(error)
    if isinstance(error, BulkWriteError):
        details = error.details or {}
        errors = [*details.get("writeErrors", ()), *details.get("writeConcernErrors", ())]
        text = "; ".join(str(each.get("errmsg")) for each in errors[:1]) or text
    elif isinstance(error, OperationFailure) and error.details:
        text = str(error.details.get("errmsg", text))
    # Of a server that is not found the driver lists all that it tried.
    text = " ".join(text.split(", Timeout:")[0].split())
    return f"{type(error).__name__}: {text[:_MOST_MESSAGE]}"

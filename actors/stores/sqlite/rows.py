"""Rows in and out, and statements that write many rows in one call."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec

from schemas.identifiers import JobId
from schemas.jobs import Entry, Job, Refusal

#: Rows of the largest statement; larger batches use several.
_MOST_ROWS: Final = 256

Row = TypeVar("Row")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_WORD = re.compile(r"\w+")
#: Words of one job's name and tags that it can be found by.
_MOST_WORDS = 64

encode = msgspec.msgpack.Encoder().encode
decode_entry = msgspec.msgpack.Decoder(Entry).decode
decode_job = msgspec.msgpack.Decoder(Job).decode
decode_refusal = msgspec.msgpack.Decoder(Refusal).decode


def job_key(job: JobId) -> bytes:
    """Give the 16 bytes that stand for a job id in every table."""
    return bytes.fromhex(job.replace("-", ""))


def job_id(key: bytes) -> JobId:
    """Give the job id back."""
    return JobId(str(UUID(bytes=key)))


def microseconds(moment: datetime) -> int:
    """Give a moment as whole microseconds since 1970: what time columns hold."""
    return (moment - _EPOCH) // _MICROSECOND


def words(*texts: str | None) -> list[str]:
    """Give the words of some texts as they are looked up: lower case, letters, digits and `_`."""
    found = {word.lower(): None for text in texts if text for word in _WORD.findall(text)}
    return list(found)[:_MOST_WORDS]


def terms(job: Job) -> list[str]:
    """Give what a job can be found by."""
    return [f"#{tag}" for tag in job.tags] + [f"~{word}" for word in words(job.name, *job.tags)]


def chunks(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Cut rows into powers of two, largest first, so that few statements serve every batch size."""
    start, size = 0, _MOST_ROWS
    while start < len(rows):
        while size > len(rows) - start:
            size //= 2
        yield rows[start : start + size]
        start += size


def write_rows(
    connection: sqlite3.Connection, head: str, tail: str, rows: Sequence[Sequence[Any]]
) -> None:
    """
    Run `head VALUES (...), (...) tail` over all rows, in order.

    One call for many rows matters twice: the interpreter's lock is free while SQLite works, and it
    is taken back once for the call, not once for each row.
    """
    for chunk in chunks(rows):
        _run(connection, head, tail, chunk)


def read_matching(
    connection: sqlite3.Connection, columns: str, table: str, keys: Sequence[tuple[bytes, str]]
) -> list[tuple[Any, ...]]:
    """Read the rows of a table with a (job, id) among the keys."""
    tail = f") SELECT {columns} FROM wanted CROSS JOIN {table} USING (job, id)"  # noqa: S608
    found: list[tuple[Any, ...]] = []
    for chunk in chunks(keys):
        found += _run(connection, "WITH wanted (job, id) AS (", tail, chunk)
    return found


def read_jobs(connection: sqlite3.Connection, keys: Sequence[bytes]) -> list[Job]:
    """Read the projections of many jobs."""
    tail = ") SELECT body FROM wanted CROSS JOIN jobs USING (id)"
    found: list[Job] = []
    for chunk in chunks([(key,) for key in keys]):
        found += [
            decode_job(body) for (body,) in _run(connection, "WITH wanted (id) AS (", tail, chunk)
        ]
    return found


def _run(
    connection: sqlite3.Connection, head: str, tail: str, rows: Sequence[Sequence[Any]]
) -> sqlite3.Cursor:
    values = [value for row in rows for value in row]
    return connection.execute(_statement(head, tail, len(rows[0]), len(rows)), values)


@lru_cache(maxsize=128)
def _statement(head: str, tail: str, columns: int, rows: int) -> str:
    row = "(" + ",".join("?" * columns) + ")"
    return f"{head} VALUES {','.join([row] * rows)} {tail}"

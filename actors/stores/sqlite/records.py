"""Documents of other kinds than jobs, in SQL."""

from __future__ import annotations

import sqlite3
from typing import Final

from jobwire.actors.stores.base import Record

#: What must fit for the store to count as able to write: an event with the largest data.
_PROBE_BYTES: Final = 65_536


def fetch(connection: sqlite3.Connection, kind: str, owner: str | None, key: str) -> Record | None:
    """Return one record by its key, of one owner or of any."""
    if owner is None:
        row = connection.execute(
            "SELECT owner, key, body FROM records WHERE kind = ? AND key = ?", (kind, key)
        ).fetchone()
    else:
        row = connection.execute(
            "SELECT owner, key, body FROM records WHERE kind = ? AND owner = ? AND key = ?",
            (kind, owner, key),
        ).fetchone()
    return Record(*row) if row else None


def select(
    connection: sqlite3.Connection, kind: str, owner: str | None, after: str, limit: int
) -> list[Record]:
    """Return a page of records, of an owner or of all."""
    if owner is None:
        sql = "SELECT owner, key, body FROM records WHERE kind = ? AND key > ? ORDER BY key LIMIT ?"
        rows = connection.execute(sql, (kind, after, limit))
    else:
        sql = (
            "SELECT owner, key, body FROM records WHERE kind = "
            "? AND owner = ? AND key > ? ORDER BY key LIMIT ?"
        )
        rows = connection.execute(sql, (kind, owner, after, limit))
    return [Record(*row) for row in rows]


def put(connection: sqlite3.Connection, kind: str, record: Record, *, fresh: bool = False) -> bool:
    """Write a record; with `fresh` only where none is, and say whether it was written."""
    verb = "INSERT OR IGNORE" if fresh else "INSERT OR REPLACE"
    values = (kind, record.owner, record.key, record.body)
    return bool(connection.execute(f"{verb} INTO records VALUES (?, ?, ?, ?)", values).rowcount)


def swap(connection: sqlite3.Connection, kind: str, record: Record, expected: bytes) -> bool:
    """Write a record if its text is still the expected one; say whether."""
    values = (record.body, kind, record.owner, record.key, expected)
    sql = "UPDATE records SET body = ? WHERE kind = ? AND owner = ? AND key = ? AND body = ?"
    return bool(connection.execute(sql, values).rowcount)


def drop(connection: sqlite3.Connection, kind: str, owner: str, key: str) -> bool:
    """Remove a record; say whether it was there."""
    values = (kind, owner, key)
    return bool(
        connection.execute(
            "DELETE FROM records WHERE kind = ? AND owner = ? AND key = ?", values
        ).rowcount
    )


def check(connection: sqlite3.Connection) -> None:
    """Write one row of the largest size, then make it small."""
    # Large, then small: a full database still has room for a row of a few bytes, not for events.
    for size in (_PROBE_BYTES, 8):
        connection.execute(
            "INSERT OR REPLACE INTO records VALUES ('service', '', 'probe', randomblob(?))", (size,)
        )

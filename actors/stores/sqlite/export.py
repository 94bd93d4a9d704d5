"""Every row of a stopped store, in an order in which it can be gone through again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from jobwire.actors.stores.rows import Row, Table
from jobwire.actors.stores.sqlite.schema import upgrade
from jobwire.actors.stores.sqlite.threads import connect, translated

#: What belongs to this file and not to its content: the probe of its health, and the number of
#: queues that the present installation has.
_OWN: Final = "kind = 'service' AND owner = '' AND key IN ('probe', 'shards')"

_QUERIES: Final[dict[Table, str]] = {
    "entries": "SELECT job, seq, id, owner, digest, body, due FROM entries ORDER BY position",
    "jobs": "SELECT id, publish_at, watch_at, ended, body FROM jobs ORDER BY id",
    "refused": "SELECT owner, body FROM refused ORDER BY position",
    "records": (  # fixed fragments
        f"SELECT kind, owner, key, body FROM records WHERE NOT ({_OWN}) ORDER BY kind, owner, key"  # noqa: S608
    ),
    "deliveries": "SELECT id, body FROM deliveries ORDER BY id",
}


class SqliteExporter:
    """Reads a database that no service uses; it is brought up to date first."""

    def __init__(self, path: Path) -> None:
        """
        Open the file.

        Raises:
            Misconfigured: it was written by a newer release.
            Unavailable: it cannot be read.

        """
        with translated():
            self._connection = connect(path)
            upgrade(self._connection)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def count(self, table: Table) -> int:
        """Count the rows that `rows` gives."""
        return int(self._one(f"SELECT count(*) FROM ({_QUERIES[table]})"))  # noqa: S608 - fixed

    def last_position(self) -> int:
        """Return the position of the newest entry: it grows with each commit."""
        return int(self._one("SELECT coalesce(max(position), 0) FROM entries"))

    def rows(self, table: Table) -> Iterator[Row]:
        """Yield all rows, always in the same order."""
        with translated(), closing(self._connection.execute(_QUERIES[table])) as cursor:
            yield from cursor

    def _one(self, query: str) -> Any:
        with translated():
            found: sqlite3.Cursor = self._connection.execute(query)
            return found.fetchone()[0]

"""SQLite calls block, so they run on threads of their own: one that writes, a few that read."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from actors.stores.sqlite.schema import PRAGMAS
from schemas.errors import Unavailable

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class ConnectionThreads:
    """Threads that each hold one connection and run one call at a time on it."""

    def __init__(self, path: Path, count: int, *, cache_kib: int, max_pages: int = 0) -> None:
        """Prepare `count` threads; a connection is opened at a thread's first call."""
        self._path = path
        self._cache_kib = cache_kib
        self._max_pages = max_pages
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="sqlite")

    async def run(
        self,
        call: Callable[Concatenate[sqlite3.Connection, Arguments], Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """
        Run `call(connection, ...)` on a thread.

        Raises:
            Unavailable: the database is full, locked for too long, or cannot be read.

        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: self._call(call, *args, **kwargs))

    def _call(
        self,
        call: Callable[Concatenate[sqlite3.Connection, Arguments], Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        with translated():
            return call(self._connection(), *args, **kwargs)

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = connect(self._path)
            connection.execute(f"PRAGMA cache_size = -{self._cache_kib}")
            if self._max_pages:
                connection.execute(f"PRAGMA max_page_count = {self._max_pages}")
            self._local.connection = connection
            self._opened.append(connection)
        return connection

    def close(self) -> None:
        """Let running calls end, then close the connections."""
        self._pool.shutdown(wait=True)
        for connection in self._opened:
            connection.close()


def connect(path: Path) -> sqlite3.Connection:
    """
    Open the database with the durability that the promises rest on.

    Transactions are explicit.
    """
    connection = sqlite3.connect(
        path, isolation_level=None, cached_statements=512, check_same_thread=False
    )
    for pragma in PRAGMAS:
        connection.execute(pragma)
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit all or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk may have ended the transaction already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def translated() -> Iterator[None]:
    """Turn SQLite's operational failures into the one error that means: try again."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.DatabaseError as error:
        detail = f"the database cannot do this now ({error}); nothing was stored"
        raise Unavailable(detail, code="store_unavailable", retry_after_s=2) from error

"""
Where SQLite runs: writes on the loop, their commit too while the disk is quick; reads on threads.

A statement on a page in memory takes microseconds, less than handing it to a thread and back. A
commit waits for the disk: on a good one a fraction of a millisecond, which is less than what it
costs the loop to lose and win back the interpreter's lock. On a slow one it goes to a thread, so
that requests are read meanwhile. Reads of one row run on the loop for the same reason; those that
may touch many pages have threads.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Concatenate, ParamSpec, TypeVar

from jobwire.actors.stores.sqlite.schema import PRAGMAS
from jobwire.schemas.errors import Unavailable

#: Commits that take longer than this, on the average, leave the loop.
_QUICK_S = 0.004
#: How much of that average the newest commit is.
_NEWEST_WEIGHS = 0.1

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class ReaderThreads:
    """Threads that each hold one connection and run one reading call at a time on it."""

    def __init__(self, path: Path, count: int, *, cache_kib: int) -> None:
        """Prepare `count` threads; a connection is opened at a thread's first call."""
        self._path = path
        self._cache_kib = cache_kib
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="sqlite.read")

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
            connection = connect(self._path, self._cache_kib)
            self._local.connection = connection
            self._opened.append(connection)
        return connection

    def close(self) -> None:
        """Let running calls end, then close the connections."""
        self._pool.shutdown(wait=True)
        for connection in self._opened:
            connection.close()


def connect(path: Path, cache_kib: int = 2_048, max_pages: int = 0) -> sqlite3.Connection:
    """Open the database with the durability that the promises rest on."""
    connection = sqlite3.connect(
        path, isolation_level=None, cached_statements=512, check_same_thread=False
    )
    for pragma in PRAGMAS:
        connection.execute(pragma)
    connection.execute(f"PRAGMA cache_size = -{cache_kib}")
    if max_pages:
        connection.execute(f"PRAGMA max_page_count = {max_pages}")
    return connection


class WriterThread:
    """The one connection that writes; one transaction at a time."""

    def __init__(self, path: Path, *, cache_kib: int, max_pages: int = 0) -> None:
        """Write to the file at `path`; the connection is made by `open`."""
        self._path = path
        self._cache_kib = cache_kib
        self._max_pages = max_pages
        self._turn = asyncio.Lock()
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="sqlite.commit")
        self._disk_s = 0.0
        """How long commits take lately."""
        self._connection: sqlite3.Connection | None = None

    def open(self, prepare: Callable[[sqlite3.Connection], None]) -> None:
        """Connect and prepare the database; blocks, so it belongs before any traffic."""
        with translated():
            self._connection = connect(self._path, self._cache_kib, self._max_pages)
            prepare(self._connection)

    async def read(
        self,
        call: Callable[Concatenate[sqlite3.Connection, Arguments], Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Run a call that writes nothing, on the pages that the writer has in memory."""
        async with self._turn:
            with translated():
                return call(self._open_connection(), *args, **kwargs)

    async def write(
        self,
        call: Callable[Concatenate[sqlite3.Connection, Arguments], Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """
        Run a call in a transaction of its own; return when it is on disk.

        Raises:
            Unavailable: it is not; nothing of it was stored.

        """
        async with self._turn:
            connection = self._open_connection()
            with translated(), _undone_on_error(connection):
                connection.execute("BEGIN IMMEDIATE")
                result = call(connection, *args, **kwargs)
                await self._commit(connection)
            return result

    async def _commit(self, connection: sqlite3.Connection) -> None:
        started = perf_counter()
        if self._disk_s < _QUICK_S:
            connection.commit()
        else:
            await self._commit_on_thread(connection)
        self._disk_s += (perf_counter() - started - self._disk_s) * _NEWEST_WEIGHS

    async def _commit_on_thread(self, connection: sqlite3.Connection) -> None:
        committed = asyncio.get_running_loop().run_in_executor(self._disk, connection.commit)
        try:
            await asyncio.shield(committed)
        except asyncio.CancelledError:
            # The disk has begun: the connection is not free before it has ended.
            await asyncio.wait([committed])
            raise

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise Unavailable("the database is closed", code="store_unavailable", retry_after_s=2)
        return self._connection

    async def close(self) -> None:
        """Let the running transaction end, then close."""
        async with self._turn:
            await asyncio.to_thread(self._disk.shutdown)
            if self._connection is not None:
                self._connection.close()
                self._connection = None


@contextmanager
def _undone_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        # A full disk may have ended the transaction already.
        if connection.in_transaction:
            connection.rollback()
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

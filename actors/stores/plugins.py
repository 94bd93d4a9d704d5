"""
What the registry finds of a store: its class, and what the command line needs beside it.

Each is an entry point under the store's name; a store may lack all but the first.

    jobwire.stores            its class, a `StorePlugin`
    jobwire.store_backups     a module or object that makes and reads archives, a `Backups`
    jobwire.store_exporters   takes a data folder's database, makes a `StoreExporter`
    jobwire.store_importers   takes a URL and the settings, makes a `StoreImporter`
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from jobwire.actors.runtime.folder import DataFolder
from jobwire.actors.runtime.settings import Settings
from jobwire.actors.stores.base import Store
from jobwire.actors.stores.rows import Row, Table


class StorePlugin(Protocol):
    """A store's class, as an entry point names it."""

    def of(self, settings: Settings, folder: DataFolder, /) -> Store:
        """
        Make a store from the settings; a class method.

        Nothing is connected or written before `open`.

        Raises:
            Misconfigured: the settings cannot be used.

        """


Progress = Callable[[int, int], None]
"""Called with how much is done, and of how much."""


class ArchiveMember(Struct, frozen=True):
    """One file of the archive."""

    size_bytes: int
    sha256: str


class RowCounts(Struct, frozen=True):
    """How much a database holds."""

    jobs: int
    entries: int
    refused: int
    records: int


class Manifest(Struct, frozen=True, kw_only=True):
    """What an archive holds."""

    format: int
    jobwire: str
    created: datetime
    schema_version: int
    counts: RowCounts
    members: dict[str, ArchiveMember]


class Backups(Protocol):
    """Archives of a store that lies in the data folder."""

    VERSION: int
    """The schema version that this release writes."""

    def schema_version(self, database: Path, /) -> int:
        """
        Read which schema a database has.

        Raises:
            Misconfigured: it is no database, or cannot be read.

        """

    def back_up(
        self,
        folder: DataFolder,
        target: Path,
        /,
        *,
        release: str,
        now: datetime,
        progress: Progress,
    ) -> Manifest:
        """
        Write an archive of a data folder, whole or not at all; a service may run on it.

        Raises:
            NotFound: the folder holds no data yet.
            Misconfigured: a part of it cannot be read.

        """

    def unpack(self, archive: Path, target: Path, /) -> Manifest:
        """
        Check an archive and put its files into a new folder; nothing is left on failure.

        Raises:
            Invalid: it is no archive, is damaged, or was made by a newer release.

        """


class Source(Struct, frozen=True):
    """What is being taken over."""

    name: str
    """Identifies the installation."""
    last_position: int
    """Grows with every entry that is committed there."""


class StoreExporter(Protocol):
    """Reads every row of a store that no service uses."""

    def close(self) -> None:
        """Release the store."""

    def count(self, table: Table) -> int:
        """Count the rows that `rows` yields."""

    def last_position(self) -> int:
        """Return the position of the newest entry."""

    def rows(self, table: Table) -> Iterator[Row]:
        """Yield all rows, always in the same order."""


class StoreImporter(Protocol):
    """Fills an empty store with all that another one holds; can be interrupted and repeated."""

    @property
    def name(self) -> str:
        """What people call the database that is filled."""

    async def begin(self, source: Source) -> None:
        """
        Prepare the store, or find out how far an earlier run came.

        Raises:
            Conflict: the store holds something else, or the source has changed since.

        """

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

    def rows(self, table: Table) -> AsyncIterator[list[Row]]:
        """Read back what is there, as `take` returned it, in no certain order."""

    async def finish(self) -> None:
        """Mark the store as complete: from now on services may open it."""

    async def close(self) -> None:
        """Close the connections."""

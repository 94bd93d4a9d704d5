"""
The contract of a file system: files below one directory, safely.

Every path is relative to the directory that the file system was made for, and nothing outside of
it is ever read or written: symbolic links are not followed, wherever in a path they stand, at the
moment of use and not only when it was checked. What a job leaves behind is hostile: links, FIFOs,
devices and sockets are listed as `other` and never opened.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

FileKind = Literal["file", "directory", "other"]

Wanted = Callable[[str], bool]
"""Returns whether a path is selected; called in a thread."""

#: Directories within directories that are looked into; what lies deeper is `other`.
MOST_DEPTH = 64


class FileInfo(Struct, frozen=True):
    """One file as it is now."""

    path: str
    """Relative to the directory of the file system."""
    kind: FileKind
    """
    `other` is what nobody here opens: a link, FIFO, device or socket; a hard link to a file of
    another user; a directory that may not be read or lies too deep; a name that is not UTF-8.
    """
    size: int
    modified: datetime
    mode: int
    """Permission bits, such as 0o644."""


class Reader(Protocol):
    """An open regular file."""

    info: FileInfo
    """The file as it was when it was opened."""

    async def read(self, count: int) -> bytes:
        """Return at most `count` bytes from where the last call ended; none at the end."""

    async def read_into(self, buffer: bytearray) -> int:
        """Fill a buffer from where the last call ended; return the bytes read, 0 at the end."""

    async def seek(self, place: int) -> None:
        """Read on from a byte; behind the end there is nothing."""

    async def close(self) -> None:
        """Close; may be called twice."""


class Writer(Protocol):
    """A file that is being written; it appears under its name whole or not at all."""

    async def write(self, data: bytes | memoryview) -> None:
        """Append."""

    async def commit(self) -> None:
        """Put it on disk and give it its name, in the place of what was there."""

    async def abort(self) -> None:
        """Leave nothing behind; after `commit` nothing happens."""


class FileSystem(Protocol):
    """
    Files below one directory.

    Every verb raises `NotFound` where nothing is, `Invalid` where something is that it does not
    touch (a link on the way, a FIFO, what it has no permission for), and `Unavailable` where the
    system fails (no space); the detail names the path.
    """

    async def stat(self, path: str) -> FileInfo:
        """Look at one path; the empty path is the directory itself."""

    async def walk(
        self, path: str, limit: int, *, after: str = "", wanted: Wanted | None = None
    ) -> list[FileInfo]:
        """
        Return what is below a directory, in the order of paths, name by name.

        Args:
            path: the directory.
            limit: most that is given.
            after: begin behind this path.
            wanted: whether a path is given; default: all are.

        """

    async def open_read(self, path: str, start: int = 0) -> Reader:
        """Open a regular file to read from a byte on."""

    async def open_write(self, path: str, mode: int = 0o644, *, tag: str | None = None) -> Writer:
        """
        Begin a file; directories on the way are made.

        Args:
            path: the name that it will have.
            mode: its permission bits.
            tag: names the unfinished file, so that a copy begun again under the same tag
                removes what a crash has left; nobody else may use it at the same time.

        """

    async def make_directory(self, *paths: str) -> None:
        """Make directories and those on the way; one that is there stays."""

    async def remove(self, path: str) -> None:
        """Remove a file or a whole directory; nothing there is no error."""

    async def prune(self, path: str, keep: Wanted) -> None:
        """
        Remove what is below a directory, except files that are kept; nothing there is no error.

        Args:
            path: the directory.
            keep: says of a path, relative to the directory, whether a regular file stays.

        """


class FileLocation(NamedTuple):
    """A path in a file system: what an address of staging stands for."""

    files: FileSystem
    path: str
    address: str = ""
    """The whole path: equal for two places that are the same."""

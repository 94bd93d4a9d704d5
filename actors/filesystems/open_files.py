"""Open local files, one that is read and one that is written, and what the system says of them."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeVar

from jobwire.actors.filesystems.base import FileInfo
from jobwire.schemas.errors import Invalid, NotFound, Unavailable

Result = TypeVar("Result")

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
#: What the kernel says of a link, of a file in the place of a directory, and of a FIFO.
_IN_THE_WAY = (errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO, errno.ENOTEMPTY)
_NO_PERMISSION = (errno.EACCES, errno.EPERM)


class FileReader:
    """An open regular file."""

    def __init__(self, descriptor: int, info: FileInfo, start: int) -> None:
        """Read from an open descriptor, and close it in the end."""
        self.info = info
        self._descriptor = descriptor
        self._place = start

    async def read(self, count: int) -> bytes:
        """Return at most `count` bytes."""
        return await in_thread(partial(self._read, count))

    async def read_into(self, buffer: bytearray) -> int:
        """Fill a buffer."""
        return await in_thread(partial(self._read_into, buffer))

    async def seek(self, place: int) -> None:
        """Read on from a byte."""
        self._place = place

    async def close(self) -> None:
        """Close."""
        self.release()

    def release(self) -> None:
        """Close at once."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self, count: int) -> bytes:
        with named(self.info.path):
            data = os.pread(self._descriptor, count, self._place)
        self._place += len(data)
        return data

    def _read_into(self, buffer: bytearray) -> int:
        with named(self.info.path):
            count = os.preadv(self._descriptor, [buffer], self._place)
        self._place += count
        return count


class FileWriter:
    """A file that is being written under another name."""

    def __init__(self, parent: int, part: str, name: str, path: str) -> None:
        """Write a file `part` in an open directory; `commit` gives it its name."""
        self._descriptor = -1
        self._parent = parent
        self._part = part
        self._name = name
        self._path = path
        self._started = 0

    def begin(self, mode: int) -> None:
        """Make the unfinished file."""
        self._descriptor = os.open(self._part, _NEW, 0o600, dir_fd=self._parent)
        os.fchmod(self._descriptor, mode & 0o777)

    async def write(self, data: bytes | memoryview) -> None:
        """Append."""
        await in_thread(partial(self._write, data))

    async def commit(self) -> None:
        """Put it on disk and give it its name."""
        await in_thread(self._commit)

    async def abort(self) -> None:
        """Leave nothing behind."""
        await in_thread(self.release)

    def release(self) -> None:
        """Leave nothing behind, at once."""
        if self._descriptor >= 0:
            with suppress(OSError):
                os.unlink(self._part, dir_fd=self._parent)
        self._close()

    def _write(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        with named(self._path):
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            # The system begins to write it out now, so that there is little left to wait for in
            # the end; pages that are not yet on disk stay in memory all the same.
            os.posix_fadvise(self._descriptor, self._started, len(data), os.POSIX_FADV_DONTNEED)
            self._started += len(data)

    def _commit(self) -> None:
        with named(self._path):
            os.fsync(self._descriptor)
            os.rename(self._part, self._name, src_dir_fd=self._parent, dst_dir_fd=self._parent)
            os.fsync(self._parent)
        self._close()

    def _close(self) -> None:
        for descriptor in (self._descriptor, self._parent):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._parent = -1


async def in_thread(
    call: Callable[[], Result], undo: Callable[[Result], object] | None = None
) -> Result:
    """
    Run a call in a thread.

    A cancelled caller returns only after the call has ended: nothing may close a
    descriptor, or use a buffer again, that a thread still works with. What the call has made is
    then undone.
    """
    running = asyncio.get_running_loop().run_in_executor(None, call)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        if running.exception() is None and undo is not None:
            undo(running.result())
        raise


@contextmanager
def named(path: str) -> Iterator[None]:
    """Return what the system says of a path in our own errors."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path!r}", code="no_file") from error
    except OSError as error:
        if error.errno in _IN_THE_WAY:
            raise no_file(path) from error
        if error.errno in _NO_PERMISSION:
            detail = f"{path!r}: the service has no permission to read it"
            raise Invalid(detail, code="no_permission") from error
        if error.errno == errno.ENAMETOOLONG:
            raise Invalid(f"{path!r} has a name that is too long", code="bad_path") from error
        raise Unavailable(f"{path}: {error.strerror}", code="file_system") from error


def no_file(path: str) -> Invalid:
    """Return the error for a path that is not a regular file."""
    detail = f"{path!r} is not a regular file, or a link leads to it; links are not followed"
    return Invalid(detail, code="not_a_file")

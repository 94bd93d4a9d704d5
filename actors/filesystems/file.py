"""
Local files below one directory.

Every name of a path is opened relative to the directory before it, and none may be a symbolic
link; so nothing that is put in the way between a check and a use leads outside.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from jobwire.actors.filesystems import trees
from jobwire.actors.filesystems.base import FileInfo, Wanted
from jobwire.actors.filesystems.open_files import FileReader, FileWriter, in_thread, named, no_file
from jobwire.actors.runtime.failpoints import failpoint
from jobwire.schemas.errors import Invalid, NotFound

#: FIFOs are opened without waiting for the other end, and then refused.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NAME_BYTES = 255
#: Bytes of a file's own name in the name that it has while it is written.
_PART_BYTES = 150


class FileTree:
    """The file system of one local directory."""

    def __init__(self, root: Path) -> None:
        """Serve what is below `root`; the path to it may hold links, for it was configured."""
        self._root = root

    async def stat(self, path: str) -> FileInfo:
        """Look at one path."""
        return await in_thread(partial(self._stat, path))

    async def walk(
        self, path: str, limit: int, *, after: str = "", wanted: Wanted | None = None
    ) -> list[FileInfo]:
        """Return what is below a directory, in the order of paths."""
        return await in_thread(partial(self._walk, path, limit, after, wanted))

    async def open_read(self, path: str, start: int = 0) -> FileReader:
        """Open a regular file."""
        return await in_thread(partial(self._open_read, path, start), FileReader.release)

    async def open_write(
        self, path: str, mode: int = 0o644, *, tag: str | None = None
    ) -> FileWriter:
        """Begin a file."""
        return await in_thread(partial(self._open_write, path, mode, tag), FileWriter.release)

    async def make_directory(self, *paths: str) -> None:
        """Make directories and those on the way."""
        await in_thread(partial(self._make_directories, paths))

    async def remove(self, path: str) -> None:
        """Remove a file or a whole directory."""
        await in_thread(partial(self._remove, path))

    async def prune(self, path: str, keep: Wanted) -> None:
        """Remove what is below a directory, except files that are kept."""
        await in_thread(partial(self._prune, path, keep))

    def _stat(self, path: str) -> FileInfo:
        with named(path), self._parent(path) as (parent, name):
            return trees.info(path, os.stat(name, dir_fd=parent, follow_symlinks=False))

    def _walk(self, path: str, limit: int, after: str, wanted: Wanted | None) -> list[FileInfo]:
        prefix = f"{path}/" if path else ""
        passed = after.removeprefix(prefix).split("/") if after.startswith(prefix) and after else ()
        walk = trees.Walk(limit, wanted)
        with named(path), self._directory(_names(path), make=False) as top:
            walk.run(top, prefix, passed)
        return walk.found

    def _open_read(self, path: str, start: int) -> FileReader:
        with named(path), self._parent(path) as (parent, name):
            seen = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISREG(seen.st_mode):
                raise no_file(path)
            failpoint("file.before_open")
            return _reader(os.open(name, _READ, dir_fd=parent), path, start)

    def _open_write(self, path: str, mode: int, tag: str | None) -> FileWriter:
        *way, name = _names(path) or [""]
        if not name:
            raise Invalid("the directory itself is not a file", code="not_a_file")
        shown = name.encode()[:_PART_BYTES].decode(errors="ignore")
        part = f".{shown}.{tag or secrets.token_hex(4)}.part"
        with named(path), self._directory(way, make=True) as parent:
            if tag is not None:
                with suppress(FileNotFoundError):
                    os.unlink(part, dir_fd=parent)
            writer = FileWriter(os.dup(parent), part, name, path)
            try:
                writer.begin(mode)
            except BaseException:
                writer.release()
                raise
            return writer

    def _make_directories(self, paths: Iterable[str]) -> None:
        for path in paths:
            with named(path), self._directory(_names(path), make=True):
                pass

    def _remove(self, path: str) -> None:
        with suppress(NotFound), named(path), self._parent(path) as (parent, name):
            trees.remove(parent, name)

    def _prune(self, path: str, keep: Wanted) -> None:
        with suppress(NotFound), named(path), self._directory(_names(path), make=False) as top:
            trees.Broom(top, keep).run()

    @contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        *way, name = _names(path) or ["."]
        with self._directory(way, make=False) as parent:
            yield parent, name

    @contextmanager
    def _directory(self, names: list[str], *, make: bool) -> Iterator[int]:
        """Open a directory step by step."""
        if make:
            self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in names:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(name, 0o755, dir_fd=descriptor)
                below = os.open(name, trees.DIRECTORY, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)


def _names(path: str) -> list[str]:
    """Split a path; what `check_path` refuses is refused here again, at the moment of use."""
    names = path.split("/") if path else []
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise Invalid("the path is not UTF-8", code="bad_path") from error
    if any(name in ("", ".", "..") or "\0" in name for name in names):
        raise Invalid(f"the path {path!r} leads outside", code="bad_path")
    if any(len(name.encode()) > _NAME_BYTES for name in names):
        detail = f"{path!r} has a name of more than {_NAME_BYTES} bytes"
        raise Invalid(detail, code="bad_path")
    return names


def _reader(descriptor: int, path: str, start: int) -> FileReader:
    """Look at what was opened: it may be another thing than the one looked at before."""
    found = trees.info(path, os.fstat(descriptor))
    if found.kind != "file":
        os.close(descriptor)
        raise no_file(path)
    return FileReader(descriptor, found, start)

"""
Whole local directories, by descriptors: what is in them, and how they are emptied.

Nothing here depends on how deep, how large or how unreadable a job has made its directory: depth
and names are bounded, and no link is ever followed.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from msgspec.structs import replace

from jobwire.actors.filesystems.base import MOST_DEPTH, FileInfo, FileKind, Wanted
from jobwire.schemas.errors import Invalid, Unavailable

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_UNOPENED = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

#: Most names of one directory that are put into an order.
_MOST_NAMES = 1_000_000
#: What is said of a directory that is a link by now, or that may not be read.
_NOT_LOOKED_INTO = (errno.ELOOP, errno.ENOTDIR, errno.EACCES, errno.EPERM)
#: How often a directory is emptied that somebody fills at the same time.
_MOST_PASSES = 5


def info(path: str, seen: os.stat_result) -> FileInfo:
    """Return what the system has seen at a path."""
    kind: FileKind = "other"
    if stat.S_ISREG(seen.st_mode) and not is_foreign_link(seen):
        kind = "file"
    elif stat.S_ISDIR(seen.st_mode):
        kind = "directory"
    modified = datetime.fromtimestamp(seen.st_mtime, UTC)
    return FileInfo(path, kind, seen.st_size, modified, seen.st_mode & 0o777)


def is_foreign_link(seen: os.stat_result) -> bool:
    """
    Return whether a file has another name and another owner.

    A job can give a file of somebody else a name in its own directory; a reader
    with more rights than the job has would then disclose it.
    """
    return seen.st_nlink > 1 and seen.st_uid != os.geteuid()


class Walk:
    """Lists what is below a directory."""

    def __init__(self, limit: int, wanted: Wanted | None) -> None:
        """Yield at most `limit` of the wanted paths."""
        self.found: list[FileInfo] = []
        self._limit = limit
        self._wanted = wanted

    def run(self, directory: int, prefix: str, after: Sequence[str], depth: int = 0) -> None:
        """List a directory whose path is `prefix`, behind the names `after` in it."""
        for name in _names(directory):
            if len(self.found) >= self._limit:
                return
            if after and name < after[0]:
                continue
            is_passed = bool(after) and name == after[0]
            try:
                seen = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                continue  # gone since: its job still runs
            rest = after[1:] if is_passed else ()
            self._take(directory, name, info(prefix + name, seen), rest, depth, is_passed=is_passed)

    def _take(
        self,
        directory: int,
        name: str,
        seen: FileInfo,
        after: Sequence[str],
        depth: int,
        *,
        is_passed: bool,
    ) -> None:
        if not _is_text(name):
            shown = seen.path.encode(errors="surrogateescape").decode(errors="backslashreplace")
            seen = replace(seen, path=shown, kind="other")
        place = len(self.found)
        is_listed = not is_passed and (self._wanted is None or self._wanted(seen.path))
        if is_listed:
            self.found.append(seen)
        if seen.kind != "directory" or self._enter(directory, name, seen, after, depth):
            return
        if is_listed:
            self.found[place] = replace(seen, kind="other")

    def _enter(
        self, directory: int, name: str, seen: FileInfo, after: Sequence[str], depth: int
    ) -> bool:
        """List a directory in a directory; say whether it can be looked into."""
        if depth >= MOST_DEPTH:
            return False
        try:
            below = os.open(name, DIRECTORY, dir_fd=directory)
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno in _NOT_LOOKED_INTO:
                return False
            raise
        try:
            self.run(below, f"{seen.path}/", after, depth + 1)
        finally:
            os.close(below)
        return True


def _names(directory: int) -> list[str]:
    with os.scandir(directory) as entries:
        names = [entry.name for entry in islice(entries, _MOST_NAMES + 1)]
    if len(names) > _MOST_NAMES:
        detail = f"a directory has more than {_MOST_NAMES} names in it"
        raise Invalid(detail, code="too_many_files", limit=_MOST_NAMES)
    return sorted(names)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def remove(parent: int, name: str) -> None:
    """
    Remove a file, or a directory with all that is in it.

    Raises:
        Unavailable: somebody fills the directory at the same time.

    """
    if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=parent)
        return
    directory = _open_to_empty(parent, name)
    try:
        Broom(directory, None).run()
    finally:
        os.close(directory)
    try:
        os.rmdir(name, dir_fd=parent)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        detail = f"{name}: another program is still writing into this directory"
        raise Unavailable(detail, code="file_system") from error


class Broom:
    """
    Empties a directory, except for the files that are kept.

    A directory that lies too deep is moved up first: neither the stack nor the number of open
    descriptors grows with what a job has left.
    """

    def __init__(self, top: int, keep: Wanted | None) -> None:
        """Empty an open directory."""
        self._top = top
        self._keep = keep
        self._moved: set[str] = set()

    def run(self) -> None:
        """Empty it."""
        while True:
            before = len(self._moved)
            self._empty(self._top, "", 0, self._keep)
            if len(self._moved) == before:
                return

    def _empty(self, directory: int, prefix: str, depth: int, keep: Wanted | None) -> bool:
        """Empty a directory; say whether a kept file is in it."""
        for _ in range(_MOST_PASSES):
            if self._pass(directory, prefix, depth, keep):
                return True
            with os.scandir(directory) as rest:
                if next(rest, None) is None:
                    return False
        return False

    def _pass(self, directory: int, prefix: str, depth: int, keep: Wanted | None) -> bool:
        is_kept = False
        with os.scandir(directory) as entries:
            for entry in entries:
                path = prefix + entry.name
                with suppress(FileNotFoundError):
                    if entry.is_dir(follow_symlinks=False):
                        is_kept |= self._sweep(directory, entry.name, prefix, depth, keep)
                    elif keep and entry.is_file(follow_symlinks=False) and keep(path):
                        is_kept = True
                    else:
                        os.unlink(entry.name, dir_fd=directory)
        return is_kept

    def _sweep(
        self, directory: int, name: str, prefix: str, depth: int, keep: Wanted | None
    ) -> bool:
        """Empty and remove a directory in a directory; say whether a kept file is in it."""
        if depth >= MOST_DEPTH:
            moved = f".{secrets.token_hex(8)}.gone"
            os.rename(name, moved, src_dir_fd=directory, dst_dir_fd=self._top)
            self._moved.add(moved)
            return False
        if not depth and name in self._moved:
            keep = None
        below = _open_to_empty(directory, name)
        try:
            is_kept = self._empty(below, f"{prefix}{name}/", depth + 1, keep)
        finally:
            os.close(below)
        if not is_kept:
            try:
                os.rmdir(name, dir_fd=directory)
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise  # else the next pass, or the removal of the directory, meets it
        return is_kept


def _open_to_empty(parent: int, name: str) -> int:
    """Open a directory whose entries are to go, also one that its job has locked."""
    unopened = os.open(name, _UNOPENED, dir_fd=parent)
    try:
        mode = stat.S_IMODE(os.fstat(unopened).st_mode)
        if mode & stat.S_IRWXU != stat.S_IRWXU:
            Path(f"/proc/self/fd/{unopened}").chmod(mode | stat.S_IRWXU)
    finally:
        os.close(unopened)
    return os.open(name, DIRECTORY, dir_fd=parent)

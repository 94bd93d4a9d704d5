"""
What is copied where (pure): from a staging list and what is there to single copies.

A file or a directory goes to its target, or into it, under its own name, where the target ends
with `/` or is left out. What a pattern matches goes into its target and keeps there the path that
it has behind the part of the pattern before the first wildcard. A directory is copied with
everything in it.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from jobwire.actors.filesystems.base import FileInfo, FileLocation
from jobwire.schemas.errors import Invalid, NotFound
from jobwire.schemas.paths import is_pattern

_ANY_DIRECTORIES = "**"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a staging list."""

    label: str
    """How the job writes its source."""
    source: FileLocation
    target: FileLocation
    into: bool
    """Whether the target is a directory that the source comes into under its own name."""
    sha256: str | None = None
    optional: bool = False


@dataclass(frozen=True)
class Copy:
    """One file that is copied, or one directory that is made."""

    line: Line
    source: str
    target: str
    size: int
    is_directory: bool

    @property
    def address(self) -> str:
        """The whole path of the target: equal for two copies to the same place."""
        below = self.target.removeprefix(self.line.target.path)
        return f"{self.line.target.address.rstrip('/')}/{below.lstrip('/')}".rstrip("/")


@dataclass(frozen=True)
class Bounds:
    """What may be copied for one job, in or out."""

    files: int
    bytes: int
    file_bytes: int


class Pattern:
    """
    A path with wildcards: `*`, `?` and `[...]` within a name, `**` for any directories.

    As in a shell, a name that begins with a dot is matched only by one that is written so.
    """

    def __init__(self, text: str) -> None:
        """Read a pattern; a plain path is one, too."""
        self._names = [
            None if name == _ANY_DIRECTORIES else _name_pattern(name) for name in text.split("/")
        ]

    def covers(self, path: str) -> bool:
        """Return whether it matches a path, or a directory that the path is in."""
        places = self._skip({0})
        for name in path.split("/"):
            places = self._skip({n for place in places for n in self._behind(place, name)})
            if len(self._names) in places:
                return True
        return False

    def _behind(self, place: int, name: str) -> Iterable[int]:
        """Yield where in the pattern one is behind a name."""
        if place == len(self._names):
            return
        pattern = self._names[place]
        if pattern is None:
            if not name.startswith("."):
                yield place
                if place == len(self._names) - 1:
                    yield place + 1
        elif pattern.match(name):
            yield place + 1

    def _skip(self, places: set[int]) -> set[int]:
        """Add the places behind a `**`, which stands for no directory as well."""
        reached = set(places)
        for place in range(len(self._names) - 1):
            if place in reached and self._names[place] is None:
                reached.add(place + 1)
        return reached


def _name_pattern(name: str) -> re.Pattern[str]:
    visible = "" if name.startswith(".") else r"(?!\.)"
    return re.compile(visible + fnmatch.translate(name))


def base_of(path: str) -> str:
    """Return the directory that a pattern is looked for in; of a plain path the path itself."""
    names = path.split("/")
    first = next((n for n, name in enumerate(names) if is_pattern(name)), len(names))
    return "/".join(names[:first])


def copies_of(
    line: Line, there: Sequence[FileInfo], note: Callable[[str], None] | None = None
) -> list[Copy]:
    """
    Return the copies of one line.

    Args:
        line: the line.
        there: the file or directory that its source names, and all that is in it; of a pattern
            what it covers. Nothing, if nothing is there.
        note: takes what is wrong with something that cannot be copied, and the rest is; without it
            that is an error.

    Raises:
        NotFound: there is nothing, and the line is not optional.
        Invalid: something is no regular file and no directory, or a digest is asked of a directory.

    """
    if not there and not line.optional:
        what = "file that it stands for" if is_pattern(line.source.path) else "file or directory"
        raise NotFound(f"there is no such {what}", code="no_file")
    source, target = line.source.path, line.target.path
    if is_pattern(source):
        source = base_of(source)
    elif line.into:
        target = _join(target, line.source.address.rpartition("/")[2])
    fit = [each for each in there if _fits(line, each, note)]
    return [
        Copy(
            line,
            each.path,
            _join(target, each.path.removeprefix(source).lstrip("/")),
            each.size,
            each.kind == "directory",
        )
        for each in fit
    ]


def _fits(line: Line, each: FileInfo, note: Callable[[str], None] | None) -> bool:
    try:
        _check(line, each)
    except Invalid as error:
        if note is None:
            raise
        note(error.detail)
        return False
    return True


def check(copies: Sequence[Copy], bounds: Bounds) -> int:
    """
    Check that all copies together can be made; return the bytes of all files.

    Raises:
        Invalid: they are too many or too large, or two of them go to one place.

    """
    files = [each for each in copies if not each.is_directory]
    if len(copies) > bounds.files:
        detail = f"more than {bounds.files} files and directories are to be copied"
        raise Invalid(detail, code="too_many_files", limit=bounds.files)
    for each in files:
        if each.size > bounds.file_bytes:
            raise too_large(each.source, bounds.file_bytes)
    total = sum(each.size for each in files)
    if total > bounds.bytes:
        detail = f"more than {bounds.bytes} bytes are to be copied"
        raise Invalid(detail, code="too_large", limit=bounds.bytes)
    _check_targets(copies)
    return total


def too_large(path: str, limit: int) -> Invalid:
    """Return the error for a file that is too large."""
    return Invalid(f"{path!r} has more than {limit} bytes", code="too_large", limit=limit)


def _check_targets(copies: Sequence[Copy]) -> None:
    taken: dict[str, Copy] = {}
    for each in copies:
        other = taken.setdefault(each.address, each)
        if other is not each and not (other.is_directory and each.is_directory):
            detail = f"{other.source!r} and {each.source!r} would both become {each.target!r}"
            raise Invalid(detail, code="same_target")
    for each in copies:
        above = each.address
        while above := above.rpartition("/")[0]:
            holder = taken.get(above)
            if holder is not None and not holder.is_directory:
                detail = f"{each.source!r} would come into {holder.target!r}, which becomes a file"
                raise Invalid(detail, code="same_target")


def _check(line: Line, each: FileInfo) -> None:
    if each.kind == "other":
        detail = (
            f"{each.path!r} cannot be copied: it is a link, a FIFO, a device, a socket, a hard "
            "link to another user's file, a directory that cannot be read, or its name is not UTF-8"
        )
        raise Invalid(detail, code="not_a_file")
    if line.sha256 is not None and each.kind == "directory":
        raise Invalid(f"{each.path!r} is a directory; a digest is possible for one file only")


def _join(directory: str, name: str) -> str:
    return f"{directory}/{name}".strip("/")

"""Which files an owner's jobs may bring in and out: addresses to places, within the roots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from jobwire.actors.filesystems.base import FileLocation, FileSystem
from jobwire.schemas.errors import Invalid, Misconfigured
from jobwire.schemas.paths import check_address

#: Longest name of an owner's folder; file systems have 255.
_MOST_NAME = 200


class _StagingRoot(NamedTuple):
    """A directory that an owner may use, and the part of it that only the operator can change."""

    path: Path
    base: Path


class StagingRoots:
    """Finds the file system of an address, if it is inside of the owner's roots."""

    def __init__(
        self, own: Path, patterns: Sequence[str], make: Callable[[Path], FileSystem]
    ) -> None:
        """
        Serve each owner's own folder below `own`, and the directories of the patterns.

        Args:
            own: the folder that holds one folder for each owner.
            patterns: directories; `{owner}` in them stands for the owner.
            make: makes the file system of a directory.

        Raises:
            Misconfigured: a pattern is no absolute path.

        """
        for pattern in patterns:
            if not pattern.startswith("/"):
                detail = (
                    f"setting: staging.roots contains {pattern!r}; a root must be an absolute path"
                )
                raise Misconfigured(detail)
        self._own = own.absolute()
        self._patterns = patterns
        self._make = make

    def own_folder(self, owner: str) -> Path:
        """Return the folder that relative paths start from where a job names no `directory`."""
        return self._own / folder_name(owner)

    def resolve(self, owner: str, text: str, directory: str | None, pointer: str) -> FileLocation:
        """
        Return the place of a `file:` URI, or of a path relative to `directory`.

        Raises:
            Invalid: it lies outside of the owner's roots.

        """
        address = check_address(text.removesuffix("/") or "/", pointer)
        if address.is_absolute:
            return self._find(owner, Path(address.path), pointer)
        if directory is None:
            return self._find(owner, self.own_folder(owner) / address.path, pointer)
        base = self.resolve(owner, directory, None, pointer)
        below = f"{base.path}/{address.path}".removeprefix("/")
        return FileLocation(base.files, below, f"{base.address.rstrip('/')}/{address.path}")

    def _find(self, owner: str, path: Path, pointer: str) -> FileLocation:
        own = self.own_folder(owner)
        roots = [_StagingRoot(own, own), *(_root(each, owner) for each in self._patterns)]
        for root in roots:
            if path.is_relative_to(root.path):
                below = path.relative_to(root.base).as_posix()
                return FileLocation(self._make(root.base), "" if below == "." else below, str(path))
        detail = (
            f"{path} is not below a root from and to which files of {owner!r} may be staged: "
            f"{', '.join(str(root.path) for root in roots)}; "
            "the setting staging.roots adds directories"
        )
        raise Invalid(detail, pointer=pointer, code="outside_roots")


def _root(pattern: str, owner: str) -> _StagingRoot:
    """
    Read a pattern.

    What comes behind the owner's name is the owner's to change: a link there must not be followed,
    so the file system begins before it.
    """
    name = folder_name(owner)
    parts = Path(pattern).parts
    fixed = next((n + 1 for n, part in enumerate(parts) if "{owner}" in part), len(parts))
    path, base = (
        Path(*(part.replace("{owner}", name) for part in some)) for some in (parts, parts[:fixed])
    )
    return _StagingRoot(path, base)


def folder_name(owner: str) -> str:
    """Return the name of an owner's folder: one for each owner, and never a path out of it."""
    name = quote(owner, safe=" @+,=")
    if len(name) > _MOST_NAME:
        digest = blake2b(owner.encode(), digest_size=16).hexdigest()
        name = f"{name[: _MOST_NAME - 40]}%~{digest}"
    return f"%2E{name[1:]}" if name.startswith(".") else name

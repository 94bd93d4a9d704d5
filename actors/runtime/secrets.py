"""Secrets of jobs: files outside of the database, read when a job starts and never stored again."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from jobwire.schemas.errors import NotFound, Unavailable

#: Largest secret.
_MOST_BYTES = 65_536


class JobSecrets:
    """One file for each secret: `<folder>/<owner>/<name>`, its last line end not counted."""

    def __init__(self, folder: Path) -> None:
        """Read below a folder."""
        self._folder = folder

    def has(self, owner_folder: str, name: str) -> bool:
        """Return whether an owner has a secret of that name."""
        try:
            return stat.S_ISREG((self._folder / owner_folder / name).stat().st_mode)
        except OSError:
            return False

    def read(self, owner_folder: str, name: str) -> str:
        """
        Return the value of a secret.

        Raises:
            NotFound: the owner has none of that name.
            Unavailable: it cannot be read, or is no text.

        """
        file = self._folder / owner_folder / name
        try:
            # Links are followed: the folder is the administrator's, and many are mounted that way.
            descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError as error:
            raise NotFound(f"there is no secret {name!r}", code="unknown_secret") from error
        except OSError as error:
            raise Unavailable(f"cannot read the secret {name!r}: {error.strerror}") from error
        with os.fdopen(descriptor, "rb") as opened:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Unavailable(f"the secret {name!r} is not a regular file")
            content = opened.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES or b"\0" in content:
            detail = f"the secret {name!r} has more than {_MOST_BYTES} bytes, or contains NUL"
            raise Unavailable(detail)
        try:
            return content.decode().removesuffix("\n")
        except UnicodeDecodeError as error:
            raise Unavailable(f"the secret {name!r} is not UTF-8") from error

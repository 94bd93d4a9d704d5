"""The contract of a host: a file system, and commands that run there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self

from msgspec import Struct

from jobwire.actors.filesystems.base import FileSystem
from jobwire.actors.runtime.settings import SiteSettings


class Completed(Struct, frozen=True):
    """A command that has ended."""

    exit_code: int
    stdout: str
    stderr: str


class Host(Protocol):
    """One machine as the service sees it."""

    files: FileSystem
    """The folder that jobs have their sandboxes in."""
    root: str
    """Where that folder is on the host, as an absolute path."""
    environment: Mapping[str, str]
    """What every job finds in its environment there: `PATH`, `LANG`, and who runs it."""

    @classmethod
    def of(cls, settings: SiteSettings, folder: Path) -> Self:
        """
        Make the host of a site; nothing is reached before `open`.

        Args:
            settings: of the site; `address` and `folder` are for the host.
            folder: where sandboxes on this machine are if the settings name no folder.

        """

    async def open(self) -> None:
        """Make ready: connect, make the folder."""

    async def close(self) -> None:
        """Let go; jobs that run stay untouched."""

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout_s: float = 30.0,
    ) -> Completed:
        """
        Run a command to its end; no shell reads it, and nothing of the service's environment.

        Raises:
            Unavailable: it could not be run, or did not end in time; it may have had its effect.

        """

    async def gone(self, pid: int, started: int) -> None:
        """
        Return when the process with this id and start time (clock ticks after boot) is gone.

        At once if it is not there, or if the id belongs to another process by now.
        """

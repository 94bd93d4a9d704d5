"""Commands: orders to one worker, each caused by one entry of a job's history."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, get_args

from msgspec import Struct

from jobwire.schemas.addresses import STAGER, site_queue
from jobwire.schemas.identifiers import EventId, JobId

CommandKind = Literal["StageIn", "Submit", "Watch", "StageOut", "Cancel", "CleanUp"]
"""The commands that this release gives and carries out."""

KINDS: Final = frozenset(get_args(CommandKind))
"""The same as a set; every other kind is another release's, and is left to it."""


class Outstanding(Struct, frozen=True, array_like=True):
    """
    The command that a job awaits; it may be published again at any time.

    One whose `since` is still to come waits until then.
    """

    entry: EventId
    kind: str
    """One of `KINDS`, or what another release gave."""
    attempt: int
    since: datetime


class Command(Struct, frozen=True, array_like=True):
    """
    One order to a worker.

    A worker reads the job first and drops a command that is no longer the job's outstanding one, so
    the same command may be published any number of times.
    """

    job: JobId
    entry: EventId
    """The entry that caused it."""
    kind: str
    attempt: int
    owner: str = ""
    site: str = "local"
    priority: int = 0
    cores: int = 1
    since: datetime | None = None
    """Since when it is awaited; what began before is another process's work."""
    start_by: datetime | None = None
    """The moment after which nothing is to start by it any more."""

    @property
    def queue(self) -> str | None:
        """The queue whose worker carries this command out; None: only another release knows."""
        if self.kind not in KINDS:
            return None
        if self.kind in ("StageIn", "StageOut", "CleanUp"):
            return STAGER
        return site_queue(self.site)

"""Commands: orders to one worker, each caused by one entry of a job's history."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from schemas.identifiers import EventId, JobId

CommandKind = Literal["StageIn", "Submit", "StageOut", "Cancel"]


class Outstanding(Struct, frozen=True, array_like=True):
    """The command that a job awaits; whoever finds it old may publish it again."""

    entry: EventId
    kind: CommandKind
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
    kind: CommandKind
    attempt: int

    @property
    def queue(self) -> str:
        """The queue whose worker carries this command out."""
        return "commands.stager" if self.kind in ("StageIn", "StageOut") else "commands.site.local"

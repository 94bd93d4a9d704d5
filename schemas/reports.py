"""
Reports: what workers say of an attempt, one record for each event of theirs.

The data of the event is the record as JSON. A field without a value is left out, and an unknown
field is not read, so that releases n and n+1 read each other.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta, Struct

_Word = Annotated[str, Meta(max_length=255)]
_Text = Annotated[str, Meta(max_length=4096)]


class Report(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a worker says; the class says by which event."""

    event: ClassVar[str]


class CopiedFile(Struct, frozen=True):
    """One file that was brought in or out."""

    path: str
    size: int
    sha256: str


class Staging(Report, frozen=True, kw_only=True):
    """The intent to bring the inputs in; its outcome is awaited before anything is copied."""

    event = "stage"


class Submitting(Report, frozen=True, kw_only=True):
    """The intent to start the attempt; its outcome is awaited before anything starts."""

    event = "submit"


class Staged(Report, frozen=True, kw_only=True):
    """The inputs are in place."""

    event = "staged"

    files: int
    bytes: int
    copied: tuple[CopiedFile, ...]
    copied_more: int = 0
    """Files that are not named."""


class Progress(Report, frozen=True, kw_only=True):
    """How far the staging of files has come."""

    event = "update"

    stage: str
    files: int
    bytes: int
    total_bytes: int


class Placement(Report, frozen=True, kw_only=True):
    """Where the site has an attempt: the part that `Queued` and `Running` share."""

    native: _Word | None = None
    """The batch system's own id."""


class Queued(Placement, frozen=True, kw_only=True):
    """The batch system has the attempt and will start it."""

    event = "queued"


class Running(Placement, frozen=True, kw_only=True):
    """The process of the attempt runs."""

    event = "run"

    pid: int | None = None


class AttemptEnd(Report, frozen=True, kw_only=True):
    """How an attempt ended: the part that the four reports of an end share."""

    cause: _Word | None = None
    exit_code: int | None = None
    signal: str | None = None
    detail: _Text | None = None
    stage_out_problem: _Text | None = None


class Exited(AttemptEnd, frozen=True, kw_only=True):
    """The process has ended, and its outputs are to be brought out."""

    event = "exit"


class Collected(AttemptEnd, frozen=True, kw_only=True):
    """An end, and what was brought out before it."""

    files: int | None = None
    bytes: int | None = None
    copied: tuple[CopiedFile, ...] | None = None
    copied_more: int = 0


class Finished(Collected, frozen=True, kw_only=True):
    """The attempt succeeded, and its outputs are in place."""

    event = "finish"


class Failed(Collected, frozen=True, kw_only=True):
    """The attempt did not succeed."""

    event = "fail"


class Cancelled(AttemptEnd, frozen=True, kw_only=True):
    """Nothing of the attempt is alive any more, as was asked for."""

    event = "cancelled"


class Cleaned(Report, frozen=True, kw_only=True):
    """The sandboxes are gone, but for the files that are kept."""

    event = "cleaned"

    kept: tuple[str, ...]
    kept_more: int = 0


class Suspected(Report, frozen=True, kw_only=True):
    """Nothing is known of an attempt that should be there."""

    event = "suspect"

    cause: str
    detail: str


class Lost(Report, frozen=True, kw_only=True):
    """The fate of an attempt cannot be found out."""

    event = "lose"

    cause: str
    detail: str

"""What the native API shows: the records that its answers are made of, for server and client."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import UNSET, Raw, Struct, UnsetType

from jobwire.schemas.deliveries import DeliveryStatus, GaveUp
from jobwire.schemas.identifiers import EventId, JobId
from jobwire.schemas.lifecycle import JobOutcome
from jobwire.schemas.outcomes import ReasonWord
from jobwire.schemas.principals import Scope
from jobwire.schemas.specs import Spec


class Problem(Struct, frozen=True, omit_defaults=True):
    """A problem document: what was wrong, where, and what was expected."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    pointer: str | None = None
    limit: int | None = None


class EntryView(Struct, frozen=True):
    """One history entry."""

    seq: int
    id: EventId
    job: JobId
    name: str
    state: str
    outcome: JobOutcome | None
    applied: bool
    reason: ReasonWord | None
    data: Raw
    source: str | None
    received: datetime
    occurred: datetime | None


class JobView(Struct, frozen=True, kw_only=True):
    """One job."""

    id: JobId
    name: str | None
    lifecycle: str
    lifecycle_version: int
    state: str
    outcome: JobOutcome | None
    cause: str | None
    tags: tuple[str, ...]
    parent: JobId | None
    owner: str
    seq: int
    last_event: str
    created: datetime
    updated: datetime
    deadline_s: float | None
    heartbeat_s: float | None
    attempt: int
    held: bool
    exit_code: int | None
    """Of the newest attempt that ended; 128 and the signal's number, where one ended it."""
    signal: str | None
    detail: str | None
    """What its worker has to say of its end."""
    stage_out_problem: str | None
    """What could not be brought out, and why."""
    retry_of: JobId | None
    native: str | UnsetType = UNSET
    """The id that the batch system of its site gave the newest attempt, where there is one."""


class CallbackView(Struct, frozen=True, kw_only=True):
    """A callback of a job: the address, and what it is notified of."""

    id: str
    url: str
    states: tuple[str, ...]
    outcomes: tuple[JobOutcome, ...]
    events: tuple[str, ...]


class NewCallbackView(CallbackView, frozen=True, kw_only=True):
    """A callback just made."""

    secret: str | None
    """What to verify it by; None: it is the caller's own, or was shown when the job was made."""


class FullJobView(JobView, frozen=True, kw_only=True):
    """One job with what it was made with."""

    data: Raw
    spec: Spec | None
    callbacks: tuple[CallbackView, ...]


class ControlledView(Struct, frozen=True, kw_only=True):
    """A job after it was cancelled, held or released."""

    id: JobId
    state: str | None
    outcome: JobOutcome | None


class NotDoneView(Struct, frozen=True):
    """One job of a selection that did not do what was asked."""

    id: JobId
    code: str
    detail: str


class SelectedView(Struct, frozen=True):
    """What became of a selection of jobs."""

    matched: int
    done: int
    refused: int
    examples: tuple[NotDoneView, ...]
    """The first ones that were refused."""
    cut: bool
    """Whether there may be more: one request handles a limited number; repeat it."""


class CreatedView(Struct, frozen=True, kw_only=True):
    """The answer to a creation: everything that a platform needs to report on the job."""

    id: JobId
    token: str
    state: str | None
    """None: the job is accepted and will be there in a moment (answered 202)."""
    webhook: str
    job: str
    history: str
    stream: str
    callbacks: tuple[NewCallbackView, ...] = ()


class Accepted(Struct, frozen=True):
    """The answer to an event that is safe; its outcome was not waited for."""

    id: str
    uuid: JobId


class OutcomeView(Struct, frozen=True, omit_defaults=True):
    """The answer to an event whose outcome was waited for."""

    id: str
    uuid: JobId
    applied: bool
    state: str | None
    seq: int | None
    duplicate: bool = False


class LineResult(Struct, frozen=True, omit_defaults=True):
    """What became of one NDJSON line."""

    line: int
    status: int
    uuid: JobId | None = None
    id: str | None = None
    seq: int | None = None
    state: str | None = None
    applied: bool | None = None
    reason: ReasonWord | None = None
    code: str | None = None
    detail: str | None = None
    pointer: str | None = None


class RefusalView(Struct, frozen=True, kw_only=True):
    """One refused event."""

    job: JobId
    id: EventId
    name: str
    reason: ReasonWord
    data: Raw
    source: str | None
    received: datetime
    occurred: datetime | None
    replayed_as: EventId | None


class KeyView(Struct, frozen=True, kw_only=True):
    """An API key without its secret."""

    id: str
    principal: str
    scopes: tuple[Scope, ...]
    label: str | None
    created: datetime
    expires: datetime | None
    revoked: datetime | None


class NewKeyView(KeyView, frozen=True, kw_only=True):
    """An API key just made, with its text; it is shown this once."""

    key: str


class RotatedView(Struct, frozen=True, kw_only=True):
    """A job's new token, and how long the one before stays good."""

    id: JobId
    token: str
    webhook: str
    previous_valid_for_s: float


class CountView(Struct, frozen=True):
    """How many jobs are in one state of one lifecycle."""

    lifecycle: str
    state: str
    outcome: JobOutcome | None
    jobs: int
    at_least: bool = False
    """The state has 10,000 jobs or more, of which only the newest 10,000 are counted."""


class StatsView(Struct, frozen=True, kw_only=True):
    """How many jobs an owner has, by lifecycle and state."""

    jobs: int
    at_least: bool = False
    """There may be more, because one of the states has more than are counted."""
    by_state: tuple[CountView, ...]


class Readiness(Struct, frozen=True, omit_defaults=True):
    """Whether events can be stored now, and which parts are missing."""

    status: str
    missing: tuple[str, ...]
    away: tuple[str, ...] = ()
    """Sites whose hosts cannot be reached; only their own jobs wait."""


class AttemptView(Struct, frozen=True, kw_only=True):
    """One try to deliver."""

    at: datetime
    duration_s: float
    status: int | None
    """The HTTP status of the answer; None: there was none."""
    error: str | None
    """Why it did not count as delivered."""


class DeliveryView(Struct, frozen=True, kw_only=True):
    """One message to one receiver, and every try to deliver it."""

    id: str
    """What the receiver sees as `webhook-id`, the same with every try."""
    job: JobId
    seq: int
    """Of the entry that it is about."""
    event: str
    state: str
    subscription: str
    """The callback of the job."""
    url: str
    status: DeliveryStatus
    gave_up: GaveUp | None
    created: datetime
    next_at: datetime | None
    """When the next try is due; None: there will be none unless somebody asks for it."""
    attempts: tuple[AttemptView, ...]
    """Oldest first, at most the newest 50."""


class RecoveredView(Struct, frozen=True):
    """How many deliveries are sent again; more are left when it is cut."""

    deliveries: int
    cut: bool


class FileView(Struct, frozen=True):
    """One file or directory of a job."""

    path: str
    """Where it is in the job's directory."""
    kind: Literal["file", "directory", "other"]
    """`other`: a link, FIFO, device or the like, which is not served."""
    size: int
    modified: datetime
    mode: int
    """Permission bits."""

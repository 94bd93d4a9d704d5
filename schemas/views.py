"""What the native API shows: the records that its answers are made of, for server and client."""

from __future__ import annotations

from datetime import datetime

from msgspec import Raw, Struct

from schemas.identifiers import EventId, JobId
from schemas.lifecycle import JobOutcome
from schemas.outcomes import Reason
from schemas.principals import Scope


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
    reason: Reason | None
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


class FullJobView(JobView, frozen=True, kw_only=True):
    """One job with the data that it was made with."""

    data: Raw


class CreatedView(Struct, frozen=True, kw_only=True):
    """The answer to a creation: everything that a platform needs to report on the job."""

    id: JobId
    token: str
    state: str
    webhook: str
    job: str
    history: str
    stream: str


class Accepted(Struct, frozen=True):
    """The answer to an event that is safe; its outcome was not waited for."""

    id: str
    uuid: JobId


class Settled(Struct, frozen=True, omit_defaults=True):
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
    reason: Reason | None = None
    code: str | None = None
    detail: str | None = None
    pointer: str | None = None


class RefusalView(Struct, frozen=True, kw_only=True):
    """One refused event."""

    job: JobId
    id: EventId
    name: str
    reason: Reason
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


class StatsView(Struct, frozen=True):
    """How many jobs an owner has, by lifecycle and state."""

    jobs: int
    by_state: tuple[CountView, ...]


class Readiness(Struct, frozen=True):
    """Whether events can be stored now, and which parts are missing."""

    status: str
    missing: tuple[str, ...]

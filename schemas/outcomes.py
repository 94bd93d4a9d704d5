"""Outcomes: the result of one event, published to those who wait for it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta, Struct

from jobwire.schemas.commands import Outstanding
from jobwire.schemas.identifiers import EventId, JobId


class Reason(StrEnum):
    """Why this release keeps an event without applying it, or refuses it."""

    WRONG_STATE = "wrong_state"  # kept: the lifecycle does not allow it in the job's state
    UNKNOWN_EVENT = "unknown_event"  # kept: the job's lifecycle has no such event
    WRONG_SENDER = "wrong_sender"  # kept: this sender may not send this event
    STALE_ATTEMPT = "stale_attempt"  # kept: it reports on an attempt that is not the current one
    OVERTAKEN = "overtaken"  # kept: the job has moved on since its sender read it
    INVALID_DATA = "invalid_data"  # kept: its `data` is not valid for this event
    HELD = "held"  # kept: a held job may not start
    EXISTS = "exists"  # kept: a `create` for a job that exists already
    STILL_RUNNING = "still_running"  # kept: a delete without force of a job that has not ended
    UNKNOWN_JOB = "unknown_job"  # refused: the job does not exist, or belongs to another owner
    DELETED = "deleted"  # refused: the job was deleted
    TOKEN_REVOKED = "token_revoked"  # noqa: S105 - refused: the token was revoked
    FORGED = "forged"  # refused: its signature on the bus is not valid
    EVENT_LIMIT = "event_limit"  # refused: the job's history has reached its limit
    POISON = "poison"  # refused: an error in the service prevents its handling; see the log
    UNKNOWN_LIFECYCLE = "unknown_lifecycle"  # refused: the job's lifecycle does not exist


ReasonWord = Annotated[str, Meta(extra_json_schema={"examples": [str(each) for each in Reason]})]
"""A `Reason`, or the word of another release: it is read, kept and shown as it is."""

Verdict = Literal["applied", "kept", "refused", "conflict"]
"""`conflict`: the id is known with another payload; the first one stands."""


class Outcome(Struct, frozen=True, kw_only=True, array_like=True):
    """The result of one event; a repeated event gets the outcome of its first copy."""

    job: JobId
    event: EventId
    verdict: Verdict
    reason: ReasonWord | None = None
    seq: int | None = None
    state: str | None = None
    duplicate: bool = False
    generation: int = 0
    outstanding: Outstanding | None = None

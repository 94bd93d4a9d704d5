"""Outcomes: what became of an event, told to whoever waits for it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta, Struct

from jobwire.schemas.commands import Outstanding
from jobwire.schemas.identifiers import EventId, JobId


class Reason(StrEnum):
    """Why this release keeps an event without applying it, or refuses it."""

    WRONG_STATE = "wrong_state"  # kept: the job's state has no such exit
    UNKNOWN_EVENT = "unknown_event"  # kept: the job's lifecycle has no such event
    WRONG_SENDER = "wrong_sender"  # kept: the event exists, but this sender may not send it
    STALE_ATTEMPT = "stale_attempt"  # kept: it speaks for another attempt than the present one
    OVERTAKEN = "overtaken"  # kept: the job has moved on since its sender looked
    INVALID_DATA = "invalid_data"  # kept: its data is not what this event must carry
    HELD = "held"  # kept: nothing of a held job starts
    EXISTS = "exists"  # kept: a `create` for a job that is there
    STILL_RUNNING = "still_running"  # kept: a delete without force of a job that has not ended
    UNKNOWN_JOB = "unknown_job"  # refused: no such job, or someone else's
    DELETED = "deleted"  # refused: the job was deleted
    TOKEN_REVOKED = "token_revoked"  # noqa: S105 - refused: the token's generation is no longer good
    FORGED = "forged"  # refused: the authority on the bus does not verify
    EVENT_LIMIT = "event_limit"  # refused: the job has as many entries as it may have
    POISON = "poison"  # refused: handling it failed by a fault of the service; see the log
    UNKNOWN_LIFECYCLE = "unknown_lifecycle"  # refused: the job names a lifecycle that is not there


ReasonWord = Annotated[str, Meta(extra_json_schema={"examples": [str(each) for each in Reason]})]
"""A `Reason`, or the word of another release: it is read, kept and shown as it is."""

Verdict = Literal["applied", "kept", "refused", "conflict"]
"""`conflict`: the id is known with another payload; the first one stands."""


class Outcome(Struct, frozen=True, kw_only=True, array_like=True):
    """What became of one event; a repeated event gets the outcome of its first copy."""

    job: JobId
    event: EventId
    verdict: Verdict
    reason: ReasonWord | None = None
    seq: int | None = None
    state: str | None = None
    duplicate: bool = False
    generation: int = 0
    outstanding: Outstanding | None = None

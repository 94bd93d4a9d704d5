"""The answer to a request that waited for an outcome: success, or an error."""

from __future__ import annotations

from jobwire.schemas.errors import (
    Conflict,
    Forbidden,
    Invalid,
    JobwireError,
    NotFound,
    TooManyRequests,
)
from jobwire.schemas.outcomes import Outcome, Reason


def refusal_of(outcome: Outcome) -> JobwireError | None:  # noqa: PLR0911 - a table
    """Return the error to answer for an outcome; None: the event was applied."""
    if outcome.verdict == "applied":
        return None
    if outcome.verdict == "conflict":
        return Invalid(
            "this event id was used before for this job, with another payload",
            code="event_id_reused",
        )
    code = str(outcome.reason)
    match outcome.reason:
        case Reason.UNKNOWN_JOB | Reason.DELETED:
            return NotFound(
                "there is no job with this id; the event is kept under /v1/refused",
                code="unknown_job",
            )
        case Reason.TOKEN_REVOKED | Reason.FORGED:
            return Forbidden(
                "the token is no longer valid; the event is kept under /v1/refused", code=code
            )
        case Reason.WRONG_SENDER:
            return Forbidden(
                "this event may not be sent by this sender; it is kept and not applied", code=code
            )
        case Reason.UNKNOWN_EVENT:
            detail = "the job's lifecycle has no event with this name; it is kept and not applied"
            return Invalid(detail, code=code, pointer="/name")
        case Reason.INVALID_DATA:
            detail = "the data is not valid for this event; it is kept and not applied"
            return Invalid(detail, code=code, pointer="/data")
        case Reason.EVENT_LIMIT:
            return TooManyRequests(
                "the job's history is full; the event is kept under /v1/refused", code=code
            )
        case _:
            if outcome.verdict == "refused":
                detail = f"the event is refused: {code}; it is kept under /v1/refused"
            else:
                detail = f"the event is kept and not applied: {code}; the job is {outcome.state}"
            return Conflict(detail, code=code)

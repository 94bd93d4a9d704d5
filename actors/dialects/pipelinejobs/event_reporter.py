"""From an event of a message to its outcome."""

from __future__ import annotations

import secrets
from typing import Any, Literal, NamedTuple

import msgspec
from aiohttp import web

from jobwire.actors.dialects.pipelinejobs.access import VerifiedRequest
from jobwire.actors.dialects.pipelinejobs.authority import Authority
from jobwire.actors.dialects.pipelinejobs.deferred_event_sender import WAIT_S, DeferredEventSender
from jobwire.actors.dialects.pipelinejobs.deferred_events import DeferredEvents, again
from jobwire.actors.dialects.pipelinejobs.early import allowed, implied, is_early, is_repetition
from jobwire.actors.dialects.pipelinejobs.messages import EventMessage
from jobwire.actors.operations import Operations
from jobwire.schemas.errors import (
    Conflict,
    Forbidden,
    Invalid,
    JobwireError,
    NotFound,
    TooManyRequests,
    Unauthorized,
)
from jobwire.schemas.events import Event
from jobwire.schemas.identifiers import RESERVED_ID, EventId, JobId
from jobwire.schemas.jobs import Entry
from jobwire.schemas.outcomes import Outcome, Reason
from jobwire.schemas.principals import Principal

Early = Literal["refuse", "park", "imply"]


class ReportResult(NamedTuple):
    """The answer to a reported event."""

    event: EventId
    message: str
    error: JobwireError | None = None
    details: dict[str, Any] | None = None  # any JSON, for programs


class EventReporter:
    """Reports events; a refused one leaves the job as it was."""

    def __init__(
        self,
        operations: Operations,
        deferred_events: DeferredEvents,
        authority: Authority,
        event_sender: DeferredEventSender,
        early: Early,
    ) -> None:
        """Handle events that come too early by the policy `early` of the settings."""
        self._events = operations.events
        self._deferred_events = deferred_events
        self._event_statuses = operations.event_statuses
        self._authority = authority
        self._event_sender = event_sender
        self._early = early

    async def report(
        self,
        request: web.Request,
        access: VerifiedRequest,
        message: EventMessage,
        event_id: str | None,
        source: str,
    ) -> ReportResult:
        """
        Report an event and wait for what becomes of it.

        Raises:
            Forbidden: its sender may not send it.
            NotFound: there is no such job.

        """
        if event_id is not None and event_id.startswith(RESERVED_ID):
            detail = (
                f"ids that begin with {RESERVED_ID!r} are reserved for the service; choose another"
            )
            raise Invalid(detail, code="reserved_id", pointer="Idempotency-Key")
        owner = await self._authority.of_event(request, access, message)
        try:
            event = self._events.build(
                job=message.job,
                name=message.name,
                token=None if owner else message.token,
                principal=owner,
                data=message.data,
                event_id=event_id or secrets.token_hex(8),
                source=source,
            )
        except Unauthorized as error:
            raise self._authority.wrong(request) from error
        return await self._result_of(access, event, await self._events.post(event, WAIT_S))

    async def catch_up(self, principal: Principal, job: JobId) -> None:
        """Send the deferred events of a job again, before its reader or sender is answered."""
        if self._early == "park":
            await self._event_sender.resend_all(principal, job)

    async def _result_of(
        self, access: VerifiedRequest, event: Event, outcome: Outcome | None
    ) -> ReportResult:
        name = event.name
        if outcome is None:
            return ReportResult(event.id, f"{name} is stored; its outcome is not known yet")
        if outcome.verdict == "applied":
            await self.catch_up(access.principal, event.job)
            details = {"duplicate": True} if outcome.duplicate else None
            return ReportResult(
                event.id, f"{name} applied: the job is {outcome.state}", None, details
            )
        state = outcome.state or ""
        if outcome.verdict != "kept" or outcome.reason != Reason.WRONG_STATE:
            return ReportResult(event.id, "", _error_of(outcome, name))
        if is_repetition(state, name):
            details = {"duplicate": True}
            return ReportResult(
                event.id, f"{name} changes nothing: the job is {state}", None, details
            )
        if is_early(state, name):
            return await self._too_early(access.principal, event, outcome)
        return _refused(event, state, "")

    async def _too_early(
        self, principal: Principal, event: Event, outcome: Outcome
    ) -> ReportResult:
        state = outcome.state or ""
        if self._early == "imply" and (missing := implied(state, event.name)):
            return await self._imply(principal, event, state, missing)
        if self._early == "park":
            return await self._defer(principal, event, state, is_new=not outcome.duplicate)
        return _refused(event, state, "; it comes before the event that it needs")

    async def _defer(
        self, principal: Principal, event: Event, state: str, *, is_new: bool
    ) -> ReportResult:
        if not is_new:
            status = await self._event_statuses.get(principal, event.job, again(event.id))
            if status.entry is not None:
                return _waited(event, status.entry)
        deferred = await self._deferred_events.defer(principal, event)
        # The step that it waits for may just have been taken.
        if await self._event_sender.resend(principal, deferred):
            return ReportResult(event.id, f"{event.name} applied")
        text = f"{event.name} waits: the job is {state}"
        return ReportResult(event.id, text, None, {"parked": True})

    async def _imply(
        self, principal: Principal, event: Event, state: str, missing: str
    ) -> ReportResult:
        """Put the missing step in, with a mark, and send the event again."""
        mark = msgspec.json.encode({"implied": True, "implied_by": event.name, "event": event.id})
        step = EventId(f"{event.id}.implied"[-255:])
        await self._event_sender.post(principal, event.job, missing, mark, step)
        outcome = await self._event_sender.post(
            principal, event.job, event.name, event.data, again(event.id)
        )
        if outcome is None or outcome.verdict != "applied":
            return _refused(event, state, "; it comes before the event that it needs")
        text = f"{missing} implied, {event.name} applied: the job is {outcome.state}"
        return ReportResult(event.id, text, None, {"implied": missing})


def _waited(event: Event, later: Entry) -> ReportResult:
    """Return what became of an event that has waited, to one who sends it again."""
    if later.applied:
        return ReportResult(event.id, f"{event.name} applied", None, {"duplicate": True})
    return _refused(event, later.state, "; it has waited for its time")


def _refused(event: Event, state: str, why: str) -> ReportResult:
    """Return the error for an event that a job does not accept; it names those that it does."""
    names = allowed(state)
    listed = ", ".join(names) or "none"
    detail = f"the job is {state} and does not take {event.name}{why}; it takes: {listed}"
    details = {
        "code": "illegal_transition",
        "state": state,
        "event": event.name,
        "allowedEvents": names,
    }
    return ReportResult(event.id, detail, Conflict(detail, code="illegal_transition"), details)


def _error_of(outcome: Outcome, name: str) -> JobwireError:  # noqa: PLR0911 - a table
    """Return the error that an outcome is, where the state of the job is not the reason."""
    match outcome.reason:
        case Reason.UNKNOWN_JOB | Reason.DELETED:
            return NotFound("there is no job with this uuid", code="unknown_job")
        case Reason.TOKEN_REVOKED | Reason.FORGED:
            return Forbidden("the token is no longer valid", code="wrong_job_token")
        case Reason.WRONG_SENDER:
            return Forbidden(f"{name} may not be sent by this sender", code="wrong_sender")
        case Reason.UNKNOWN_EVENT:
            return Invalid(f"the job's lifecycle has no event {name}", code="unknown_event_name")
        case Reason.EVENT_LIMIT:
            return TooManyRequests("the job's history is full", code="event_limit")
        case None:
            detail = "this Idempotency-Key was used before for this job, with another event"
            return Conflict(detail, code="event_id_reused")
        case _:
            return Conflict(f"{name} is refused: {outcome.reason}", code="refused")

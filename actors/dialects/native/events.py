"""`POST /v1/events`: one event as JSON or as URL parameters, or many as NDJSON."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta, Raw, Struct

from jobwire.actors.dialects.native.answers import answer, encode, problem, problem_document
from jobwire.actors.dialects.native.outcomes import refusal_of
from jobwire.actors.dialects.queries import read_query
from jobwire.actors.dialects.request_guard import RequestGuard, credentials, idempotency_key_of
from jobwire.actors.operations import Operations
from jobwire.actors.operations.events import Events, Posted
from jobwire.actors.runtime.settings import Limits
from jobwire.schemas.codec import check_json, decode, parse_json
from jobwire.schemas.errors import (
    Conflict,
    Invalid,
    JobwireError,
    TooLarge,
    Unauthorized,
)
from jobwire.schemas.events import Event
from jobwire.schemas.identifiers import RESERVED_ID, Name, parse_job_id
from jobwire.schemas.principals import Principal
from jobwire.schemas.views import Accepted, LineResult, OutcomeView

_NDJSON = "application/x-ndjson"
#: Longest time that a client may ask to wait.
_MOST_WAIT_S = 60.0
_PREFER_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*(\d{1,6})\s*(?:,|$)")

Moment = Annotated[datetime, Meta(tz=True)]
Attempt = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Wait = Annotated[float, Meta(ge=0, le=_MOST_WAIT_S)]


class EventBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One event as a client sends it."""

    uuid: str
    name: Name
    token: str | None = None
    data: Raw = Raw()
    id: Name | None = None
    time: Moment | None = None
    source: Name | None = None
    attempt: Attempt | None = None


class EventParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One event as URL parameters; the body, if there is one, is its data."""

    uuid: str
    name: Name
    token: str | None = None
    id: Name | None = None
    time: Moment | None = None
    source: Name | None = None
    attempt: Attempt | None = None
    wait: Wait | None = None


class _Which(Struct, frozen=True):
    """Only the job of a line that is wrong otherwise."""

    uuid: str


_decoder = msgspec.json.Decoder(EventBody)
_which_decoder = msgspec.json.Decoder(_Which)


class EventRoutes:
    """Takes events in."""

    def __init__(self, operations: Operations, guard: RequestGuard, limits: Limits) -> None:
        """Post through the operations."""
        self._events = operations.events
        self._guard = guard
        self._limits = limits

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.post("/v1/events", self.post)]

    async def post(self, request: web.Request) -> web.Response:
        """Take one event, or many."""
        if request.query_string and request.query.keys() - {"wait"}:
            return await self._post_parameters(request)
        if request.content_type == _NDJSON:
            return await self._post_lines(request)
        return await self._post_one(request)

    async def _post_one(self, request: web.Request) -> web.Response:
        body = await self._guard.json(request, self._limits.body_bytes)
        event = self._event(
            request,
            decode(_decoder, body),
            await self._principal(request),
            idempotency_key_of(request),
        )
        return await self._answer(event, _wait_of(request))

    async def _post_parameters(self, request: web.Request) -> web.Response:
        parameters = read_query(request, EventParameters)
        data = await self._guard.body(request, self._limits.body_bytes)
        if data:
            check_json(data)
            parse_json(data)
        fields = EventBody(
            uuid=parameters.uuid,
            name=parameters.name,
            token=parameters.token,
            data=Raw(data),
            id=parameters.id,
            time=parameters.time,
            source=parameters.source,
            attempt=parameters.attempt,
        )
        event = self._event(
            request, fields, await self._principal(request), idempotency_key_of(request)
        )
        wait = parameters.wait
        return await self._answer(event, _wait_of(request) if wait is None else wait)

    async def _principal(self, request: web.Request) -> Principal | None:
        api_key = credentials(request).api_key
        return await self._guard.principal(request, api_key) if api_key else None

    def _event(
        self,
        request: web.Request,
        fields: EventBody,
        principal: Principal | None,
        idempotency_key: str | None = None,
    ) -> Event:
        token = fields.token
        if token is None and principal is None:
            token = credentials(request).token
        try:
            return build_event(self._events, fields, fields.id or idempotency_key, token, principal)
        except Unauthorized as error:
            self._guard.slow_down(request)
            raise self._guard.failed(request, error) from error

    async def _answer(self, event: Event, wait_s: float | None) -> web.Response:
        outcome = await self._events.post(event, wait_s)
        if outcome is None:
            return answer(Accepted(event.id, event.job), 202)
        error = refusal_of(outcome)
        if error is not None:
            return problem(error)
        return answer(
            OutcomeView(
                outcome.event,
                outcome.job,
                applied=True,
                state=outcome.state,
                seq=outcome.seq,
                duplicate=outcome.duplicate,
            )
        )

    async def _post_lines(self, request: web.Request) -> web.Response:
        body = await self._guard.body(request, self._limits.ndjson_bytes)
        lines = [(number, line) for number, line in enumerate(body.split(b"\n"), 1) if line.strip()]
        if len(lines) > self._limits.ndjson_lines:
            detail = f"the request has more than {self._limits.ndjson_lines} lines"
            raise TooLarge(detail, limit=self._limits.ndjson_lines)
        principal = await self._principal(request)
        results: dict[int, LineResult] = {}
        events: list[tuple[int, Event]] = []
        failed: set[str] = set()
        for number, line in lines:
            try:
                fields = _line(line, self._limits.body_bytes)
                if failed and fields.uuid.lower() in failed:
                    raise _earlier_line_failed()
                events.append((number, self._event(request, fields, principal)))
            except JobwireError as error:
                results[number] = _failed_line(number, error)
                failed |= _job_of(line)
        wait_s = _wait_of(request)
        posted = await self._events.post_many([event for _, event in events], wait_s)
        for (number, event), result in zip(events, posted, strict=True):
            results[number] = _line_result(number, event, result)
        content = b"".join(encode(results[number]) + b"\n" for number in sorted(results))
        return web.Response(body=content, headers={"Content-Type": _NDJSON})


def build_event(
    events: Events,
    fields: EventBody,
    event_id: str | None,
    token: str | None,
    principal: Principal | None = None,
) -> Event:
    """Make the event that a client sent; its id may not be one that the service makes itself."""
    if event_id is not None and event_id.startswith(RESERVED_ID):
        detail = f"ids that begin with {RESERVED_ID!r} are reserved for the service; choose another"
        raise Invalid(detail, code="reserved_id", pointer="/id")
    return events.build(
        job=parse_job_id(fields.uuid),
        name=fields.name,
        token=token,
        principal=principal,
        data=bytes(fields.data) or None,
        event_id=event_id,
        occurred=fields.time,
        source=fields.source,
        attempt=fields.attempt,
    )


def _line(line: bytes, limit: int) -> EventBody:
    if len(line) > limit:
        raise TooLarge(f"the line has more than {limit} bytes", limit=limit)
    check_json(line)
    return decode(_decoder, line)


def _job_of(line: bytes) -> set[str]:
    """Return the job that a wrong line names, if that much of it can be read."""
    try:
        return {decode(_which_decoder, line).uuid.lower()}
    except JobwireError:
        return set()


def _earlier_line_failed() -> Conflict:
    detail = "an earlier line of this job failed; send both again, in their order"
    return Conflict(detail, code="earlier_line_failed")


def _failed_line(number: int, error: JobwireError) -> LineResult:
    document = problem_document(error)
    return LineResult(
        number, error.status, code=document.code, detail=document.detail, pointer=document.pointer
    )


def _line_result(number: int, event: Event, posted: Posted) -> LineResult:
    if posted.error is not None:
        return _failed_line(number, posted.error)
    outcome = posted.outcome
    if outcome is None:
        return LineResult(number, 202, event.job, event.id)
    error = refusal_of(outcome)
    if error is not None:
        return LineResult(
            number,
            error.status,
            event.job,
            event.id,
            outcome.seq,
            outcome.state,
            applied=False,
            reason=outcome.reason,
            code=error.code,
            detail=error.detail,
        )
    return LineResult(number, 200, event.job, event.id, outcome.seq, outcome.state, applied=True)


def _wait_of(request: web.Request) -> float | None:
    """Read how long the client wants to wait: `Prefer: wait=N` (RFC 7240), or `?wait=N`."""
    if request.query_string and "wait" in request.query:
        return read_query(request, _WaitOnly).wait
    prefer = request.headers.get("Prefer")
    found = _PREFER_WAIT.search(prefer) if prefer else None
    return min(float(found[1]), _MOST_WAIT_S) if found else None


class _WaitOnly(Struct, frozen=True):
    wait: Wait

"""
Executions: what has become of each message.

Nothing is stored for them. The id of an execution names the event, which stands in a history with
all that came of it; of a message that became no event the id itself holds the outcome, sealed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple, assert_never
from uuid import UUID

from aiohttp import web
from msgspec import Meta, Struct

from jobwire.actors.dialects.mounts import base_url
from jobwire.actors.dialects.pipelinejobs.access import ActorAuthenticator, VerifiedRequest
from jobwire.actors.dialects.pipelinejobs.answers import answer
from jobwire.actors.dialects.pipelinejobs.deferred_events import DeferredEvents, again
from jobwire.actors.dialects.pipelinejobs.early import is_repetition
from jobwire.actors.dialects.pipelinejobs.queries import read_query
from jobwire.actors.operations import Operations
from jobwire.schemas.cursors import Cursors
from jobwire.schemas.errors import Invalid, NotFound
from jobwire.schemas.identifiers import EventId, JobId
from jobwire.schemas.jobs import Entry
from jobwire.schemas.principals import Principal

#: Characters of the log that an id holds.
_MOST_LOG: Final = 500


class RefusedMessage(Struct, frozen=True, array_like=True, tag=1):
    """The outcome of a message that became no event."""

    at: datetime
    exit_code: int
    log: str


class ExecutionHandle(Struct, frozen=True, array_like=True, tag=0):
    """The event that a message became."""

    job: bytes
    event: EventId


class _ExecutionPage(Struct, frozen=True, kw_only=True):
    """Which executions, as the platform's other lists take it."""

    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100
    offset: Annotated[int, Meta(ge=0, le=10_000)] = 0


class ExecutionView(NamedTuple):
    """What has become of a message."""

    exit_code: int | None
    """None: it is not known yet."""
    log: str
    at: datetime | None = None
    state: str | None = None


def source_of(access: VerifiedRequest) -> str:
    """Name an actor as the source of what is reported through it."""
    return f"pipelinejobs:{access.actor.id}"


_KINDS: Final[type[ExecutionHandle | RefusedMessage]] = ExecutionHandle | RefusedMessage  # type: ignore[assignment]


class ExecutionRoutes:
    """Shows executions."""

    def __init__(
        self,
        operations: Operations,
        deferred_events: DeferredEvents,
        authenticator: ActorAuthenticator,
        cursors: Cursors,
    ) -> None:
        """Look events up; seal ids."""
        self._event_statuses = operations.event_statuses
        self._deferred_events = deferred_events
        self._authenticator = authenticator
        self._cursors = cursors

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        one = "/actors/v2/{actor}/executions/{eid}"
        return [
            web.get("/actors/v2/{actor}/executions", self.all),
            web.get(one, self.get),
            web.get(f"{one}/logs", self.logs),
        ]

    def of_event(self, access: VerifiedRequest, job: JobId, event: EventId) -> str:
        """Return the id of the execution of a message that became an event."""
        return self._cursors.write(
            ExecutionHandle(bytes.fromhex(job.replace("-", "")), event), _listed(access)
        )

    def of_saying(self, access: VerifiedRequest, at: datetime, exit_code: int, log: str) -> str:
        """Return the id of the execution of a message that became none."""
        return self._cursors.write(RefusedMessage(at, exit_code, log[:_MOST_LOG]), _listed(access))

    async def all(self, request: web.Request) -> web.Response:
        """List executions of events, the newest first; totals are of those that are listed."""
        access = await self._authenticator.admit(request, "READ")
        wanted = read_query(request, _ExecutionPage)
        newest = await self._event_statuses.newest(
            access.principal, source_of(access), wanted.offset + wanted.limit
        )
        found = newest[wanted.offset :]
        documents = []
        for entry in found:
            shown = await self._of_entry(access.principal, entry)
            eid = self.of_event(access, entry.job, entry.id)
            documents.append(_document(request, access, eid, shown))
        totals = {"totalExecutions": len(found), "totalRuntime": 0, "totalCpu": 0, "totalIo": 0}
        links = links_of(request, access, "")
        shown_links = {"self": links["self"].rstrip("/"), "owner": links["owner"]}
        return answer(
            {**totals, "actorId": access.actor.id, "executions": documents, "_links": shown_links}
        )

    async def get(self, request: web.Request) -> web.Response:
        """Return one execution."""
        access, eid, shown = await self._found(request)
        return answer(_document(request, access, eid, shown))

    async def logs(self, request: web.Request) -> web.Response:
        """Return what an execution has to say."""
        access, eid, shown = await self._found(request)
        return answer({"logs": shown.log, "_links": links_of(request, access, eid)})

    async def _found(self, request: web.Request) -> tuple[VerifiedRequest, str, ExecutionView]:
        access = await self._authenticator.admit(request, "READ")
        eid = request.match_info["eid"]
        try:
            found = self._cursors.read(eid, _listed(access), _KINDS)
        except Invalid as error:
            detail = "there is no execution with this id"
            raise NotFound(detail, code="unknown_execution") from error
        match found:
            case RefusedMessage(at, exit_code, log):
                return access, eid, ExecutionView(exit_code, f"{log}\n", at)
            case ExecutionHandle(job, event):
                job_id = JobId(str(UUID(bytes=job)))
                return access, eid, await self._of_event(access.principal, job_id, event)
            case never:
                assert_never(never)

    async def _of_event(self, principal: Principal, job: JobId, event: EventId) -> ExecutionView:
        status = await self._event_statuses.get(principal, job, event)
        if status.entry is not None:
            return await self._of_entry(principal, status.entry)
        if status.refusal is not None:
            refusal = status.refusal
            return ExecutionView(
                1, f"{refusal.name}: refused: {refusal.reason}\n", refusal.received
            )
        if status.is_known:
            return ExecutionView(0, "applied; the job has been deleted since\n")
        return ExecutionView(None, "")

    async def _of_entry(self, principal: Principal, entry: Entry) -> ExecutionView:
        """Return the view of an event that is in a history, or is deferred."""
        log = _log(entry)
        if entry.applied or is_repetition(entry.state, entry.name):
            return ExecutionView(0, log, entry.received, entry.state)
        later = (await self._event_statuses.get(principal, entry.job, again(entry.id))).entry
        if later is not None:
            code = 0 if later.applied else 1
            waited = "" if later.applied else f"{entry.name}: its time to wait is over\n"
            return ExecutionView(code, log + waited + _log(later), entry.received, later.state)
        waiting = await self._deferred_events.of_job(principal, entry.job)
        if any(each.event == entry.id for each in waiting):
            return ExecutionView(None, f"{log}{entry.name}: waits until it fits\n", entry.received)
        return ExecutionView(1, log, entry.received, entry.state)


def _document(
    request: web.Request, access: VerifiedRequest, eid: str, shown: ExecutionView
) -> dict[str, Any]:
    """Write an execution; an event is handled in no time, so all its times are one."""
    is_over = shown.exit_code is not None
    return {
        "id": eid,
        "actorId": access.actor.id,
        "executor": access.principal.name,
        "workerId": "jobwire",
        "messageReceivedTime": shown.at,
        "startTime": shown.at,
        "finishTime": shown.at if is_over else None,
        "runtime": 0,
        "cpu": 0,
        "io": 0,
        "status": "COMPLETE" if is_over else "SUBMITTED",
        "exitCode": shown.exit_code,
        "finalState": {"jobState": shown.state} if is_over and shown.state else {},
        "_links": links_of(request, access, eid),
    }


def _listed(access: VerifiedRequest) -> str:
    return f"execution {access.principal.name} {access.actor.id}"


def _log(entry: Entry) -> str:
    what = f"applied; the job is {entry.state}"
    if not entry.applied:
        what = f"not applied ({entry.reason}); the job is {entry.state}"
    return f"{entry.received.isoformat()} {entry.name}: {what}\n"


def links_of(request: web.Request, access: VerifiedRequest, eid: str) -> dict[str, str]:
    """Return the links of an execution."""
    actor = f"{base_url(request)}/actors/v2/{access.name}"
    return {
        "self": f"{actor}/executions/{eid}",
        "owner": actor,
        "messages": f"{actor}/messages",
        "logs": f"{actor}/executions/{eid}/logs",
    }

"""`/actors/v2/{actor}/messages`: where messages arrive, and those that wait."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

from aiohttp import web

from jobwire.actors.dialects.pipelinejobs.access import ActorAuthenticator, VerifiedRequest
from jobwire.actors.dialects.pipelinejobs.answers import answer, problem
from jobwire.actors.dialects.pipelinejobs.content import read_content
from jobwire.actors.dialects.pipelinejobs.deferred_events import DeferredEvents
from jobwire.actors.dialects.pipelinejobs.event_reporter import EventReporter
from jobwire.actors.dialects.pipelinejobs.executions import (
    ExecutionRoutes,
    links_of,
    source_of,
)
from jobwire.actors.dialects.pipelinejobs.job_creation import JobMessages
from jobwire.actors.dialects.pipelinejobs.messages import (
    CreateMessage,
    DeleteMessage,
    EventMessage,
    read_message,
)
from jobwire.actors.dialects.request_guard import RequestGuard, idempotency_key_of
from jobwire.actors.operations.events import Events
from jobwire.schemas.errors import Conflict, Forbidden, Invalid, JobwireError, NotFound

#: What the original answers 200 to, and lets its execution fail.
_PROVABLE: Final = (Invalid, Forbidden, NotFound, Conflict)


class MessageRoutes:
    """Takes messages in."""

    def __init__(
        self,
        *,
        events: Events,
        deferred_events: DeferredEvents,
        guard: RequestGuard,
        authenticator: ActorAuthenticator,
        executions: ExecutionRoutes,
        reporter: EventReporter,
        maker: JobMessages,
        limit: int,
        strict_upstream: bool,
    ) -> None:
        """Report events, make and delete jobs; bodies have at most `limit` bytes."""
        self._deferred_events = deferred_events
        self._events = events
        self._guard = guard
        self._authenticator = authenticator
        self._executions = executions
        self._reporter = reporter
        self._maker = maker
        self._limit = limit
        self._is_strict = strict_upstream

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        path = "/actors/v2/{actor}/messages"
        return [
            web.post(path, self.post),
            web.get(path, self.count),
            web.delete(path, self.purge),
        ]

    async def post(self, request: web.Request) -> web.Response:
        """Take a message; the answer is its outcome."""
        access = await self._authenticator.admit(request, "EXECUTE", await self._use(request))
        content = await read_content(request, self._guard, self._limit)
        given = request.query if request.query_string else {}
        query = {name: given[name] for name in given}  # of a repeated key the first one
        try:
            message = read_message(content, query)
            match message:
                case EventMessage():
                    return await self._report(request, access, message)
                case DeleteMessage():
                    more: dict[str, Any] = {}
                    said = await self._maker.delete(request, access, message)
                case CreateMessage():
                    said, more = await self._maker.create(request, access, message)
        except _PROVABLE as error:
            if not self._is_strict:
                raise
            return self._failed(request, access, error)
        eid = self._executions.of_saying(access, self._events.now(), 0, said)
        return self._done(request, access, eid, said, more)

    async def _use(self, request: web.Request) -> str | None:
        """
        Return what a nonce knows a request by that may be repeated: its key with all that it says.

        The key alone would let one use stand for any number of different messages.
        """
        key = idempotency_key_of(request)
        if key is None:
            return None
        body = await self._guard.body(request, self._limit)
        said = f"{key}\0{request.path_qs}\0".encode() + body
        return blake2b(said, digest_size=12).hexdigest()

    async def _report(
        self, request: web.Request, access: VerifiedRequest, message: EventMessage
    ) -> web.Response:
        result = await self._reporter.report(
            request, access, message, idempotency_key_of(request), source_of(access)
        )
        eid = self._executions.of_event(access, message.job, result.event)
        if result.error is None:
            return self._done(request, access, eid, result.message, result.details or {})
        if self._is_strict:
            return self._done(request, access, eid, "the message was queued", {})
        ids = {"executionId": eid, "execution_id": eid}
        return problem(result.error, {"code": result.error.code, **(result.details or {}), **ids})

    async def count(self, request: web.Request) -> web.Response:
        """Count the deferred messages of the actor: events that came too early."""
        access = await self._authenticator.admit(request, "READ")
        waiting = await self._deferred_events.of_source(access.principal, source_of(access))
        return answer({"messages": len(waiting), "_links": _links(request, access)})

    async def purge(self, request: web.Request) -> web.Response:
        """Remove all deferred events of the actor; they count as refused."""
        access = await self._authenticator.admit(request, "UPDATE")
        for deferred in await self._deferred_events.of_source(access.principal, source_of(access)):
            await self._deferred_events.drop(access.principal, deferred)
        return answer({"msg": "Actor mailbox purged.", "_links": _links(request, access)})

    def _done(
        self,
        request: web.Request,
        access: VerifiedRequest,
        eid: str,
        said: str,
        more: dict[str, Any],
    ) -> web.Response:
        ids = {"executionId": eid, "execution_id": eid}
        links = links_of(request, access, eid)
        return answer({**ids, "msg": said, **more, "_links": links}, said)

    def _failed(
        self, request: web.Request, access: VerifiedRequest, error: JobwireError
    ) -> web.Response:
        eid = self._executions.of_saying(
            access, self._events.now(), 1, f"{error.code}: {error.detail}"
        )
        return self._done(request, access, eid, "the message was queued", {})


def _links(request: web.Request, access: VerifiedRequest) -> dict[str, str]:
    links = links_of(request, access, "")
    return {"self": links["messages"], "owner": links["owner"]}

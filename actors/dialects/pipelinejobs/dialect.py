"""
The language of the SD2E PipelineJobs manager, behind the actor API of Abaco.

A message is an event, a platform's callback, or the order to make or delete a job; each is answered
with its outcome and has an execution that can be looked up later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from aiohttp import web

from jobwire.actors.dialects.base import DialectActor, DialectContext, ForeignDialect, Notice
from jobwire.actors.dialects.pipelinejobs.access import ActorAuthenticator
from jobwire.actors.dialects.pipelinejobs.actor_routes import ActorRoutes
from jobwire.actors.dialects.pipelinejobs.answers import problem
from jobwire.actors.dialects.pipelinejobs.authority import Authority
from jobwire.actors.dialects.pipelinejobs.deferred_event_retrier import DeferredEventRetrier
from jobwire.actors.dialects.pipelinejobs.deferred_event_sender import DeferredEventSender
from jobwire.actors.dialects.pipelinejobs.event_reporter import EventReporter
from jobwire.actors.dialects.pipelinejobs.executions import ExecutionRoutes
from jobwire.actors.dialects.pipelinejobs.inbox import MessageRoutes
from jobwire.actors.dialects.pipelinejobs.job_creation import INDEXING, JobMessages
from jobwire.actors.dialects.pipelinejobs.jobs import JobListRoutes
from jobwire.actors.dialects.pipelinejobs.nonce_routes import NonceRoutes
from jobwire.actors.dialects.pipelinejobs.settings import PipelineJobs
from jobwire.actors.dialects.pipelinejobs.state import DialectState
from jobwire.schemas.deliveries import Subscription
from jobwire.schemas.errors import JobwireError
from jobwire.schemas.jobs import Entry, Job
from jobwire.schemas.lifecycles.pipeline import PIPELINE

#: How often all events that wait are looked at: so late may the end of their time be noticed.
_LOOK_S: Final = 15.0


class PipelineJobsDialect(ForeignDialect):
    """The language of the PipelineJobs manager."""

    name = "pipelinejobs"

    def __init__(self, context: DialectContext[PipelineJobs]) -> None:
        """Make the groups of routes over the operations and the state of the dialect."""
        operations, settings, guard = context.operations, context.own, context.guard
        state = DialectState.of(context)
        authenticator = ActorAuthenticator(state, guard)
        executions = ExecutionRoutes(
            operations, state.deferred_events, authenticator, context.cursors
        )
        authority = Authority(operations.jobs, state.actors, guard)
        event_sender = DeferredEventSender(operations, state.deferred_events, settings.park_s)
        reporter = EventReporter(
            operations, state.deferred_events, authority, event_sender, settings.early
        )
        messages = MessageRoutes(
            events=operations.events,
            deferred_events=state.deferred_events,
            guard=guard,
            authenticator=authenticator,
            executions=executions,
            reporter=reporter,
            maker=JobMessages(operations.jobs, state, authority, settings),
            limit=context.settings.limits.body_bytes,
            strict_upstream=settings.strict_upstream,
        )
        self._groups = (
            messages,
            executions,
            NonceRoutes(state.nonces, guard, authenticator, settings.tenant),
            JobListRoutes(
                operations.jobs, state.visibility, authenticator, reporter, settings.tenant
            ),
        )
        self._native = ActorRoutes(state.actors, guard, context.settings.limits)
        self._context = context
        self._state = state
        self._event_sender = event_sender

    def routes(self) -> Iterable[web.RouteDef]:
        """Return all routes."""
        return [route for group in self._groups for route in group.routes()]

    def problem(self, error: JobwireError) -> web.Response:
        """Answer what went wrong in the envelope."""
        return problem(error)

    async def callback(self, job: Job, entry: Entry, subscription: Subscription) -> Notice | None:
        """Notify the indexer of what it is to do, and the events hub of every event."""
        if subscription.interest.events == INDEXING:
            return Notice(msgspec.json.encode({"uuid": job.id, "name": entry.name}))
        news = {
            "job_uuid": job.id,
            "event_name": entry.name,
            "job_state": entry.state,
            "data": {"last_event": entry.name},
        }
        return Notice(msgspec.json.encode(news))

    def native_routes(self) -> Iterable[web.RouteDef]:
        """Return `/v1/actors`."""
        return self._native.routes()

    def actors(self) -> Sequence[DialectActor]:
        """Return the retrier of deferred events, where events may be deferred."""
        if self._context.own.early != "park":
            return ()
        return (DialectActor(self._retrier, role="waker"),)

    def _retrier(self) -> DeferredEventRetrier:
        return DeferredEventRetrier(
            self._context.feed,
            self._state.deferred_events,
            PIPELINE.name,
            self._event_sender.resend_all,
            look_s=min(_LOOK_S, self._context.own.park_s),
        )

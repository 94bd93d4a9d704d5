"""
The language of the SD2E PipelineJobs manager, behind the actor API of Abaco.

A message is an event, a platform's callback, or the order to make or delete a job; each is answered
with its outcome and has an execution that can be looked up later.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from aiohttp import web

from jobwire.actors.dialects.base import Notice, RequestGuard
from jobwire.actors.dialects.pipelinejobs.access import ActorAuthenticator
from jobwire.actors.dialects.pipelinejobs.answers import problem
from jobwire.actors.dialects.pipelinejobs.authority import Authority
from jobwire.actors.dialects.pipelinejobs.deferred_event_sender import DeferredEventSender
from jobwire.actors.dialects.pipelinejobs.event_reporter import EventReporter
from jobwire.actors.dialects.pipelinejobs.executions import ExecutionRoutes
from jobwire.actors.dialects.pipelinejobs.inbox import MessageRoutes
from jobwire.actors.dialects.pipelinejobs.job_creation import INDEXING, JobMessages
from jobwire.actors.dialects.pipelinejobs.jobs import JobListRoutes
from jobwire.actors.dialects.pipelinejobs.nonces import NonceRoutes
from jobwire.actors.operations import Operations
from jobwire.actors.runtime.dialects import PipelineJobs
from jobwire.schemas.cursors import Cursors
from jobwire.schemas.deliveries import Subscription
from jobwire.schemas.errors import JobwireError
from jobwire.schemas.jobs import Entry, Job


class PipelineJobsDialect:
    """The language of the PipelineJobs manager."""

    name = "pipelinejobs"

    def __init__(
        self,
        operations: Operations,
        guard: RequestGuard,
        settings: PipelineJobs,
        cursors: Cursors,
        body_bytes: int,
    ) -> None:
        """Make the groups of routes over the operations."""
        entrance = ActorAuthenticator(operations, guard)
        executions = ExecutionRoutes(operations, entrance, cursors)
        authority = Authority(operations, guard)
        resender = DeferredEventSender(operations, settings.park_s)
        reporter = EventReporter(operations, authority, resender, settings.early)
        maker = JobMessages(operations, authority, settings)
        messages = MessageRoutes(
            operations,
            guard,
            entrance,
            executions,
            reporter,
            maker,
            limit=body_bytes,
            strict_upstream=settings.strict_upstream,
        )
        self._groups = (
            messages,
            executions,
            NonceRoutes(operations, guard, entrance, settings.tenant),
            JobListRoutes(operations, entrance, reporter, settings.tenant),
        )

    def routes(self) -> Iterable[web.RouteDef]:
        """Return all routes."""
        return [route for group in self._groups for route in group.routes()]

    def problem(self, error: JobwireError) -> web.Response:
        """Answer what went wrong in the envelope."""
        return problem(error)

    async def callback(self, job: Job, entry: Entry, subscription: Subscription) -> Notice | None:
        """Tell an indexer what it is to do, and the events hub of every event."""
        if subscription.interest.events == INDEXING:
            return Notice(msgspec.json.encode({"uuid": job.id, "name": entry.name}))
        news = {
            "job_uuid": job.id,
            "event_name": entry.name,
            "job_state": entry.state,
            "data": {"last_event": entry.name},
        }
        return Notice(msgspec.json.encode(news))

"""Jobs that are made and deleted by messages."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from aiohttp import web
from msgspec import Raw

from jobwire.actors.dialects.mounts import base_url
from jobwire.actors.dialects.pipelinejobs.access import VerifiedRequest
from jobwire.actors.dialects.pipelinejobs.authority import Authority
from jobwire.actors.dialects.pipelinejobs.messages import CreateMessage, DeleteMessage
from jobwire.actors.dialects.pipelinejobs.record import job_uuid, record_of
from jobwire.actors.dialects.pipelinejobs.settings import PipelineJobs
from jobwire.actors.dialects.pipelinejobs.state import DialectState
from jobwire.actors.operations.job_creation import JobRequest
from jobwire.actors.operations.jobs import Jobs
from jobwire.actors.operations.keys import require
from jobwire.schemas.codec import canonical
from jobwire.schemas.deliveries import Callback
from jobwire.schemas.lifecycles.pipeline import PIPELINE

#: Events that an indexer is notified of.
INDEXING: Final = ("index", "indexed")


class JobMessages:
    """Makes and deletes jobs."""

    def __init__(
        self, jobs: Jobs, state: DialectState, authority: Authority, settings: PipelineJobs
    ) -> None:
        """Make jobs of the lifecycle `pipeline`."""
        self._jobs = jobs
        self._state = state
        self._authority = authority
        self._settings = settings

    async def create(
        self, request: web.Request, access: VerifiedRequest, message: CreateMessage
    ) -> tuple[str, dict[str, Any]]:
        """
        Make a job, or find the one of the same work; it is hidden no more.

        Returns:
            What to say, and the job's uuid, its token and the URL to report to.

        Raises:
            Forbidden: the caller may not make jobs.

        """
        require(access.principal, "jobs")
        record = msgspec.json.encode(record_of(message))
        work = [message.pipeline_uuid, sorted(message.child_of), message.data]
        same = canonical(msgspec.json.encode(work)).decode()
        job = job_uuid(self._jobs.derived_id(access.principal, f"pipelinejobs {same}"))
        wanted = JobRequest(
            name=message.session,
            tags=(f"pipeline:{message.pipeline_uuid}",),
            data=Raw(record),
            deadline_s=message.options.deadline_s,
            heartbeat_s=message.options.heartbeat_s,
            callbacks=self._callbacks(),
        )
        made = await self._jobs.create(
            access.principal, wanted, None, dialect="pipelinejobs", job=job
        )
        if await self._state.visibility.is_hidden(access.principal, job):
            await self._state.visibility.show(access.principal, job)
        parameters = {"token": made.token, "uuid": job, "session": message.session or ""}
        url = f"{base_url(request)}/actors/v2/{access.name}/messages?{urlencode(parameters)}"
        said = f"the job {job} was {'there already' if made.is_repeat else 'created'}"
        return said, {
            "uuid": job,
            "token": made.token,
            "webhook": url,
            "created": not made.is_repeat,
        }

    async def delete(
        self, request: web.Request, access: VerifiedRequest, message: DeleteMessage
    ) -> str:
        """
        Remove a job, or hide it; return what to say.

        Raises:
            Forbidden: its token is wrong, or only administrators may delete.
            NotFound: there is no such job.
            Conflict: it runs here and has not ended.

        """
        owner = await self._authority.of_delete(
            request,
            access,
            message.job,
            message.token,
            by_token=self._settings.delete_by == "token",
        )
        if not message.force:
            await self._state.visibility.hide(owner, message.job)
            return f"the job {message.job} is hidden"
        await self._jobs.delete(owner, message.job, force=True)
        await self._state.visibility.show(owner, message.job)
        for deferred in await self._state.deferred_events.of_job(owner, message.job):
            await self._state.deferred_events.drop(owner, deferred)
        return f"the job {message.job} is deleted"

    def _callbacks(self) -> tuple[Callback, ...]:
        hub, indexer = self._settings.events_hub, self._settings.indexer
        told = [Callback(url=hub, events=tuple(PIPELINE.events))] if hub else []
        return (*told, *([Callback(url=indexer, events=INDEXING)] if indexer else []))

"""Reading jobs: what the original left to its database and its logs."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from msgspec import Meta, Struct

from jobwire.actors.dialects.mounts import base_url
from jobwire.actors.dialects.pipelinejobs.access import ActorAuthenticator, VerifiedRequest
from jobwire.actors.dialects.pipelinejobs.answers import answer
from jobwire.actors.dialects.pipelinejobs.event_reporter import EventReporter
from jobwire.actors.dialects.pipelinejobs.messages import uuid_of
from jobwire.actors.dialects.pipelinejobs.queries import read_query
from jobwire.actors.dialects.pipelinejobs.record import (
    history_entry,
    is_shown,
    job_document,
    short_document,
    stored_record,
)
from jobwire.actors.dialects.pipelinejobs.visibility import Visibility
from jobwire.actors.operations.jobs import Jobs
from jobwire.actors.stores.base import JobFilter
from jobwire.schemas.errors import Invalid, NotFound
from jobwire.schemas.identifiers import JobId, Name
from jobwire.schemas.jobs import Entry, Job

#: Events that a job is shown with; there are more at its history.
_MOST_SHOWN = 1_000
_PAGE = 500
#: Pages that are read for one page of a list; there are more where most jobs are hidden.
_MOST_PAGES = 20


class JobListQuery(Struct, frozen=True, kw_only=True):
    """Which jobs, and which page of them."""

    state: Name | None = None
    pipeline_uuid: Name | None = None
    session: Name | None = None
    cursor: str | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 50


class JobListRoutes:
    """Shows jobs."""

    def __init__(
        self,
        jobs: Jobs,
        visibility: Visibility,
        authenticator: ActorAuthenticator,
        reporter: EventReporter,
        tenant: str,
    ) -> None:
        """Read through the operations."""
        self._jobs = jobs
        self._visibility = visibility
        self._authenticator = authenticator
        self._reporter = reporter
        self._tenant = tenant

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/actors/v2/{actor}", self.actor),
            web.get("/actors/v2/{actor}/jobs", self.all),
            web.get("/actors/v2/{actor}/jobs/{uuid}", self.get),
            web.get("/actors/v2/{actor}/jobs/{uuid}/history", self.history),
        ]

    async def actor(self, request: web.Request) -> web.Response:
        """Return the actor itself."""
        access = await self._authenticator.admit(request, "READ")
        actor = access.actor
        url = f"{base_url(request)}/actors/v2/{access.name}"
        return answer(
            {
                "id": actor.id,
                "owner": actor.owner,
                "description": actor.description,
                "aliases": actor.aliases,
                "createTime": actor.created,
                "status": "READY",
                "_links": {"self": url, "messages": f"{url}/messages", "jobs": f"{url}/jobs"},
            }
        )

    async def all(self, request: web.Request) -> web.Response:
        """List jobs, newest first; hidden ones are left out."""
        access = await self._authenticator.admit(request, "READ")
        query = read_query(request, JobListQuery)
        which = JobFilter(
            state=query.state,
            lifecycle="pipeline",
            tag=f"pipeline:{query.pipeline_uuid}" if query.pipeline_uuid else None,
            words=(query.session,) if query.session else (),
        )
        cursor, shown = query.cursor, list[Job]()
        for _ in range(_MOST_PAGES):
            page = await self._jobs.find(access.principal, which, cursor, query.limit - len(shown))
            cursor = page.cursor
            shown += [
                job
                for job in page.jobs
                if not await self._visibility.is_hidden(access.principal, job.id)
            ]
            if cursor is None or len(shown) >= query.limit:
                break
        return answer({"jobs": [short_document(job) for job in shown], "next": cursor})

    async def get(self, request: web.Request) -> web.Response:
        """Return one job, with the events that were applied to it."""
        access, job = await self._job(request)
        origin = await self._jobs.origin(access.principal, job)
        history, cursor = await self._applied(access, job.id, None, _MOST_SHOWN)
        document = job_document(
            job,
            stored_record(origin.data),
            history,
            tenant=self._tenant,
            is_visible=not await self._visibility.is_hidden(access.principal, job.id),
            is_complete=cursor is None,
        )
        url = f"{base_url(request)}/actors/v2/{access.name}/jobs/{job.id}"
        links = {"self": url, "history": f"{url}/history"}
        return answer({**document, "history_complete": cursor is None, "_links": links})

    async def history(self, request: web.Request) -> web.Response:
        """Return a page of a job's history, oldest first."""
        access, job = await self._job(request)
        query = read_query(request, JobListQuery)
        entries, cursor = await self._applied(access, job.id, query.cursor, query.limit)
        return answer({"history": [history_entry(each) for each in entries], "next": cursor})

    async def _job(self, request: web.Request) -> tuple[VerifiedRequest, Job]:
        access = await self._authenticator.admit(request, "READ")
        try:
            uuid = uuid_of(request.match_info["uuid"])
        except Invalid as error:
            raise NotFound("there is no job with this uuid", code="unknown_job") from error
        await self._jobs.get(access.principal, uuid)
        await self._reporter.catch_up(access.principal, uuid)
        return access, await self._jobs.get(access.principal, uuid)

    async def _applied(
        self, access: VerifiedRequest, job: JobId, cursor: str | None, limit: int
    ) -> tuple[list[Entry], str | None]:
        """Return a page of applied entries; a shorter one is the last."""
        found: list[Entry] = []
        while True:
            page, cursor = await self._jobs.history(
                access.principal, job, cursor, min(_PAGE, limit - len(found))
            )
            found += [entry for entry in page if is_shown(entry)]
            if cursor is None or len(found) >= limit:
                return found, cursor

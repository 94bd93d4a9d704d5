"""`/v1/jobs`: make, read, list and delete jobs; their history and their token."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from jobwire.actors.dialects.mounts import base_url
from jobwire.actors.dialects.native.answers import (
    answer,
    entry_view,
    full_job_view,
    job_view,
    new_callback_view,
    page,
)
from jobwire.actors.dialects.native.events import Moment
from jobwire.actors.dialects.queries import NoQuery, read_query
from jobwire.actors.dialects.request_guard import RequestGuard, idempotency_key_of
from jobwire.actors.operations import Operations
from jobwire.actors.operations.job_creation import JobRequest
from jobwire.actors.operations.jobs import NewJob
from jobwire.actors.runtime.settings import Limits
from jobwire.actors.stores.base import JobFilter
from jobwire.schemas.codec import decode
from jobwire.schemas.errors import Invalid, NotFound
from jobwire.schemas.identifiers import JobId, Name, Tag, parse_job_id
from jobwire.schemas.lifecycle import JobOutcome
from jobwire.schemas.views import CreatedView, RotatedView

Limit = Annotated[int, Meta(ge=1, le=500)]
HistoryLimit = Annotated[int, Meta(ge=1, le=1000)]


class JobsQuery(Struct, frozen=True, kw_only=True):
    """Which jobs, and which page of them."""

    state: Name | None = None
    outcome: JobOutcome | None = None
    tag: Tag | None = None
    lifecycle: Name | None = None
    parent: str | None = None
    since: Moment | None = None
    until: Moment | None = None
    q: Name | None = None
    cursor: str | None = None
    limit: Limit = 50


class HistoryQuery(Struct, frozen=True, kw_only=True):
    """Which page of a history."""

    cursor: str | None = None
    limit: HistoryLimit = 100


class DeleteQuery(Struct, frozen=True, kw_only=True):
    """Whether a job that has not ended may go too."""

    force: bool = False


class RotateBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the previous token stays good."""

    overlap_s: Annotated[float, Meta(ge=0, le=30 * 86_400)] | None = None


_request_decoder = msgspec.json.Decoder(JobRequest)
_rotate_decoder = msgspec.json.Decoder(RotateBody)


class JobRoutes:
    """Makes and reads jobs."""

    def __init__(
        self, operations: Operations, guard: RequestGuard, limits: Limits, token_overlap_s: float
    ) -> None:
        """Call the operations."""
        self._jobs = operations.jobs
        self._deliveries = operations.deliveries
        self._guard = guard
        self._limits = limits
        self._token_overlap_s = token_overlap_s

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post("/v1/jobs", self.create),
            web.get("/v1/jobs", self.find),
            web.get("/v1/jobs/{id}", self.get),
            web.delete("/v1/jobs/{id}", self.delete),
            web.get("/v1/jobs/{id}/history", self.history),
            web.post("/v1/jobs/{id}/token", self.rotate_token),
            web.delete("/v1/jobs/{id}/token", self.revoke_tokens),
            web.get("/v1/stats", self.stats),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """Make a job."""
        read_query(request, NoQuery)
        principal = await self._guard.caller(request, "jobs")
        wanted = decode(_request_decoder, await self._guard.json(request, self._limits.body_bytes))
        base = base_url(request)
        made = await self._jobs.create(principal, wanted, idempotency_key_of(request))
        return created(base, made)

    async def find(self, request: web.Request) -> web.Response:
        """List jobs, newest first."""
        principal = await self._guard.caller(request, "read")
        query = read_query(request, JobsQuery)
        which = JobFilter(
            state=query.state,
            outcome=query.outcome,
            tag=query.tag,
            lifecycle=query.lifecycle,
            parent=parse_job_id(query.parent, "/parent") if query.parent else None,
            since=query.since,
            until=query.until,
            words=(query.q,) if query.q else (),
        )
        found = await self._jobs.find(principal, which, query.cursor, query.limit)
        return page([job_view(job) for job in found.jobs], found.cursor)

    async def get(self, request: web.Request) -> web.Response:
        """Return one job, with the data that it was made with."""
        read_query(request, NoQuery)
        principal = await self._guard.caller(request, "read")
        job = await self._jobs.get(principal, job_id_of(request))
        origin = await self._jobs.origin(principal, job)
        return answer(full_job_view(job, origin, await self._deliveries.of_job(job)))

    async def delete(self, request: web.Request) -> web.Response:
        """Delete a job."""
        principal = await self._guard.caller(request, "jobs")
        query = read_query(request, DeleteQuery)
        await self._jobs.delete(principal, job_id_of(request), force=query.force)
        return web.Response(status=204)

    async def history(self, request: web.Request) -> web.Response:
        """Return a page of a job's history, oldest first."""
        principal = await self._guard.caller(request, "read")
        query = read_query(request, HistoryQuery)
        entries, cursor = await self._jobs.history(
            principal, job_id_of(request), query.cursor, query.limit
        )
        return page([entry_view(entry) for entry in entries], cursor)

    async def rotate_token(self, request: web.Request) -> web.Response:
        """Return the job a new token; the previous one stays good for a while."""
        principal = await self._guard.caller(request, "jobs")
        wanted = RotateBody()
        if request.can_read_body:
            wanted = decode(
                _rotate_decoder, await self._guard.json(request, self._limits.body_bytes)
            )
        overlap_s = self._token_overlap_s if wanted.overlap_s is None else wanted.overlap_s
        job_id, base = job_id_of(request), base_url(request)
        token = await self._jobs.rotate_token(principal, job_id, overlap_s)
        webhook = webhook_url(base, job_id, token)
        return answer(
            RotatedView(id=job_id, token=token, webhook=webhook, previous_valid_for_s=overlap_s)
        )

    async def revoke_tokens(self, request: web.Request) -> web.Response:
        """End every token of a job at once."""
        principal = await self._guard.caller(request, "jobs")
        await self._jobs.rotate_token(principal, job_id_of(request), 0.0)
        return web.Response(status=204)

    async def stats(self, request: web.Request) -> web.Response:
        """Count jobs by lifecycle and state."""
        read_query(request, NoQuery)
        principal = await self._guard.caller(request, "read")
        counts = await self._jobs.count(principal)
        total = {
            "jobs": sum(count.jobs for count in counts),
            "at_least": any(count.at_least for count in counts),
        }
        return answer({**total, "by_state": counts})


def created(base: str, made: NewJob) -> web.Response:
    """Answer a job that was made: all that its platform needs to report on it."""
    url = f"{base}/v1/jobs/{made.id}"
    view = CreatedView(
        id=made.id,
        token=made.token,
        state=made.state,
        webhook=webhook_url(base, made.id, made.token),
        job=url,
        history=f"{url}/history",
        stream=f"{url}/stream",
        callbacks=tuple(
            new_callback_view(each, is_repeat=made.is_repeat) for each in made.subscriptions
        ),
    )
    headers = {"Location": f"/v1/jobs/{made.id}"}
    if made.is_repeat:
        headers["Idempotent-Replayed"] = "true"
    return answer(view, 202 if made.state is None else 201, headers)


def webhook_url(base: str, job_id: JobId, token: str) -> str:
    """Return the ready-made URL that a platform posts to; it adds `&name=` and the event."""
    return f"{base}/v1/events?{urlencode({'uuid': job_id, 'token': token})}"


def job_id_of(request: web.Request) -> JobId:
    """Read the job id in the path; one that cannot be any job's is simply not there."""
    try:
        return parse_job_id(request.match_info["id"])
    except Invalid as error:
        raise NotFound("there is no job with this id", code="unknown_job") from error

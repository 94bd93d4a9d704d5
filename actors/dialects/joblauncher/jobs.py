"""`/job`: submit with staged inputs, list, show, cancel."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final
from urllib.parse import unquote

from aiohttp import web

from actors.dialects.base import Door, base_url, is_json
from actors.dialects.joblauncher.access import Access, check_accept
from actors.dialects.joblauncher.asking import TAG, Launchers, in_own_words, job_request
from actors.dialects.joblauncher.comments import without_comments
from actors.dialects.joblauncher.logins import without_login
from actors.dialects.joblauncher.requests import LaunchRequest, echo, read_request, reread
from actors.dialects.joblauncher.statuses import is_unstarted, status_of
from actors.dialects.problems import encode
from actors.operations import Operations
from actors.runtime.dialects import Joblauncher
from actors.runtime.settings import Settings
from actors.stores.base import JobFilter
from schemas.codec import check_json
from schemas.errors import (
    Conflict,
    Invalid,
    NotFound,
    Unavailable,
    UnsupportedMedia,
)
from schemas.identifiers import JobId, parse_job_id
from schemas.jobs import Entry, Job
from schemas.principals import Principal

#: The name of the dialect, which its jobs carry.
NAME: Final = "joblauncher"

#: Longest time that the inputs of a job may take to come in before its submission is given up.
_STAGING_S: Final = 3_600.0
#: How much longer than the grace of a job that is ended a DELETE waits for its end.
_MARGIN_S: Final = 5.0
#: Jobs of one page of the list.
_PAGE: Final = 500
#: States in which the inputs of a job are not in place.
_BEFORE_STAGED: Final = ("CREATED", "STAGING")


class JobRoutes:
    """Serves `/job`."""

    def __init__(
        self, operations: Operations, door: Door, access: Access, settings: Settings
    ) -> None:
        """Call the operations."""
        self._operations = operations
        self._door = door
        self._access = access
        self._body_bytes = settings.limits.body_bytes
        self._cancel_s = settings.local.grace_s + _MARGIN_S
        self._settings: Joblauncher = settings.dialects.joblauncher
        self._launchers = Launchers(self._settings)

    def routes(self) -> list[web.RouteDef]:
        """Give the routes."""
        return [
            web.post("/job", self.submit),
            web.get("/job", self.list),
            web.get("/job/{id}", self.get),
            web.delete("/job/{id}", self.cancel),
        ]

    async def submit(self, request: web.Request) -> web.Response:
        """Make a job and bring its inputs in; the answer comes when it may start."""
        principal = await self._access.caller(request, "jobs")
        check_accept(request)
        base = base_url(request)
        wanted = read_request(await self._body(request), self._launchers.default)
        job_id = await self._submit(principal, wanted)
        return web.Response(status=201, headers={"Location": _url(base, job_id)})

    async def list(self, request: web.Request) -> web.Response:
        """Give the URLs of all jobs, newest first."""
        principal = await self._access.caller(request, "read")
        check_accept(request)
        base = base_url(request)
        return _json([_url(base, job.id) async for job in self._all(principal)])

    async def get(self, request: web.Request) -> web.Response:
        """Give a job: what was asked for, and what has become of it."""
        principal = await self._access.caller(request, "read")
        check_accept(request)
        job = await self._find(principal, request)
        origin = await self._operations.jobs.origin(principal, job)
        if (asked := reread(origin.data)) is None:
            raise _unknown()
        status = status_of(job.state, job.outcome, job.cause, job.ending)
        document = status.document(spelt=self._settings.correct_spelling)
        return _json({"request": echo(asked), "status": document})

    async def cancel(self, request: web.Request) -> web.Response:
        """End a job; of one that has ended nothing changes. Nobody waits for its receivers."""
        principal = await self._access.caller(request, "jobs")
        job = await self._find(principal, request)
        if job.outcome is None:
            await self._cancel(principal, job)
        return web.Response(status=204)

    async def _body(self, request: web.Request) -> bytes:
        if not is_json(request):
            sent = request.headers.get("Content-Type") or "without a type"
            raise UnsupportedMedia(f"send the body as application/json, not {sent!r}")
        body = await self._door.body(request, self._body_bytes)
        if not body.strip():
            raise Invalid("the body is empty: send jobdir and executable", pointer="")
        plain = without_comments(body)
        check_json(plain)
        return plain

    async def _submit(self, principal: Principal, wanted: LaunchRequest) -> JobId:
        jobs = self._operations.jobs
        try:
            shown, authorization = without_login(wanted)
            asked = job_request(shown, self._launchers, self._settings)
            made = await jobs.create(
                principal, asked, None, dialect=NAME, authorization=authorization
            )
        except Invalid as error:
            raise in_own_words(error) from error
        if made.state is None:
            raise Unavailable("the job is safe, but not stored yet", retry_after_s=1)
        await self._staged(principal, await jobs.get(principal, made.id))
        return made.id

    async def _staged(self, principal: Principal, job: Job) -> None:
        """
        Wait until the inputs are in place; leave nothing of a job whose inputs are not.

        Raises:
            Invalid: they cannot be brought in.
            Unavailable: it takes too long, or the service is stopping.

        """
        try:
            reached = await self._operations.waiting.until(
                principal, job, lambda entry: entry.state not in _BEFORE_STAGED, _STAGING_S
            )
        except Unavailable:
            await self._abandon(principal, job)
            raise
        if reached is None:
            await self._abandon(principal, job)
            detail = f"the inputs did not come in within {_STAGING_S:g} s"
            raise Unavailable(detail, retry_after_s=60)
        if is_unstarted(reached.outcome, reached.cause, reached.ending):
            await self._operations.jobs.delete(principal, job.id, force=False)
            said = reached.ending.detail if reached.ending else None
            detail = unquote((said or "staging in failed").replace("file://", ""))
            raise Invalid(detail, code="not_staged")

    async def _abandon(self, principal: Principal, job: Job) -> None:
        """Cancel a job that nobody was told of, and delete it if it ends in time."""
        await self._cancel(principal, job)
        with suppress(Conflict):
            await self._operations.jobs.delete(principal, job.id, force=False)

    async def _cancel(self, principal: Principal, job: Job) -> None:
        try:
            after = await self._operations.controls.one(principal, job.id, "cancel")
        except Conflict:
            pass  # it has ended by itself, or is about to
        else:
            if after.outcome is not None:
                return
        await self._operations.waiting.until(principal, job, _has_ended, self._cancel_s)

    async def _find(self, principal: Principal, request: web.Request) -> Job:
        try:
            job_id = parse_job_id(request.match_info["id"])
        except Invalid as error:
            raise _unknown() from error
        job = await self._operations.jobs.get(principal, job_id)
        if not _is_shown(job):
            raise _unknown()
        return job

    async def _all(self, principal: Principal) -> AsyncIterator[Job]:
        which, cursor = JobFilter(tag=TAG), None
        while True:
            page = await self._operations.jobs.find(principal, which, cursor, _PAGE)
            for job in page.jobs:
                if _is_shown(job):
                    yield job
            if (cursor := page.cursor) is None:
                return


def _has_ended(entry: Entry) -> bool:
    return entry.outcome is not None


def _is_shown(job: Job) -> bool:
    """Say whether a job is one of this dialect's; one whose inputs failed is none."""
    return job.dialect == NAME and not is_unstarted(job.outcome, job.cause, job.ending)


def _url(base: str, job_id: JobId) -> str:
    return f"{base}/job/{job_id}"


def _unknown() -> NotFound:
    return NotFound("there is no job with this id", code="unknown_job")


def _json(content: object) -> web.Response:
    return web.Response(body=encode(content), content_type="application/json")

"""`/job`: submit with staged inputs, list, show, cancel."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final
from urllib.parse import unquote

from aiohttp import web

from jobwire.actors.dialects.joblauncher.access import LauncherAuthenticator, check_accept
from jobwire.actors.dialects.joblauncher.asking import TAG, Launchers, in_own_words, job_request
from jobwire.actors.dialects.joblauncher.comments import without_comments
from jobwire.actors.dialects.joblauncher.logins import without_login
from jobwire.actors.dialects.joblauncher.requests import LaunchRequest, echo, read_request, reread
from jobwire.actors.dialects.joblauncher.settings import Joblauncher
from jobwire.actors.dialects.joblauncher.statuses import is_unstarted, status_of
from jobwire.actors.dialects.mounts import base_url
from jobwire.actors.dialects.problems import encode
from jobwire.actors.dialects.request_guard import RequestGuard, is_json
from jobwire.actors.operations import Operations
from jobwire.actors.runtime.settings import Settings
from jobwire.actors.stores.base import JobFilter
from jobwire.schemas.codec import check_json
from jobwire.schemas.errors import (
    Conflict,
    InDoubt,
    Invalid,
    NotFound,
    TooManyRequests,
    Unavailable,
    UnsupportedMedia,
)
from jobwire.schemas.identifiers import JobId, parse_job_id, random_job_id
from jobwire.schemas.jobs import Entry, Job
from jobwire.schemas.principals import Principal

#: The name of the dialect, which its jobs carry.
NAME: Final = "joblauncher"

#: Longest time that the inputs of a job may take to come in before its submission is given up.
_STAGING_S: Final = 3_600.0
#: How long the cancel of a job whose submission failed is tried; the shorter one while the service
#: stops, which does not wait for longer.
_WITHDRAW_S, _WITHDRAW_STOPPING_S = 20.0, 2.0
#: Pause before what was in vain is tried again.
_PAUSE_S: Final = 0.5
#: How much longer than the grace of a job that is ended a DELETE waits for its end.
_MARGIN_S: Final = 5.0
#: Jobs of one page of the list.
_PAGE: Final = 500
#: States in which the inputs of a job are not in place.
_BEFORE_STAGED: Final = ("CREATED", "STAGING")


class LaunchRoutes:
    """Serves `/job`."""

    def __init__(
        self,
        operations: Operations,
        guard: RequestGuard,
        access: LauncherAuthenticator,
        own: Joblauncher,
        settings: Settings,
    ) -> None:
        """Call the operations."""
        self._operations = operations
        self._guard = guard
        self._access = access
        self._body_bytes = settings.limits.body_bytes
        self._cancel_s = settings.local.grace_s + _MARGIN_S
        self._settings = own
        self._launchers = Launchers(own)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
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
        """Return the URLs of all jobs, newest first."""
        principal = await self._access.caller(request, "read")
        check_accept(request)
        base = base_url(request)
        return _json([_url(base, job.id) async for job in self._all(principal)])

    async def get(self, request: web.Request) -> web.Response:
        """Return a job: what was asked for, and what has become of it."""
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
        body = await self._guard.body(request, self._body_bytes)
        if not body.strip():
            raise Invalid("the body is empty: send jobdir and executable", pointer="")
        plain = without_comments(body)
        check_json(plain)
        return plain

    async def _submit(self, principal: Principal, wanted: LaunchRequest) -> JobId:
        """
        Make a job; return when its inputs are in place.

        Raises:
            Invalid: a field cannot be carried out, or the inputs cannot be brought in.
            Unavailable: not now; nothing of it starts any more, so it may be submitted again,
                unless the code is `in_doubt`.

        """
        job_id = random_job_id(secrets.token_bytes(16))
        try:
            await self._make(principal, job_id, wanted)
            reached = await self._ready(principal, job_id)
        except InDoubt as error:
            within_s = _WITHDRAW_STOPPING_S if error.code == "stopping" else _WITHDRAW_S
            await self._operations.withdrawals.withdraw(principal, job_id, within_s)
            raise
        if is_unstarted(reached.outcome, reached.cause, reached.ending):
            with suppress(NotFound, Unavailable):  # deleted or not, here it is no job
                await self._operations.jobs.delete(principal, job_id, force=False)
            said = reached.ending.detail if reached.ending else None
            detail = unquote((said or "staging in failed").replace("file://", ""))
            raise Invalid(detail, code="not_staged")
        return job_id

    async def _make(self, principal: Principal, job_id: JobId, wanted: LaunchRequest) -> None:
        """
        Return when the creation is safe; what may be is sent again, which makes it once.

        Raises:
            InDoubt: nobody says whether it is safe.
            Unavailable: it was not taken.

        """
        try:
            await self._create(principal, job_id, wanted)
        except InDoubt as doubt:
            try:
                async with asyncio.timeout(self._settings.stored_within_s):
                    await self._insist(principal, job_id, wanted)
            except TimeoutError:
                raise doubt from None

    async def _insist(self, principal: Principal, job_id: JobId, wanted: LaunchRequest) -> None:
        while not self._operations.streams.is_closed:
            await asyncio.sleep(_PAUSE_S)
            with suppress(Unavailable, TooManyRequests):
                return await self._create(principal, job_id, wanted)
        raise InDoubt("the service is stopping", code="stopping", retry_after_s=2)

    async def _create(self, principal: Principal, job_id: JobId, wanted: LaunchRequest) -> None:
        try:
            shown, authorization = without_login(wanted)
            asked = job_request(shown, self._launchers, self._settings)
            await self._operations.jobs.create(
                principal, asked, None, dialect=NAME, job=job_id, authorization=authorization
            )
        except Invalid as error:
            raise in_own_words(error) from error

    async def _ready(self, principal: Principal, job_id: JobId) -> Job:
        """
        Wait until the inputs of a job are in place, or cannot be.

        Raises:
            InDoubt: it takes too long, or the service is stopping.

        """
        waiting, stored_s = self._operations.waiting, self._settings.stored_within_s
        while (job := await waiting.stored(principal, job_id, stored_s)) is not None:
            try:
                reached = await waiting.until(principal, job, _is_ready, _STAGING_S)
            except Unavailable:  # the store is away, or the service stops, which `stored` tells
                await asyncio.sleep(_PAUSE_S)
                continue
            if reached is None:
                detail = f"the inputs did not come in within {_STAGING_S:g} s: the job is cancelled"
                raise InDoubt(detail, code="withdrawn", retry_after_s=60)
            return reached
        detail = (
            f"the job was not stored within {stored_s:g} s and is cancelled, so it never runs:"
            " submit it again"
        )
        raise InDoubt(detail, code="withdrawn", retry_after_s=5)

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


def _is_ready(entry: Entry) -> bool:
    return entry.state not in _BEFORE_STAGED


def _has_ended(entry: Entry) -> bool:
    return entry.outcome is not None


def _is_shown(job: Job) -> bool:
    """Return whether a job belongs to this dialect; one whose inputs failed does not."""
    return job.dialect == NAME and not is_unstarted(job.outcome, job.cause, job.ending)


def _url(base: str, job_id: JobId) -> str:
    return f"{base}/job/{job_id}"


def _unknown() -> NotFound:
    return NotFound("there is no job with this id", code="unknown_job")


def _json(content: object) -> web.Response:
    return web.Response(body=encode(content), content_type="application/json")

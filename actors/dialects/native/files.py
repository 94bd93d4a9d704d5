"""`/v1/jobs/{id}/files`: list, download and follow the files of a job."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote

from aiohttp import ClientConnectionResetError, web
from msgspec import Meta, Struct

from jobwire.actors.dialects.native.answers import page, problem
from jobwire.actors.dialects.native.jobs import job_id_of
from jobwire.actors.dialects.native.ranges import (
    MOST_BYTES,
    Span,
    Version,
    applies,
    is_unchanged,
    span_of,
    start_of,
    version_of,
)
from jobwire.actors.dialects.queries import read_query
from jobwire.actors.dialects.request_guard import RequestGuard
from jobwire.actors.filesystems.base import FileInfo, Reader
from jobwire.actors.operations import Operations
from jobwire.actors.operations.files import BLOCK, SandboxView
from jobwire.actors.runtime.settings import Limits
from jobwire.schemas.cursors import Cursors
from jobwire.schemas.errors import JobwireError, NotFound, RangeNotSatisfiable, TooManyRequests
from jobwire.schemas.jobs import Job
from jobwire.schemas.principals import Principal
from jobwire.schemas.views import FileView

Attempt = Annotated[int, Meta(ge=1, le=2**31)]

#: Longest time that a client may take to take one block.
_TAKEN_S = 60.0
_PARTIAL, _UNCHANGED = 206, 304

_HEADERS = {
    "Content-Type": "application/octet-stream",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cache-Control": "private, no-cache",
    "X-Accel-Buffering": "no",
}


class FilesQuery(Struct, frozen=True, kw_only=True):
    """Of which attempt, and which page."""

    attempt: Attempt | None = None
    cursor: str | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class FileQuery(Struct, frozen=True, kw_only=True):
    """Of which attempt, and whether to go on while the job runs."""

    attempt: Attempt | None = None
    follow: bool = False


class FileRoutes:
    """Serves the files of jobs."""

    def __init__(
        self, operations: Operations, guard: RequestGuard, limits: Limits, cursors: Cursors
    ) -> None:
        """Read through the operations, a limited number of files per owner at a time."""
        self._files = operations.files
        self._jobs = operations.jobs
        self._streams = operations.streams
        self._guard = guard
        self._most = limits.streams_per_owner
        self._cursors = cursors
        self._open: Counter[str] = Counter()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/v1/jobs/{id}/files", self.all),
            web.get(r"/v1/jobs/{id}/files/{path:[\s\S]+}", self.get),
        ]

    async def all(self, request: web.Request) -> web.Response:
        """List the files of an attempt, the newest one that has any by default."""
        principal = await self._guard.caller(request, "read")
        query = read_query(request, FilesQuery)
        job = await self._jobs.get(principal, job_id_of(request))
        box = await self._files.box(job, query.attempt)
        listed = f"files {principal.name} {job.id} {box.attempt}"
        after = self._cursors.read(query.cursor, listed, str) if query.cursor else ""
        found = await self._files.list(box, after, query.limit + 1)
        shown = found[: query.limit]
        more = len(found) > query.limit
        cursor = self._cursors.write(shown[-1].path, listed) if more else None
        return page([_view(each) for each in shown], cursor)

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Return a file, or a part of it, or follow it as it grows."""
        principal = await self._guard.caller(request, "read")
        query = read_query(request, FileQuery)
        path = request.match_info["path"]
        job = await self._jobs.get(principal, job_id_of(request))
        newest_begun = job.outcome is not None or not query.follow
        box = await self._files.box(job, query.attempt, newest_begun=newest_begun)
        box.place(path)
        with self._counted(principal):
            if query.follow and not await self._is_over(principal, job, box):
                return await self._follow(request, principal, job, box)
            reader = await self._files.open(box, path)
            try:
                return await self._send(request, reader, path)
            finally:
                await reader.close()

    async def _send(self, request: web.Request, reader: Reader, path: str) -> web.StreamResponse:
        size = reader.info.size
        version = version_of(size, reader.info.modified, datetime.now(UTC))
        headers = _headers(path, version)
        if is_unchanged(request.headers.get("If-None-Match"), version):
            return web.Response(status=_UNCHANGED, headers=headers)
        try:
            ranged = applies(request.headers.get("If-Range"), version)
            span = span_of(request.headers.get("Range"), size) if ranged else None
        except RangeNotSatisfiable as error:
            refused = problem(error)
            refused.headers["Content-Range"] = f"bytes */{size}"
            return refused
        response = web.StreamResponse(headers=headers)
        if span is not None:
            response.set_status(_PARTIAL)
            response.headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{size}"
        span = span or Span(0, size)
        response.content_length = span.end - span.start
        await response.prepare(request)
        if request.method != "HEAD":
            await _send_chunks(request, response, _part(reader, span))
        return response

    async def _follow(
        self, request: web.Request, principal: Principal, job: Job, box: SandboxView
    ) -> web.StreamResponse:
        path = request.match_info["path"]
        with suppress(NotFound):  # what can never be a file is said while it can be said
            await (await self._files.open(box, path)).close()
        start = start_of(request.headers.get("Range"))
        response = web.StreamResponse(headers=_headers(path, None))
        if start is not None:
            # The form of RFC 8673 for bytes that are still to come.
            response.set_status(_PARTIAL)
            response.headers["Content-Range"] = f"bytes {start}-{MOST_BYTES}/*"
        await response.prepare(request)
        if request.method == "HEAD":
            return response

        async def is_over() -> bool:
            return await self._is_over(principal, job, box)

        await _send_chunks(request, response, self._files.follow(box, path, start or 0, is_over))
        return response

    async def _is_over(self, principal: Principal, job: Job, box: SandboxView) -> bool:
        """Return whether nothing more is written; a service that stops waits for nothing."""
        try:
            now = await self._jobs.get(principal, job.id)
        except NotFound:
            return True
        ended = now.outcome is not None or now.attempt != box.attempt
        return ended or self._streams.is_closed

    @contextmanager
    def _counted(self, principal: Principal) -> Iterator[None]:
        owner = principal.name
        if self._open[owner] >= self._most:
            detail = f"this owner already reads {self._most} files; wait until one is finished"
            raise TooManyRequests(detail, limit=self._most, retry_after_s=5)
        self._open[owner] += 1
        try:
            yield
        finally:
            self._open[owner] -= 1
            if not self._open[owner]:
                del self._open[owner]


async def _part(reader: Reader, span: Span) -> AsyncGenerator[bytes, None]:
    place = span.start
    await reader.seek(place)
    while place < span.end:
        data = await reader.read(min(BLOCK, span.end - place))
        if not data:
            raise ClientConnectionResetError  # it was cut off meanwhile: no end that looks right
        place += len(data)
        yield data


async def _send_chunks(
    request: web.Request, response: web.StreamResponse, source: AsyncGenerator[bytes, None]
) -> None:
    """Send what comes, as fast as the client takes it, until it has gone or taken all."""
    try:
        async for data in source:
            if request.transport is None or request.transport.is_closing():
                return
            if data:
                async with asyncio.timeout(_TAKEN_S):
                    await response.write(data)
        await response.write_eof()
    except (ClientConnectionResetError, TimeoutError, JobwireError):
        # Too late for another answer; a connection that breaks is told from a file that ends.
        if request.transport is not None:
            request.transport.abort()
    finally:
        await source.aclose()


def _headers(path: str, version: Version | None) -> dict[str, str]:
    name = quote(path.rpartition("/")[2], safe="")
    headers = {**_HEADERS, "Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
    if version is not None:
        headers |= {
            "Accept-Ranges": "bytes",
            "ETag": version.etag,
            "Last-Modified": version.last_modified,
        }
    return headers


def _view(seen: FileInfo) -> FileView:
    return FileView(seen.path, seen.kind, seen.size, seen.modified, seen.mode)

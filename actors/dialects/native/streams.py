"""Server-sent events: entries of one job, or of all of an owner's, as they are committed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from aiohttp import ClientConnectionResetError, web
from msgspec import Struct

from jobwire.actors.dialects.native.answers import encode, entry_view
from jobwire.actors.dialects.native.jobs import job_id_of
from jobwire.actors.dialects.queries import read_query
from jobwire.actors.dialects.request_guard import RequestGuard
from jobwire.actors.operations import Operations
from jobwire.actors.operations.streams import Item
from jobwire.actors.runtime.telemetry import Telemetry
from jobwire.actors.stores.base import Place
from jobwire.schemas.cursors import Cursors
from jobwire.schemas.errors import Invalid
from jobwire.schemas.identifiers import Name
from jobwire.schemas.jobs import Entry

#: Digits of the longest seq that is read at all.
_SEQ_DIGITS = 15

_ReadPlace: Any = int | Place

_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}


class StreamQuery(Struct, frozen=True, kw_only=True):
    """Which entries are sent."""

    state: Name | None = None
    name: Name | None = None
    applied: bool | None = None

    def wants(self, entry: Entry) -> bool:
        """Return whether an entry is asked for."""
        return (
            (self.state is None or entry.state == self.state)
            and (self.name is None or entry.name == self.name)
            and (self.applied is None or entry.applied == self.applied)
        )


class StreamRoutes:
    """Streams entries."""

    def __init__(
        self, operations: Operations, guard: RequestGuard, cursors: Cursors, telemetry: Telemetry
    ) -> None:
        """Follow through the operations; the places of an owner's stream are written as cursors."""
        self._jobs = operations.jobs
        self._streams = operations.streams
        self._guard = guard
        self._cursors = cursors
        self._telemetry = telemetry

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/v1/jobs/{id}/stream", self.of_job, allow_head=False),
            web.get("/v1/stream", self.of_owner, allow_head=False),
        ]

    async def of_job(self, request: web.Request) -> web.StreamResponse:
        """Stream one job's entries; the id of each is its seq, and 0 is before the first."""
        principal = await self._guard.caller(request, "read")
        query = read_query(request, StreamQuery)
        job = await self._jobs.get(principal, job_id_of(request))
        last = request.headers.get("Last-Event-ID", "0")
        if not last.isascii() or not last.isdecimal() or len(last) > _SEQ_DIGITS:
            raise Invalid(
                "Last-Event-ID is the seq of an entry of this job", pointer="Last-Event-ID"
            )
        items = self._streams.of_job(principal, job, int(last))
        return await self._send(request, query, items, (int(last),), lambda place: str(*place))

    async def of_owner(self, request: web.Request) -> web.StreamResponse:
        """
        Stream the entries of all jobs, from now on or from where `Last-Event-ID` says.

        0 says: from the first.
        """
        principal = await self._guard.caller(request, "read")
        query = read_query(request, StreamQuery)
        # As it was written before there were lanes, so that places of those days stay good.
        order = "" if self._streams.order == "all" else f" {self._streams.order}"
        listed = f"stream{order} {principal.name}"
        last = request.headers.get("Last-Event-ID")
        if last is None:
            after = await self._streams.newest(principal)
        elif last == "0":
            after = ()
        else:
            read = self._cursors.read(last, listed, _ReadPlace)
            # Earlier releases wrote the number alone.
            after = (read,) if isinstance(read, int) else read
        items = self._streams.of_owner(principal, after)
        return await self._send(
            request, query, items, after, lambda place: self._cursors.write(place, listed)
        )

    async def _send(
        self,
        request: web.Request,
        query: StreamQuery,
        source: AsyncGenerator[list[Item], None],
        start: Place,
        place_of: Callable[[Place], str],
    ) -> web.StreamResponse:
        await anext(source)  # registered, or refused while that can still be said
        self._telemetry.streams_open.inc()
        try:
            response = web.StreamResponse(headers=_HEADERS)
            await response.prepare(request)
            # The place at once: who is cut off before the first entry comes back without a gap.
            await response.write(f": following\nid: {place_of(start)}\n\n".encode())
            async for items in source:
                await response.write(_chunk(items, query, place_of))
            await response.write_eof()
        except ClientConnectionResetError:
            pass  # the client has gone; it comes back with the place it stands at
        finally:
            self._telemetry.streams_open.dec()
            await source.aclose()
        return response


def _chunk(items: Sequence[Item], query: StreamQuery, place_of: Callable[[Place], str]) -> bytes:
    """
    Write items as server-sent events.

    The id is on the last one only, also where that one is filtered out: a client that is cut off
    in the middle gets the chunk again (at least once), and none can fall between two.
    """
    if not items:
        return b": still here\n\n"
    wanted = [item.entry for item in items if query.wants(item.entry)]
    blocks = [b"data: " + encode(entry_view(entry)) + b"\n" for entry in wanted]
    last = b"id: " + place_of(items[-1].place).encode() + b"\n"
    if not blocks:
        return last + b"\n"
    blocks[-1] = last + blocks[-1]
    return b"\n".join(blocks) + b"\n"

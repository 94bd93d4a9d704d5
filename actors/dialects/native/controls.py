"""`/v1/jobs/…/cancel`, `hold`, `release` and `retry`, of one job or of a selection."""

from __future__ import annotations

from typing import get_args

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from jobwire.actors.dialects.mounts import base_url
from jobwire.actors.dialects.native.answers import answer
from jobwire.actors.dialects.native.jobs import created, job_id_of
from jobwire.actors.dialects.queries import NoQuery, read_query
from jobwire.actors.dialects.request_guard import RequestGuard, idempotency_key_of
from jobwire.actors.operations import Operations
from jobwire.actors.operations.controls import Control, Selection
from jobwire.actors.runtime.settings import Limits
from jobwire.schemas.codec import decode
from jobwire.schemas.views import ControlledView

_selection_decoder = msgspec.json.Decoder(Selection)


class ControlRoutes:
    """Routes that control jobs: cancel, hold, release and the like."""

    def __init__(self, operations: Operations, guard: RequestGuard, limits: Limits) -> None:
        """Call the operations."""
        self._controls = operations.controls
        self._guard = guard
        self._limits = limits

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        controls: tuple[Control, ...] = get_args(Control)
        one = [web.post(f"/v1/jobs/{{id}}/{each}", self._one(each)) for each in controls]
        many = [web.post(f"/v1/jobs/{each}", self._many(each)) for each in controls]
        return [*one, *many, web.post("/v1/jobs/{id}/retry", self.retry)]

    async def retry(self, request: web.Request) -> web.Response:
        """Make a new job that is asked the same as an ended one."""
        read_query(request, NoQuery)
        principal = await self._guard.caller(request, "jobs")
        base = base_url(request)
        made = await self._controls.retry(
            principal, job_id_of(request), idempotency_key_of(request)
        )
        return created(base, made)

    def _one(self, control: Control) -> Handler:
        async def one(request: web.Request) -> web.Response:
            read_query(request, NoQuery)
            principal = await self._guard.caller(request, "jobs")
            after = await self._controls.one(principal, job_id_of(request), control)
            view = ControlledView(id=after.id, state=after.state, outcome=after.outcome)
            under_way = control == "cancel" and after.outcome is None
            return answer(view, 202 if under_way else 200)

        return one

    def _many(self, control: Control) -> Handler:
        async def many(request: web.Request) -> web.Response:
            read_query(request, NoQuery)
            principal = await self._guard.caller(request, "jobs")
            body = await self._guard.json(request, self._limits.body_bytes)
            selection = decode(_selection_decoder, body)
            return answer(await self._controls.many(principal, selection, control))

        return many

"""`/v1/deliveries`: lists deliveries and sends them again."""

from __future__ import annotations

import msgspec
from aiohttp import web
from msgspec import Struct

from jobwire.actors.dialects.native.answers import answer, page
from jobwire.actors.dialects.native.events import Moment
from jobwire.actors.dialects.native.jobs import Limit, job_id_of
from jobwire.actors.dialects.queries import NoQuery, read_query
from jobwire.actors.dialects.request_guard import RequestGuard
from jobwire.actors.operations import Operations
from jobwire.actors.operations.deliveries import DeliveryPage
from jobwire.actors.runtime.settings import Limits
from jobwire.actors.stores.base import DeliveryFilter
from jobwire.schemas.codec import decode
from jobwire.schemas.deliveries import Delivery, DeliveryStatus, shown_url
from jobwire.schemas.identifiers import Name, parse_job_id
from jobwire.schemas.views import AttemptView, DeliveryView, RecoveredView


class JobDeliveriesQuery(Struct, frozen=True, kw_only=True):
    """Which deliveries of a job, and which page of them."""

    status: DeliveryStatus | None = None
    subscription: Name | None = None
    since: Moment | None = None
    cursor: str | None = None
    limit: Limit = 50


class DeliveriesQuery(JobDeliveriesQuery, frozen=True, kw_only=True):
    """Which deliveries, and which page of them."""

    job: str | None = None


class RecoverBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From when on deliveries that gave up are sent again."""

    since: Moment


_recover_decoder = msgspec.json.Decoder(RecoverBody)


class DeliveryRoutes:
    """Lists deliveries and sends them again."""

    def __init__(self, operations: Operations, guard: RequestGuard, limits: Limits) -> None:
        """Call the operations."""
        self._deliveries = operations.deliveries
        self._jobs = operations.jobs
        self._guard = guard
        self._limits = limits

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/v1/deliveries", self.find),
            web.post("/v1/deliveries/recover", self.recover),
            web.get("/v1/deliveries/{id}", self.get),
            web.post("/v1/deliveries/{id}/redeliver", self.redeliver),
            web.get("/v1/jobs/{id}/deliveries", self.of_job),
        ]

    async def find(self, request: web.Request) -> web.Response:
        """List deliveries, newest first."""
        principal = await self._guard.caller(request, "read")
        query = read_query(request, DeliveriesQuery)
        job = parse_job_id(query.job, "/job") if query.job else None
        which = DeliveryFilter(
            job=job, status=query.status, subscription=query.subscription, since=query.since
        )
        return _page(await self._deliveries.find(principal, which, query.cursor, query.limit))

    async def of_job(self, request: web.Request) -> web.Response:
        """List the deliveries of one job, newest first."""
        principal = await self._guard.caller(request, "read")
        query = read_query(request, JobDeliveriesQuery)
        job = await self._jobs.get(principal, job_id_of(request))
        which = DeliveryFilter(
            job=job.id, status=query.status, subscription=query.subscription, since=query.since
        )
        return _page(await self._deliveries.find(principal, which, query.cursor, query.limit))

    async def get(self, request: web.Request) -> web.Response:
        """Return one delivery with its tries."""
        read_query(request, NoQuery)
        principal = await self._guard.caller(request, "read")
        return answer(_view(await self._deliveries.get(principal, request.match_info["id"])))

    async def redeliver(self, request: web.Request) -> web.Response:
        """Send one delivery again under its id."""
        read_query(request, NoQuery)
        principal = await self._guard.caller(request, "jobs")
        asked = await self._deliveries.redeliver(principal, request.match_info["id"])
        return answer(_view(asked), 202)

    async def recover(self, request: web.Request) -> web.Response:
        """Send all those again that gave up, of those made since a moment."""
        read_query(request, NoQuery)
        principal = await self._guard.caller(request, "jobs")
        body = await self._guard.json(request, self._limits.body_bytes)
        recovered = await self._deliveries.recover(principal, decode(_recover_decoder, body).since)
        return answer(RecoveredView(recovered.deliveries, recovered.is_cut), 202)


def _page(found: DeliveryPage) -> web.Response:
    return page([_view(each) for each in found.deliveries], found.cursor)


def _view(delivery: Delivery) -> DeliveryView:
    attempts = tuple(
        AttemptView(at=each.at, duration_s=each.duration_s, status=each.status, error=each.error)
        for each in delivery.attempts
    )
    return DeliveryView(
        id=delivery.id,
        job=delivery.job,
        seq=delivery.seq,
        event=delivery.event,
        state=delivery.state,
        subscription=delivery.subscription,
        url=shown_url(delivery.url),
        status=delivery.status,
        gave_up=delivery.gave_up,
        created=delivery.created,
        next_at=delivery.next_at,
        attempts=attempts,
    )

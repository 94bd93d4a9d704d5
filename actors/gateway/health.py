"""`/health/live`, `/health/ready` and `/metrics`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from actors.dialects.native.answers import answer
from actors.runtime.telemetry import Telemetry

Missing = Callable[[], Awaitable[Sequence[str]]]
"""Names the parts that the service lacks now."""


class HealthRoutes:
    """Says how the service is; needs no key."""

    def __init__(self, missing: Missing, telemetry: Telemetry) -> None:
        """Ask `missing` for readiness."""
        self._missing = missing
        self._telemetry = telemetry

    def routes(self) -> list[web.RouteDef]:
        """Give the routes."""
        return [
            web.get("/health/live", self.live),
            web.get("/health/ready", self.ready),
            web.get("/metrics", self.metrics),
        ]

    async def live(self, _request: web.Request) -> web.Response:
        """Say that the loop turns."""
        return answer({"status": "live"})

    async def ready(self, _request: web.Request) -> web.Response:
        """Say whether events can be stored now, and if not, what is missing."""
        missing = await self._missing()
        if missing:
            return answer({"status": "not_ready", "missing": missing}, 503, {"Retry-After": "2"})
        return answer({"status": "ready", "missing": []})

    async def metrics(self, _request: web.Request) -> web.Response:
        """Give all metrics in the Prometheus text form."""
        text = await asyncio.to_thread(self._telemetry.render)
        return web.Response(
            body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

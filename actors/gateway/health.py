"""`/health/live`, `/health/ready` and `/metrics`: on the gateway, or on a port of their own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

from aiohttp import web

from jobwire.actors.dialects.answers import answer
from jobwire.actors.dialects.base import Missing
from jobwire.actors.gateway.listening import listen_on, url_of
from jobwire.actors.runtime.settings import Health
from jobwire.actors.runtime.telemetry import Telemetry
from jobwire.schemas.views import Readiness


class HealthRoutes:
    """Reports liveness, readiness and metrics; needs no key."""

    def __init__(
        self,
        not_ready: Missing,
        telemetry: Telemetry,
        away: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """Take parts that are not ready from `not_ready`, and unreachable sites from `away`."""
        self._not_ready = not_ready
        self._away = away
        self._telemetry = telemetry

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/health/live", self.live),
            web.get("/health/ready", self.ready),
            web.get("/metrics", self.metrics),
        ]

    async def live(self, _request: web.Request) -> web.Response:
        """Answer that the event loop runs."""
        return answer({"status": "live"})

    async def ready(self, _request: web.Request) -> web.Response:
        """Return whether events can be stored now, and if not, what is missing."""
        missing = tuple(await self._not_ready())
        found = Readiness("not_ready" if missing else "ready", missing, tuple(self._away()))
        return answer(found, 503, {"Retry-After": "2"}) if missing else answer(found)

    async def metrics(self, _request: web.Request) -> web.Response:
        """Return all metrics in the Prometheus text form."""
        text = await asyncio.to_thread(self._telemetry.render)
        return web.Response(
            body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )


class HealthServer:
    """Serves these routes in a process that has no gateway."""

    def __init__(self, health: HealthRoutes, settings: Health) -> None:
        """Listen where the settings say."""
        app = web.Application()
        app.add_routes(health.routes())
        self._settings = settings
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        self._bound: socket.socket | None = None
        self.url = ""

    def bind(self) -> None:
        """
        Take the address.

        Raises:
            Misconfigured: it is taken, or not this machine's.

        """
        hint = "choose another with [health] port"
        self._bound = listen_on(self._settings.host, self._settings.port, hint)
        self.url = url_of(self._bound)

    async def start(self) -> None:
        """Listen at the address that was taken."""
        assert self._bound is not None, "the address is taken first, with bind()"
        await self._runner.setup()
        await web.SockSite(self._runner, self._bound).start()

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()
        if self._bound is not None:
            self._bound.close()
            self._bound = None

    def not_ready(self) -> str | None:
        """Name what is missing: nothing."""
        return None

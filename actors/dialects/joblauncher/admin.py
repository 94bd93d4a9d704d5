"""What the original's administrators asked for: `/healthcheck`, `/ping`, `/metrics`, `/threads`."""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections.abc import Iterator

from aiohttp import web

from jobwire.actors.dialects.base import Missing
from jobwire.actors.dialects.joblauncher.access import LauncherAuthenticator
from jobwire.actors.dialects.problems import encode
from jobwire.actors.runtime.telemetry import Telemetry

_UNCACHED = {"Cache-Control": "must-revalidate,no-cache,no-store"}


class AdminRoutes:
    """Serves the health of the service, at `/` and below `/admin`; only `/threads` needs a key."""

    def __init__(
        self, access: LauncherAuthenticator, missing: Missing, telemetry: Telemetry
    ) -> None:
        """Take the health from `not_ready`."""
        self._access = access
        self._not_ready = missing
        self._telemetry = telemetry

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        named = {
            "healthcheck": self.healthcheck,
            "ping": self.ping,
            "metrics": self.metrics,
            "threads": self.threads,
        }
        return [
            web.get(f"{above}/{name}", handler)
            for above in ("", "/admin")
            for name, handler in named.items()
        ]

    async def healthcheck(self, _request: web.Request) -> web.Response:
        """Name each part that is missing; 500 when one is, as the original's library had it."""
        missing = await self._not_ready()
        lines = [f"! {name.partition(':')[0]}: ERROR\n!  {name}\n" for name in missing]
        return _text("".join(lines) or "* jobwire: OK\n", 500 if missing else 200)

    async def ping(self, _request: web.Request) -> web.Response:
        """Answer that the process is alive."""
        return _text("pong\n")

    async def metrics(self, _request: web.Request) -> web.Response:
        """Return all metrics as one JSON object."""
        found = await asyncio.to_thread(lambda: dict(self._samples()))
        return web.Response(body=encode(found), content_type="application/json", headers=_UNCACHED)

    async def threads(self, request: web.Request) -> web.Response:
        """Return the threads and where each stands."""
        await self._access.caller(request, "read")
        return _text(await asyncio.to_thread(_dump))

    def _samples(self) -> Iterator[tuple[str, float]]:
        for family in self._telemetry.registry.collect():
            for sample in family.samples:
                labels = ",".join(f"{name}={value}" for name, value in sample.labels.items())
                yield f"{sample.name}{{{labels}}}" if labels else sample.name, sample.value


def _dump() -> str:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return "\n".join(
        f"{names.get(ident, 'unknown')} id={ident}\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()  # noqa: SLF001 - the one way to ask
    )


def _text(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, headers=_UNCACHED)

"""The actor: listens, hands requests to the dialects, and lets running ones end when it stops."""

from __future__ import annotations

import socket

from aiohttp import web

from actors.dialects.base import Dialect
from actors.dialects.native.jobs import PUBLIC_URL
from actors.gateway.health import HealthRoutes
from actors.gateway.problems import problems
from actors.operations.streams import Streams
from actors.runtime.settings import Settings
from actors.runtime.telemetry import Telemetry
from schemas.errors import Misconfigured

#: How long answered requests may take to be taken by their clients when the service stops.
_DRAIN_S = 5.0


class Gateway:
    """HTTP in."""

    name = "gateway"

    def __init__(
        self,
        *,
        native: Dialect,
        health: HealthRoutes,
        streams: Streams,
        settings: Settings,
        telemetry: Telemetry,
    ) -> None:
        """Serve the native dialect and the service's own routes."""
        limits = settings.limits
        app = web.Application(
            middlewares=[problems(native, telemetry)],
            client_max_size=max(limits.body_bytes, limits.ndjson_bytes),
        )
        app[PUBLIC_URL] = (settings.public_url or "").rstrip("/")
        app.add_routes(native.routes())
        app.add_routes(health.routes())
        self._streams = streams
        self._settings = settings
        self._runner = web.AppRunner(
            app,
            access_log=None,
            keepalive_timeout=limits.keepalive_s,
            shutdown_timeout=_DRAIN_S,
            max_line_size=8190,
            max_field_size=8190,
        )
        self._site: web.SockSite | None = None
        self.url = ""

    async def start(self) -> None:
        """
        Listen.

        Raises:
            Misconfigured: the address is taken or not this machine's.

        """
        listening = _listen(self._settings.host, self._settings.port)
        await self._runner.setup()
        self._site = web.SockSite(self._runner, listening, backlog=1024)
        await self._site.start()
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{port}"

    async def stop(self) -> None:
        """Take no new connection, end the streams, let running requests end."""
        self._streams.close()
        await self._runner.cleanup()
        self._site = None

    def missing(self) -> str | None:
        """Name what is missing."""
        return None if self._site else "gateway"


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, proto)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        detail = (
            f"cannot listen on {host} port {port}: {error.strerror}; "
            "choose another with --host and --port"
        )
        raise Misconfigured(detail) from error
    return listening

"""The actor: listens, hands requests to the dialects, and lets running ones end when it stops."""

from __future__ import annotations

import asyncio
import socket
from typing import cast

from aiohttp import web

from actors.dialects.base import Dialect
from actors.dialects.native.answers import encode, problem_document
from actors.dialects.native.jobs import PUBLIC_URL
from actors.gateway.health import HealthRoutes
from actors.gateway.listening import listen_on, url_of
from actors.gateway.problems import problems
from actors.operations.streams import Streams
from actors.runtime.settings import Settings
from actors.runtime.telemetry import Telemetry
from schemas.errors import Unavailable

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
        self._most_connections = limits.connections
        self._server: asyncio.Server | None = None
        self._bound: socket.socket | None = None
        self.url = ""

    def bind(self) -> None:
        """
        Take the address, so that everybody knows the URL before anybody can use it.

        Raises:
            Misconfigured: the address is taken or not this machine's.

        """
        settings = self._settings
        hint = "choose another with --host and --port"
        # Gateways of one installation may share an address; an embedded one has it to itself.
        shared = settings.broker.url is not None
        self._bound = listen_on(settings.host, settings.port, hint, shared=shared)
        self.url = url_of(self._bound)

    async def start(self) -> None:
        """Listen at the address that was taken."""
        assert self._bound is not None, "the address is taken first, with bind()"
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, sock=self._bound, backlog=1024)

    async def stop(self) -> None:
        """Take no new connection, end the streams, let running requests end."""
        self._streams.close()
        if self._server is not None:
            self._server.close()
            self._server = None
        elif self._bound is not None:
            self._bound.close()
        self._bound = None
        await self._runner.cleanup()

    def missing(self) -> str | None:
        """Name what is missing."""
        return None if self._server else "gateway"

    def _accept(self) -> asyncio.Protocol:
        """Serve a new connection, or turn it away when there are too many."""
        server = self._runner.server
        if server is None or len(server.connections) >= self._most_connections:
            return _TurnedAway()
        return server()


class _TurnedAway(asyncio.Protocol):
    """A connection over the limit: told to come back, and closed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        error = Unavailable("too many connections", code="too_many_connections", retry_after_s=2)
        body = encode(problem_document(error))
        writer = cast("asyncio.WriteTransport", transport)
        writer.write(
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
            b"Retry-After: 2\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        writer.close()

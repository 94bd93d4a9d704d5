"""One address at which an application answers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import cast

from aiohttp import web

from jobwire.actors.dialects.base import Dialect
from jobwire.actors.gateway.listening import listen_on, url_of
from jobwire.actors.runtime.settings import Limits
from jobwire.schemas.errors import Unavailable

#: How long answered requests may take to be taken by their clients when the service stops.
_DRAIN_S = 5.0


class Port:
    """Takes an address, serves an application there, and lets running requests end at the stop."""

    def __init__(
        self,
        app: web.Application,
        dialect: Dialect,
        limits: Limits,
        header_bytes: int,
        is_full: Callable[[], bool],
    ) -> None:
        """
        Serve an application.

        Args:
            app: what is served.
            dialect: how connections are told that they are turned away.
            limits: how long they may be idle.
            header_bytes: of the largest header that is read.
            is_full: whether new connections are turned away.

        """
        self._dialect = dialect
        self._is_full = is_full
        self._runner = web.AppRunner(
            app,
            access_log=None,
            keepalive_timeout=limits.keepalive_s,
            shutdown_timeout=_DRAIN_S,
            max_line_size=8190,
            max_field_size=header_bytes,
            auto_decompress=False,  # the request guard unpacks: all of a body within its limit
        )
        self._server: asyncio.Server | None = None
        self._bound: socket.socket | None = None
        self.url = ""

    @property
    def connections(self) -> int:
        """How many connections there are now."""
        server = self._runner.server
        return len(server.connections) if server else 0

    @property
    def is_open(self) -> bool:
        """Whether it answers."""
        return self._server is not None

    def bind(self, host: str, port: int, hint: str, *, shared: bool) -> None:
        """
        Take the address; see `listen_on`.

        Raises:
            Misconfigured: it is taken, or not this machine's.

        """
        self._bound = listen_on(host, port, hint, shared=shared)
        self.url = url_of(self._bound)

    async def open(self) -> None:
        """Listen at the address that was taken."""
        assert self._bound is not None, "the address is taken first, with bind()"
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, sock=self._bound, backlog=1024)

    async def close(self) -> None:
        """Take no new connection, let running requests end."""
        if self._server is not None:
            self._server.close()
            self._server = None
        elif self._bound is not None:
            self._bound.close()
        self._bound = None
        await self._runner.cleanup()

    def _accept(self) -> asyncio.Protocol:
        """Serve a new connection, or turn it away when there are too many."""
        server = self._runner.server
        return _TurnedAway(self._dialect) if server is None or self._is_full() else server()


class _TurnedAway(asyncio.Protocol):
    """A connection over the limit: answered 503, and closed."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        error = Unavailable("too many connections", code="too_many_connections", retry_after_s=2)
        said = self._dialect.problem(error)
        body = said.body if isinstance(said.body, bytes) else b""
        writer = cast("asyncio.WriteTransport", transport)
        writer.write(
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: %b\r\n"
            b"Retry-After: 2\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
            % (said.headers["Content-Type"].encode(), len(body), body)
        )
        writer.close()

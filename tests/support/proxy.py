"""A link between two parts that can be cut, made a black hole, slowed, and healed."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit, urlunsplit

_PIECE_BYTES: Final = 64 * 1024

#: A socket with this option says that it is reset when it is closed, and sends nothing more.
_RESET_AT_CLOSE: Final = struct.pack("ii", 1, 0)


class FaultyProxy:
    """
    Forwards the connections that it accepts to one address.

    It forgets nothing: what came into a black hole is forwarded once the link is healed, as TCP
    would send it again. A client that asks its server where to connect next, as one of a MongoDB
    replica set does, goes past the link; `directConnection=true` keeps it here.
    """

    def __init__(self, host: str, port: int) -> None:
        """Prepare a link to an address; it has a port once it is entered."""
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: set[asyncio.StreamWriter] = set()
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._is_cut = False
        self._delay_s = 0.0
        self.port = 0
        #: Bytes that were forwarded, both ways together.
        self.forwarded = 0

    async def __aenter__(self) -> Self:
        """Accept connections."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all connections, and accept no more."""
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._tasks)

    def through(self, url: str) -> str:
        """Return a URL of the target as it is to be used through this link."""
        parts = urlsplit(url)
        login, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{login}{at}127.0.0.1:{self.port}"))

    def cut(self) -> None:
        """Reset all connections, and every new one, until the link is healed."""
        self._is_cut = True
        for end in self._ends:
            _reset(end)

    def swallow(self) -> None:
        """Be a black hole until healed: keep and accept connections, and forward nothing."""
        self._is_open.clear()

    def slow(self, delay_s: float) -> None:
        """Let every piece wait so long, each way; pieces have up to 64 KiB, one at a time."""
        self._delay_s = delay_s

    def heal(self) -> None:
        """Forward everything at once again, from now on."""
        self._is_cut = False
        self._delay_s = 0.0
        self._is_open.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection; where that is not possible, reset it."""
        with self._end(writer):
            await self._is_open.wait()
            if self._is_cut:
                raise ConnectionResetError
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            with self._end(far_writer):
                async with asyncio.TaskGroup() as both_ways:
                    both_ways.create_task(self._forward(reader, far_writer))
                    both_ways.create_task(self._forward(far_reader, writer))

    @contextmanager
    def _end(self, writer: asyncio.StreamWriter) -> Iterator[None]:
        """Have one end of a connection; it is closed at the end, and reset after an error."""
        self._ends.add(writer)
        try:
            yield
        except* OSError:
            _reset(writer)
        finally:
            self._ends.discard(writer)
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(_PIECE_BYTES):
            await self._pass()
            writer.write(piece)
            await writer.drain()
            self.forwarded += len(piece)
        await self._pass()
        writer.write_eof()

    async def _pass(self) -> None:
        """Wait as long as the link makes everything wait."""
        await asyncio.sleep(self._delay_s)
        await self._is_open.wait()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection at once, so that its other end is told of an error."""
    if not writer.transport.is_closing():
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE
        )
    writer.transport.abort()

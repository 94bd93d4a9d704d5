"""One connection to the broker that is kept open: lost, it is made again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPError
from aiormq.exceptions import AMQPError as BareAMQPError
from yarl import URL

from jobwire.actors.runtime.backoff import Backoff
from jobwire.actors.runtime.tasks import is_ending, is_stray
from jobwire.schemas.errors import Unavailable

_log = structlog.get_logger()

#: Seconds between two heartbeats: a connection that was cut silently is found by their absence.
#: The broker misses two to three of them before it gives the queues of a process that stands still
#: to the next one: with this number that takes less than 30 s.
_HEARTBEAT_S = 9
#: Longest time to connect, and to do one thing on the connection beside publishing.
DEADLINE_S = 5.0
#: First and longest pause between two tries to connect: it is back soon after the broker is.
_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0

BROKEN = (AMQPError, BareAMQPError, OSError, TimeoutError, RuntimeError)
"""
What a connection that fails can raise.

`RuntimeError` is what both libraries raise where something is used that was closed meanwhile.
"""


@contextmanager
def answered() -> Iterator[None]:
    """
    Turn a cancellation that nobody asked for into a broken connection.

    The library cancels whatever waits for an answer when it closes a connection that gives none.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        if not is_stray(error):
            raise
        raise ConnectionError("the connection was closed while an answer was awaited") from error


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Bound what is asked of the broker; it ends by an answer, or by one of `BROKEN`."""
    async with asyncio.timeout(seconds):
        with answered():
            yield


OnOpen = Callable[[AbstractConnection], Awaitable[None]]
"""Prepares a connection before anybody uses it."""


class RabbitConnection:
    """Keeps one connection open."""

    def __init__(self, url: str, name: str, on_open: OnOpen | None = None) -> None:
        """Connect to a URL under a name that the broker's operator sees."""
        self.name = name
        self._url = url
        self._on_open = on_open
        self._task: asyncio.Task[None] | None = None
        self._connection: AbstractConnection | None = None
        self._opened = asyncio.Event()
        self._renew = asyncio.Event()
        self.trouble = "not connected yet"

    def start(self) -> None:
        """Begin to connect; may be called twice."""
        if self._task is not None:
            return
        self._task = asyncio.create_task(self._keep_open(), name=f"rabbitmq.{self.name}")

    async def close(self) -> None:
        """Disconnect for good."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection now."""
        return self._connection is not None

    def current(self) -> AbstractConnection:
        """
        Return the connection.

        Raises:
            Unavailable: the connection is lost.

        """
        if self._connection is None:
            raise Unavailable(f"the broker is away: {self.trouble}", retry_after_s=2)
        return self._connection

    async def opened(self) -> AbstractConnection:
        """Wait for a connection."""
        while self._connection is None:
            await self._opened.wait()
        return self._connection

    async def ready(self) -> None:
        """Wait until the broker takes messages; it blocks them for want of memory or disk."""
        transport = self.current().transport
        if transport is not None:
            await transport.ready()

    def give_up(self, connection: AbstractConnection, reason: str) -> None:
        """Replace a connection that does not answer: a new one works as soon as the broker does."""
        if connection is self._connection:
            self._lose(reason)
            self._renew.set()

    async def _keep_open(self) -> None:
        backoff = Backoff(_PAUSE_S, _LONGEST_PAUSE_S)
        while True:
            try:
                connection = await self._connect()
            except Exception as error:  # noqa: BLE001 - logged; who gave up here would never heal
                self.trouble = "no connection"
                _log.warning("broker_away", connection=self.name, error=describe(error))
                if is_ending():
                    return
                await asyncio.sleep(backoff.next_s())
                continue
            backoff.reset()
            try:
                await self._stay(connection)
            finally:
                self.give_up(connection, "the connection was lost")
                await _close(connection)

    async def _connect(self) -> AbstractConnection:
        connection = aio_pika.Connection(
            URL(self._url).update_query(heartbeat=_HEARTBEAT_S),
            client_properties={"connection_name": f"jobwire {self.name}"},
        )
        # The library's own `closed()` tells only of a close that was asked for on this side.
        connection.close_callbacks.add(
            lambda *_: self.give_up(connection, "the connection was lost")
        )
        try:
            async with within(DEADLINE_S):
                await connection.connect()
            if self._on_open is not None:
                async with within(DEADLINE_S):
                    await self._on_open(connection)
        except BaseException:
            # Left open, it would be closed when it is collected, and that may be in any thread.
            await _close(connection)
            raise
        return connection

    async def _stay(self, connection: AbstractConnection) -> None:
        """Offer the connection until it is lost or given up."""
        self._renew.clear()
        if not connection.connected.is_set():
            return  # lost already
        self._connection = connection
        self._opened.set()
        _log.info("broker_connected", connection=self.name)
        await self._renew.wait()

    def _lose(self, reason: str) -> None:
        self._connection = None
        self._opened.clear()
        self.trouble = reason


async def _close(connection: AbstractConnection) -> None:
    """Close a connection, which may be dead already: bounded in time."""
    with suppress(*BROKEN):
        async with within(1):
            await connection.close()


async def close_channel(channel: AbstractChannel) -> None:
    """Close a channel, which may be dead already: bounded in time."""
    with suppress(*BROKEN):
        async with within(1):
            await channel.close()


def describe(error: BaseException) -> str:
    """Describe an error in one line; never with the URL, which may hold a password."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__

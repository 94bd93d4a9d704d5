"""
Announces to other systems on the bus that a job entered another state.

Best effort: entries that are missed, and the oldest of those that cannot be announced in time, are
not announced. A consumer that must not miss any uses a callback, or reads the history.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import msgspec
import structlog

from jobwire.actors.messaging.entry_buffer import EntryBuffer
from jobwire.actors.messaging.entry_feed import EntryFeed
from jobwire.actors.runtime.tasks import Loop
from jobwire.actors.transports.base import ConsumerHandle, Transport
from jobwire.schemas.errors import Unavailable
from jobwire.schemas.transitions import topic_of, transition_of

_log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode

#: Transitions that wait to be announced; when there are more, the oldest are dropped.
_MOST_WAITING = 10_000
#: Pause before the bus is tried again.
_PAUSE_S = 0.5
#: How long a stop takes at most to announce what waits.
_STOP_S = 2.0


class TransitionPublisher:
    """Publishes transitions for other systems."""

    name = "herald"

    def __init__(self, transport: Transport, feed: EntryFeed) -> None:
        """Announce on a transport what a feed brings."""
        self._transport = transport
        self._feed = feed
        self._waiting = EntryBuffer(
            lambda each: transition_of(each.entry), _MOST_WAITING, drops_oldest=True
        )
        self._loop = Loop(self.name, self._announce_all)
        self._following: ConsumerHandle | None = None

    async def start(self) -> None:
        """Begin with what is committed from now on."""
        self._loop.start()
        self._following = await self._feed.follow(self._waiting)

    async def stop(self) -> None:
        """Announce what waits, unless that takes long."""
        if self._following is not None:
            await self._following.close()
            self._following = None
        await self._loop.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await self._announce_waiting()

    def not_ready(self) -> str | None:
        """Name what is missing."""
        return None if self._following is not None and not self._loop.failing else self.name

    async def _announce_all(self) -> None:
        while True:
            await self._waiting.wait()
            await self._announce_waiting()
            if self._waiting.dropped:
                _log.warning("transitions_dropped", transitions=self._waiting.dropped)
                self._waiting.dropped = 0

    async def _announce_waiting(self) -> None:
        while taken := self._waiting.take(1):
            (transition,) = taken
            try:
                await self._transport.announce(topic_of(transition), _encode(transition))
            except (Unavailable, asyncio.CancelledError) as error:
                self._waiting.put_back(transition)
                if not isinstance(error, Unavailable):
                    raise
                await asyncio.sleep(_PAUSE_S)

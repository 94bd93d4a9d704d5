"""
The herald: announces to other systems on the bus that a job entered another state.

Best effort: what it does not hear, and the oldest of what it cannot tell in time, is not told. Who
must not miss anything has a callback, or reads the history.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

import msgspec
import structlog

from jobwire.actors.operations.streams import ENTRIES_TOPIC
from jobwire.actors.runtime.tasks import Loop
from jobwire.actors.stores.base import Positioned
from jobwire.actors.transports.base import ConsumerHandle, Transport
from jobwire.schemas.errors import Unavailable
from jobwire.schemas.transitions import Transition, topic_of, transition_of

_log = structlog.get_logger()
_decoder = msgspec.msgpack.Decoder(list[Positioned])
_encode = msgspec.json.Encoder().encode

#: Transitions that wait to be told; more of them, and the oldest go.
_MOST_WAITING = 10_000
#: Pause before the bus is tried again.
_PAUSE_S = 0.5
#: How long a stop waits for what is still to be told.
_STOP_S = 2.0


class TransitionPublisher:
    """Transitions out, onto the bus."""

    name = "herald"

    def __init__(self, transport: Transport) -> None:
        """Hear and announce on a transport."""
        self._transport = transport
        self._waiting: deque[Transition] = deque()
        self._lost = 0
        self._filled = asyncio.Event()
        self._told = asyncio.Event()
        self._told.set()
        self._loop = Loop(self.name, self._announce_all)
        self._subscription: ConsumerHandle | None = None

    async def start(self) -> None:
        """Begin to hear; what was before is not told."""
        self._loop.start()
        self._subscription = await self._transport.listen(ENTRIES_TOPIC, self._on_message)

    async def stop(self) -> None:
        """Tell what was heard, unless that takes long."""
        if self._subscription is not None:
            await self._subscription.close()
            self._subscription = None
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_S):
                    await self._told.wait()
        await self._loop.stop()

    def not_ready(self) -> str | None:
        """Name what is missing."""
        return None if self._subscription is not None and not self._loop.failing else self.name

    def _on_message(self, _topic: str, message: bytes) -> None:
        for positioned in _decoder.decode(message):
            if positioned.entry.moved_in and (moved := transition_of(positioned.entry)):
                self._waiting.append(moved)
        while len(self._waiting) > _MOST_WAITING:
            self._waiting.popleft()
            self._lost += 1
        if self._waiting:
            self._told.clear()
            self._filled.set()

    async def _announce_all(self) -> None:
        while True:
            await self._filled.wait()
            await self._announce_waiting()
            if self._lost:
                _log.warning("transitions_not_told", transitions=self._lost)
                self._lost = 0
            self._filled.clear()
            self._told.set()

    async def _announce_waiting(self) -> None:
        while self._waiting:
            transition = self._waiting.popleft()
            try:
                await self._transport.announce(topic_of(transition), _encode(transition))
            except Unavailable:
                self._waiting.appendleft(transition)
                await asyncio.sleep(_PAUSE_S)

"""Outcomes that somebody waits for: an address of this process, and who waits there."""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict

import msgspec

from actors.transports.base import Transport
from schemas.identifiers import EventId, JobId
from schemas.outcomes import Outcome

_decoder = msgspec.msgpack.Decoder(Outcome)


class Replies:
    """Hears the outcomes of this process's events and hands each to whoever waits for it."""

    def __init__(self) -> None:
        """Take an address that no other process has."""
        self.address = f"replies.{secrets.token_hex(8)}"
        self._waiting: dict[tuple[JobId, EventId], list[asyncio.Future[Outcome]]] = defaultdict(
            list
        )

    async def start(self, transport: Transport) -> None:
        """Begin to hear."""
        await transport.listen(self.address, self._hear)

    def expect(self, job: JobId, event: EventId) -> asyncio.Future[Outcome]:
        """
        Give a future for the next outcome of an event.

        Call `forget` when no longer interested.
        """
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[job, event].append(outcome)
        return outcome

    def forget(self, job: JobId, event: EventId, outcome: asyncio.Future[Outcome]) -> None:
        """Wait no longer."""
        waiting = self._waiting.get((job, event), [])
        if outcome in waiting:
            waiting.remove(outcome)
        if not waiting:
            self._waiting.pop((job, event), None)

    def _hear(self, _topic: str, message: bytes) -> None:
        outcome = _decoder.decode(message)
        for waiting in self._waiting.pop((outcome.job, outcome.event), ()):
            if not waiting.done():
                waiting.set_result(outcome)

"""A handler of a queue that remembers what it was handed, and waits or fails on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from jobwire.actors.transports.base import BusMessage


class Consumer:
    """Remembers what it was handed; waits and fails on demand."""

    def __init__(self, *, held: bool = False, error: Exception | None = None) -> None:
        """Handle at once unless `held`; raise `error` after each batch."""
        self.batches: list[list[bytes]] = []
        self.deliveries: list[BusMessage] = []
        self.finished = 0
        self.error = error
        self.begun = asyncio.Event()
        self.let_go = asyncio.Event()
        if not held:
            self.let_go.set()

    @property
    def messages(self) -> list[bytes]:
        """Return all that was handed out, in order."""
        return [message for batch in self.batches for message in batch]

    async def __call__(self, deliveries: Sequence[BusMessage]) -> None:
        """Handle a batch."""
        self.batches.append([delivery.body for delivery in deliveries])
        self.deliveries += deliveries
        self.begun.set()
        await self.let_go.wait()
        self.finished += 1
        if self.error is not None:
            raise self.error


def numbered(count: int, start: int = 0) -> list[bytes]:
    """Return messages that show their order."""
    return [str(number).encode() for number in range(start, start + count)]

"""Packets of one shard that were sent and are not stored yet."""

from __future__ import annotations

import asyncio
import math
from time import monotonic

from jobwire.schemas.errors import Unavailable

#: How long the oldest packet may wait to be stored before others wait for it.
BACKLOG_S = 0.5
#: How long a packet waits for older ones; after that a single one is sent to see how things are.
_PATIENCE_S = 2.0


class Backlog:
    """Numbers of packets, oldest first, and when each was sent."""

    def __init__(self) -> None:
        """Begin without any."""
        self._sent: dict[int, float] = {}
        self._moved = asyncio.Event()
        self._tried = -math.inf

    def add(self, number: int) -> None:
        """Note a packet that is sent now."""
        self._sent[number] = monotonic()

    def remove(self, number: int) -> None:
        """Forget a packet that was not sent."""
        self._sent.pop(number, None)
        self._moved.set()

    def remove_up_to(self, number: int) -> None:
        """Forget a packet that is stored, and older ones: a shard is stored in order."""
        for each in [each for each in self._sent if each <= number]:
            del self._sent[each]
        self._moved.set()

    def clear(self) -> None:
        """Forget all: receipts may have been lost."""
        self._sent.clear()
        self._moved.set()

    def age_s(self) -> float:
        """Return the age of the oldest packet; 0 without packets."""
        if not self._sent:
            return 0.0
        return monotonic() - next(iter(self._sent.values()))

    async def wait(self) -> None:
        """
        Return when the next packet may be sent: those before it are stored, or nearly.

        Raises:
            Unavailable: they are not stored in time.

        """
        if self.age_s() <= BACKLOG_S:
            return
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while self.age_s() > BACKLOG_S:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            # A single one is sent now and then: should receipts be lost, or the queue with all that
            # was in it, its own receipt shows that all is well, and nobody need be refused.
            if monotonic() - self._tried > 2 * _PATIENCE_S:
                self._tried = monotonic()
                return
            detail = f"events wait {self.age_s():.0f} s to be stored"
            raise Unavailable(detail, code="backlog", retry_after_s=2) from None

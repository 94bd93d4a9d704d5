"""Forgets jobs that ended long ago, with all that belongs to them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from jobwire.actors.runtime.periodic import Periodic
from jobwire.actors.stores.base import Store

#: Pause between two looks when nothing is left to forget, and jobs of one write.
_LOOK_S, _AT_ONCE = 60.0, 200


class JobRetention:
    """Removes whole jobs some time after their end."""

    name = "forgetter"

    def __init__(self, store: Store, keep_s: float, clock: Callable[[], datetime]) -> None:
        """Keep ended jobs for `keep_s` seconds; 0: for ever."""
        self._store = store
        self._keep_s = keep_s
        self._clock = clock
        self._loop = Periodic(self.name, self._forget_all, _LOOK_S)

    async def start(self) -> None:
        """Begin to look."""
        if self._keep_s:
            self._loop.start()

    async def stop(self) -> None:
        """Stop looking."""
        await self._loop.stop()

    def not_ready(self) -> str | None:
        """Name what is missing."""
        return self.name if self._loop.failing else None

    async def forget(self) -> int:
        """Forget some jobs whose time is over; return their number."""
        before = self._clock() - timedelta(seconds=self._keep_s)
        return await self._store.forget(before, _AT_ONCE)

    async def _forget_all(self) -> None:
        while await self.forget():
            pass

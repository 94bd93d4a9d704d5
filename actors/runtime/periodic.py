"""Work that is done again and again, with a pause between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from jobwire.actors.runtime.tasks import Loop, is_ending
from jobwire.schemas.errors import Unavailable

_log = structlog.get_logger()


class Periodic(Loop):
    """A loop of equal turns; what the store or the bus refuses now is tried at the next one."""

    def __init__(
        self,
        name: str,
        work: Callable[[], Awaitable[object]],
        pause_s: float,
        *,
        pauses_first: bool = False,
    ) -> None:
        """
        Prepare the loop.

        Args:
            name: for logs.
            work: one turn.
            pause_s: the pause between two turns.
            pauses_first: whether there is a pause before the first turn too.

        """
        super().__init__(name, self._turns)
        self._work = work
        self._pause_s = pause_s
        self._pauses_first = pauses_first

    async def _turns(self) -> None:
        if self._pauses_first:
            await asyncio.sleep(self._pause_s)
        while True:
            try:
                await self._work()
            except Unavailable as error:
                _log.warning("work_waits", loop=self.name, error=error.detail)
            if is_ending():  # what was being done may have swallowed the cancellation
                return
            await asyncio.sleep(self._pause_s)

"""Long-lived tasks that have an owner: an error in one is seen, never lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from time import monotonic

import structlog

from jobwire.actors.runtime.backoff import Backoff

_log = structlog.get_logger()

#: First and longest pause before a failed loop is started again.
_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
#: A loop that ran so long begins with the first pause again when it fails.
_STEADY_S = 60.0


def is_stray(error: BaseException) -> bool:
    """
    Return whether an error is a cancellation that nobody asked this task for.

    A library may let one out whose own task or future was cancelled: that is a failure like any
    other, and no reason to end.
    """
    return isinstance(error, asyncio.CancelledError) and not is_ending()


def is_ending() -> bool:
    """
    Return whether this task was asked to end.

    What fails then must not be tried again: the caller waits for the end, and calls once.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Loop:
    """Runs one endless coroutine and starts it again, with back-off, when it fails."""

    def __init__(
        self,
        name: str,
        run: Callable[[], Coroutine[None, None, None]],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Prepare the loop: its name (for logs), and the coroutine function that never returns."""
        self.name = name
        self.failing = False
        self._run = run
        self._backoff = Backoff(_PAUSE_S, _LONGEST_PAUSE_S, jitter)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the loop."""
        self._backoff.reset()
        self._task = asyncio.create_task(self._supervise(), name=self.name)

    async def stop(self) -> None:
        """Cancel the loop and wait for its end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _supervise(self) -> None:
        while True:
            started = monotonic()
            try:
                await self._run()
            except BaseException as error:  # logged, and the loop starts again
                if not (isinstance(error, Exception) or is_stray(error)):
                    raise
                if is_ending():
                    _log.exception("loop_failed_ending", loop=self.name)
                    return
                if monotonic() - started >= _STEADY_S:
                    self._backoff.reset()
                pause_s = self._backoff.next_s()
                _log.exception("loop_failed", loop=self.name, pause_s=pause_s)
                self.failing = True
                await asyncio.sleep(pause_s)
            else:
                return
            finally:
                self.failing = False

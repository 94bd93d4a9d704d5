"""An event loop in a thread of its own, for callers that have no event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine, Generator
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from jobwire.schemas.errors import JobwireError

Result = TypeVar("Result")


class LoopThread:
    """Runs coroutines for threads that wait for them; any number of threads may do so at once."""

    def __init__(self) -> None:
        """Start the thread; it does not keep the process alive."""
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        self._thread = threading.Thread(target=self._serve, name="jobwire-client", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs; after a fork, it does so in the parent process only."""
        return self._thread.is_alive()

    def run(self, call: Coroutine[Any, Any, Result]) -> Result:
        """
        Run a coroutine to its end; an interrupted wait (Ctrl-C) cancels it.

        Raises:
            JobwireError: the loop cannot run it for this thread, or was closed meanwhile.

        """
        if (reason := self._why_not()) is not None:
            call.close()
            raise JobwireError(reason, code="not_open")
        future = asyncio.run_coroutine_threadsafe(call, self._loop)
        try:
            return future.result()
        except CancelledError as error:
            detail = "the client is closed: this call was not finished, and may have been done"
            raise JobwireError(detail, code="not_open") from error
        finally:
            future.cancel()  # has no effect on one that has ended

    def iterate(self, items: AsyncGenerator[Result, None]) -> Generator[Result, None, None]:
        """Yield what an asynchronous generator yields, one item at a time as they are asked for."""
        try:
            while True:
                try:
                    item = self.run(items.asend(None))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            # Nobody waits for it: a generator that is collected may end in the loop's own thread.
            if self.is_alive:
                asyncio.run_coroutine_threadsafe(items.aclose(), self._loop)

    def close(self) -> None:
        """End what still runs, and the thread."""
        if self.is_alive:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _serve(self) -> None:
        with self._runner:
            self._loop.run_forever()

    def _why_not(self) -> str | None:
        if threading.current_thread() is self._thread:
            return (
                "`on_retry` must not call the client that it belongs to: it would wait for itself"
            )
        if not self.is_alive:
            return "the client is closed, or was opened before a fork; open one in each process"
        return None

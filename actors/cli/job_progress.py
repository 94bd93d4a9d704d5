"""The progress of one job that the service runs, kept up to date from its entries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from jobwire.actors.client import Client
from jobwire.schemas.lifecycle import DELETE, JobOutcome
from jobwire.schemas.views import EntryView

#: What the table of `execution` calls the state before another attempt, and the start of one.
_RETRYING, _RUN = "RETRYING", "run"


class JobProgress:
    """What is known of a job: its newest entry, its attempt, whether it has ended."""

    def __init__(self, attempt: int = 1) -> None:
        """Start before the first entry, at the first attempt by default."""
        self.attempt = attempt
        """The newest attempt."""
        self.last: EntryView | None = None
        """The newest applied entry."""
        self.is_deleted = False
        self._started: set[int] = set()
        self._changed = asyncio.Event()

    @property
    def outcome(self) -> JobOutcome | None:
        """How the job ended; None: it has not."""
        return self.last.outcome if self.last else None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.is_deleted or self.outcome is not None

    def has_started(self, attempt: int) -> bool:
        """Return whether the process of an attempt has started, as far as is known."""
        return attempt in self._started

    def is_over(self, attempt: int) -> bool:
        """Return whether nothing of an attempt runs any more."""
        return self.has_ended or self.attempt > attempt

    def apply(self, entry: EntryView) -> None:
        """Apply the next entry."""
        if not entry.applied:
            return
        before = self.last.state if self.last else None
        if entry.name == DELETE:
            self.is_deleted = True
        if entry.name == _RUN:
            self._started.add(self.attempt)
        if entry.state == _RETRYING and before != _RETRYING:
            self.attempt += 1
        self.last = entry
        self._changed.set()

    async def follow(
        self,
        jobwire: Client,
        job: str,
        on_entry: Callable[[EntryView], Awaitable[None]] | None = None,
    ) -> None:
        """Apply a job's entries from the first to its outcome; call `on_entry` after each."""
        async for entry in jobwire.stream(job):
            self.apply(entry)
            if on_entry is not None:
                await on_entry(entry)
            if self.has_ended:
                break
        self._changed.set()

    async def change(self, within_s: float | None = None) -> None:
        """Return at the next entry, or after `within_s` seconds."""
        self._changed.clear()
        try:
            async with asyncio.timeout(within_s):
                await self._changed.wait()
        except TimeoutError:
            return

"""
Sends deferred events again after their jobs have changed state, whatever changed it.

It follows the committed entries. At its start, after entries may have been missed, and at intervals
(for events whose time has expired), it goes through all deferred events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from jobwire.actors.dialects.pipelinejobs.deferred_events import DeferredEvents
from jobwire.actors.messaging.entry_buffer import EntryBuffer
from jobwire.actors.messaging.entry_feed import EntryFeed
from jobwire.actors.runtime.tasks import Loop
from jobwire.actors.stores.base import Positioned
from jobwire.actors.transports.base import ConsumerHandle
from jobwire.schemas.errors import JobwireError, Unavailable
from jobwire.schemas.identifiers import JobId
from jobwire.schemas.principals import Principal

_log = structlog.get_logger()

#: Pause after an attempt that failed because the store was away.
_PAUSE_S = 0.5
#: Most changed jobs that are kept; when there are more, all deferred events are gone through.
_MOST_MOVED = 10_000

Resend = Callable[[Principal, JobId], Awaitable[None]]
"""Sends the deferred events of an owner's job again."""


class DeferredEventRetrier:
    """Sends deferred events again."""

    #: The role whose lease it holds: a stored value, which stays as it is.
    name = "waker"

    def __init__(
        self,
        feed: EntryFeed,
        deferred_events: DeferredEvents,
        lifecycle: str,
        resend: Resend,
        *,
        look_s: float,
    ) -> None:
        """
        Follow by a feed the jobs of a lifecycle that change; resend their deferred events.

        All deferred events are gone through every `look_s` seconds.
        """
        self._feed = feed
        self._deferred_events = deferred_events
        self._lifecycle = lifecycle
        self._resend = resend
        self._look_s = look_s
        self._next_look = 0.0
        self._moved = EntryBuffer(self._pick, _MOST_MOVED)
        self._loop = Loop(self.name, self._run)
        self._subscription: ConsumerHandle | None = None

    async def start(self) -> None:
        """Follow the feed, and go through the events that were deferred before."""
        self._moved.on_missed()
        self._subscription = await self._feed.follow(self._moved)
        self._loop.start()

    async def stop(self) -> None:
        """Stop; the next leader goes through the events that are still deferred."""
        if self._subscription is not None:
            await self._subscription.close()
            self._subscription = None
        await self._loop.stop()

    def not_ready(self) -> str | None:
        """Name what is missing."""
        return None if self._subscription is not None and not self._loop.failing else self.name

    def _pick(self, each: Positioned) -> tuple[str, JobId] | None:
        entry = each.entry
        return (entry.owner, entry.job) if entry.moved_in == self._lifecycle else None

    async def _run(self) -> None:
        while True:
            try:
                await self._retry()
            except Unavailable as error:
                _log.warning("waker_waits", error=error.detail)
                self._moved.on_missed()
                await asyncio.sleep(_PAUSE_S)
            await self._moved.wait(self._next_look - asyncio.get_running_loop().time())

    async def _retry(self) -> None:
        """Resend the events of jobs that have changed, or of all jobs with deferred events."""
        waiting = dict.fromkeys(self._moved.take())
        now = asyncio.get_running_loop().time()
        if self._moved.is_behind or now >= self._next_look:
            self._moved.catch_up()
            self._next_look = now + self._look_s
            waiting |= dict.fromkeys(await self._deferred_events.everywhere())
        for owner, job in waiting:
            try:
                await self._resend(Principal(owner, frozenset()), job)
            except Unavailable:
                raise
            except JobwireError as error:
                _log.warning("event_not_woken", job_id=job, code=error.code)

"""
Sends deferred events again when their jobs have moved, by whatever way.

It follows what is committed. At its start, when entries may have been missed, and now and then for
events whose time is over, it goes through all that are deferred.
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

#: Pause after a look that could not be taken.
_PAUSE_S = 0.5
#: Jobs that have moved and were not looked at yet; when there are more, all that wait are.
_MOST_MOVED = 10_000

Resend = Callable[[Principal, JobId], Awaitable[None]]
"""Sends again what waits of an owner's job."""


class DeferredEventRetrier:
    """Wakes what is parked."""

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
        Hear by a feed when jobs of a lifecycle move; resend what is parked of them.

        All that is parked is looked at every `look_s` seconds.
        """
        self._feed = feed
        self._deferred_events = deferred_events
        self._lifecycle = lifecycle
        self._resend = resend
        self._look_s = look_s
        self._next_look = 0.0
        self._moved = EntryBuffer(self._pick, _MOST_MOVED)
        self._loop = Loop(self.name, self._wake_all)
        self._subscription: ConsumerHandle | None = None

    async def start(self) -> None:
        """Begin to hear, and look at what was parked before."""
        self._moved.on_missed()
        self._subscription = await self._feed.follow(self._moved)
        self._loop.start()

    async def stop(self) -> None:
        """Stop; what is still parked is looked at by the next one."""
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

    async def _wake_all(self) -> None:
        while True:
            try:
                await self._wake()
            except Unavailable as error:
                _log.warning("waker_waits", error=error.detail)
                self._moved.on_missed()
                await asyncio.sleep(_PAUSE_S)
            await self._moved.wait(self._next_look - asyncio.get_running_loop().time())

    async def _wake(self) -> None:
        """Look at the jobs that have moved, or at all of which something waits."""
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

"""Sends events that came too early again: when their job is ready, and once when time is up."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from jobwire.actors.dialects.pipelinejobs.authority import sender
from jobwire.actors.dialects.pipelinejobs.deferred_events import (
    DeferredEvent,
    DeferredEvents,
    again,
)
from jobwire.actors.dialects.pipelinejobs.early import allowed, is_early
from jobwire.actors.operations import Operations
from jobwire.schemas.errors import NotFound
from jobwire.schemas.identifiers import EventId, JobId
from jobwire.schemas.outcomes import Outcome
from jobwire.schemas.principals import Principal

#: How long the outcome of an event is waited for; after that its execution tells it.
WAIT_S: Final = 5.0


class DeferredEventSender:
    """Sends deferred events again; each is applied once, however many senders are at work."""

    def __init__(
        self, operations: Operations, deferred_events: DeferredEvents, park_s: float
    ) -> None:
        """Let an event wait for `park_s` seconds at the most."""
        self._events = operations.events
        self._jobs = operations.jobs
        self._deferred_events = deferred_events
        self._longest = timedelta(seconds=park_s)

    async def resend_all(self, principal: Principal, job: JobId) -> None:
        """Send the deferred events of an owner's job, as long as one of them is applied."""
        waiting = await self._deferred_events.of_job(principal, job)
        while waiting:
            applied = [await self.resend(principal, each) for each in waiting]
            waiting = await self._deferred_events.of_job(principal, job) if any(applied) else []

    async def resend(self, principal: Principal, deferred: DeferredEvent) -> bool:
        """
        Send a deferred event if its job is ready; return whether it was applied.

        When its time has expired it is sent in any case, and its outcome is final.
        """
        try:
            state = (await self._jobs.get(principal, deferred.job)).state
        except NotFound:
            await self._deferred_events.drop(principal, deferred)
            return False
        is_ready = not is_early(state, deferred.name) or deferred.name in allowed(state)
        if not is_ready and self._events.now() < deferred.since + self._longest:
            return False
        outcome = await self.post(
            principal, deferred.job, deferred.name, deferred.data, again(deferred.event)
        )
        if outcome is None:
            return False
        await self._deferred_events.drop(principal, deferred)
        return outcome.verdict == "applied"

    async def post(
        self, principal: Principal, job: JobId, name: str, data: bytes | None, event_id: EventId
    ) -> Outcome | None:
        """Send an event of an owner and wait for its outcome; None: it is not known yet."""
        event = self._events.build(
            job=job,
            name=name,
            principal=sender(principal),
            data=data,
            event_id=event_id,
            source="pipelinejobs",
        )
        return await self._events.post(event, WAIT_S)

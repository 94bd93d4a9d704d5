"""
The reaper: finds what nobody reports any more, and what the bus has lost.

It decides nothing: it sends events like everybody else, and publishes again the command that a job
awaits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import msgspec
import structlog

from jobwire.actors.lifecycle_registry import LifecycleRegistry
from jobwire.actors.messaging.signed_event import signed_event
from jobwire.actors.runtime.cache import BoundedCache
from jobwire.actors.runtime.periodic import Periodic
from jobwire.actors.runtime.telemetry import Telemetry
from jobwire.actors.state_manager.commit_publisher import publish_awaited
from jobwire.actors.stores.base import EventKey, OutstandingJob, Store
from jobwire.actors.transports.base import Transport
from jobwire.schemas.commands import KINDS
from jobwire.schemas.errors import Unavailable
from jobwire.schemas.events import Event
from jobwire.schemas.identifiers import RESERVED_ID, EventId
from jobwire.schemas.jobs import LONGEST_REPUBLISH_S, REPUBLISH_S, Job
from jobwire.schemas.lifecycle import Facts, Lifecycle, next_state
from jobwire.schemas.tokens import Keyring

_log = structlog.get_logger()

#: Jobs of one page.
_PAGE = 500
#: Commands of newer releases that the log names once each.
_MOST_LEFT = 10_000

Post = Callable[[Event], Awaitable[None]]
Clock = Callable[[], datetime]


class Reaper:
    """Looks for stale jobs and forgotten commands, again and again."""

    name = "reaper"

    def __init__(
        self,
        *,
        store: Store,
        transport: Transport,
        registry: LifecycleRegistry,
        keyring: Keyring,
        post: Post,
        clock: Clock,
        telemetry: Telemetry,
        interval_s: float,
    ) -> None:
        """Look every `interval_s` seconds; events go out through `post`."""
        self._store = store
        self._transport = transport
        self._registry = registry
        self._keyring = keyring
        self._post = post
        self._clock = clock
        self._telemetry = telemetry
        #: Commands that only a newer release knows, as far as the log has named them.
        self._left: BoundedCache[EventKey, None] = BoundedCache(_MOST_LEFT)
        # Each goes on by itself: what one is kept from does not keep the other.
        self._loops = [
            Periodic("reaper.stale", self.reap, interval_s, pauses_first=True),
            Periodic("reaper.commands", self.republish, interval_s, pauses_first=True),
        ]

    async def start(self) -> None:
        """Keep looking."""
        for loop in self._loops:
            loop.start()

    async def stop(self) -> None:
        """Stop looking."""
        for loop in self._loops:
            await loop.stop()

    def not_ready(self) -> str | None:
        """Name what is missing."""
        return self.name if any(loop.failing for loop in self._loops) else None

    async def reap(self) -> int:
        """End the jobs that are stale now; return their number."""
        ended = 0
        for job in await self._store.stale(self._clock(), _PAGE):
            ended += await self._look_at(job)
        return ended

    async def republish(self) -> int:
        """
        Publish the due commands; return their number, with those that were refused.

        A command that stays unanswered is published again after pauses that grow with its age, so
        ten thousand jobs that wait for a slot cost next to nothing.
        """
        now, published = self._clock(), 0
        after: OutstandingJob | None = None
        while True:
            page = await self._store.outstanding(now, after, _PAGE)
            ready = [each.job for each in page if self._is_ready(each.job, now)]
            try:
                await publish_awaited(self._transport, self._telemetry, ready)
            except Unavailable as error:
                # Refused is tried, too: else a queue that is full would hide what is behind it.
                _log.warning("commands_refused", error=error.detail)
            if ready:
                await self._store.postpone([(job, _again_at(job, now)) for job in ready])
            published += len(ready)
            if len(page) < _PAGE:
                return published
            after = page[-1]

    async def _look_at(self, job: Job) -> bool:
        stale_at = job.stale_at()
        lifecycle = await self._registry.get(job.owner, job.lifecycle, job.lifecycle_version)
        if lifecycle is None:
            _log.warning("lifecycle_unknown", job_id=job.id, lifecycle=job.lifecycle)
            await self._store.watch(job, self._clock() + timedelta(seconds=LONGEST_REPUBLISH_S))
            return False
        event = stale_event_of(job, lifecycle)
        if stale_at is None or event is None:
            await self._store.watch(job, None)
        elif stale_at > self._clock():
            await self._store.watch(job, stale_at)
        else:
            await self._post(self._stale(job, event))
            self._telemetry.stale_jobs.inc()
            _log.info("job_stale", job_id=job.id, seq=job.seq)
            return True
        return False

    def _is_ready(self, job: Job, now: datetime) -> bool:
        """Return whether a command is due; one of a newer release is left to it, logged once."""
        awaited = job.outstanding
        if awaited is None or awaited.since > now:
            return False
        if awaited.kind in KINDS:
            return True
        key = EventKey(job.id, awaited.entry)
        if key not in self._left:
            self._left[key] = None
            _log.warning("command_left", job_id=job.id, kind=awaited.kind)
        return False

    def _stale(self, job: Job, name: str) -> Event:
        now = self._clock()
        return signed_event(
            self._keyring,
            "reaper",
            job=job.id,
            event_id=EventId(f"{RESERVED_ID}stale.{job.seq}"),
            name=name,
            received=now,
            data=_stale_data(job, now),
            same=b"stale",
            expects=job.seq,
        )


def _since(job: Job) -> datetime:
    return job.outstanding.since if job.outstanding else job.updated


def _again_at(job: Job, now: datetime) -> datetime:
    """Return the moment of the next publication: as long from now as the command has waited."""
    waited_s = (now - _since(job)).total_seconds()
    return now + timedelta(seconds=min(max(waited_s, REPUBLISH_S), LONGEST_REPUBLISH_S))


def stale_event_of(job: Job, lifecycle: Lifecycle) -> str | None:
    """
    Name the event that ends a stale job.

    None: its state has no exit by it, so it is not watched.
    """
    name = lifecycle.stale_event
    if name is None or next_state(lifecycle, job.state, name, Facts()) in (None, job.state):
        return None
    return name


def _stale_data(job: Job, now: datetime) -> bytes:
    deadline = (
        job.created + timedelta(seconds=job.deadline_s) if job.deadline_s is not None else None
    )
    if deadline is not None and deadline <= now:
        detail = f"not ended {job.deadline_s:g} s after its creation"
    else:
        detail = f"no event for {job.heartbeat_s:g} s"
    return msgspec.json.encode({"cause": "stale", "detail": detail})

"""
Starts the attempts that are due: of deliveries just planned at once, of others from the store.

Only attempts in flight are in memory; deliveries that must wait stay in the store. A delivery is in
flight until its result is recorded, so none is started twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from jobwire.actors.notifier.breaker import Breaker
from jobwire.actors.notifier.delivery_attempt import DeliveryAttempt, DeliveryResult
from jobwire.actors.runtime.failpoints import failpoint
from jobwire.actors.runtime.telemetry import Telemetry
from jobwire.actors.stores.base import Store
from jobwire.schemas.deliveries import Delivery
from jobwire.schemas.errors import Unavailable

_log = structlog.get_logger()

#: Longest time between two readings of the store, whatever is expected.
POLL_S = 1.0
#: Pause before results are written again when the store could not.
_PAUSE_S = 0.5
#: How long attempts in flight may take when the service stops; others are repeated at a start.
_GRACE_S = 1.0


class Dispatcher:
    """Starts attempts and records their results."""

    def __init__(
        self,
        *,
        store: Store,
        attempt: DeliveryAttempt,
        breaker: Breaker,
        each: int,
        telemetry: Telemetry,
        clock: Callable[[], datetime],
    ) -> None:
        """Start what a breaker allows, at most `each` at one endpoint."""
        self._store = store
        self._attempt = attempt
        self._breaker = breaker
        self._each = each
        self._telemetry = telemetry
        self._clock = clock
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._results: list[DeliveryResult] = []
        self._ended = asyncio.Event()
        self._wake = asyncio.Event()
        self._poll_at = clock()
        self._ended_meanwhile: set[str] | None = None
        """Deliveries that ended while the store is read: it may still show them as due."""
        self._stopping = False

    def offer(self, delivery: Delivery) -> None:
        """Start a delivery at once if it is due and not blocked; else it waits in the store."""
        if delivery.next_at is None or self._stopping:
            return
        if delivery.next_at > self._clock() or not self._start(delivery):
            self._poll_by(delivery.next_at)

    def poll(self) -> None:
        """Read the store now."""
        self._poll_by(self._clock())

    async def keep_starting(self) -> None:
        """Start what is due; never ends."""
        while True:
            if self._poll_at <= self._clock():
                await self._start_due()
            left_s = (self._poll_at - self._clock()).total_seconds()
            try:
                async with asyncio.timeout(min(max(left_s, 0.0), POLL_S)):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    async def keep_recording(self) -> None:
        """Record the results of attempts, all that have ended at a time; never ends."""
        while True:
            self._ended.clear()
            try:
                await self._record()
            except Unavailable as error:
                _log.warning("callbacks_not_recorded", error=error.detail)
                await asyncio.sleep(_PAUSE_S)
            else:
                await self._ended.wait()

    async def stop(self) -> None:
        """Let attempts in flight end, but not for long; those that do not are repeated."""
        self._stopping = True
        tasks = list(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_GRACE_S)
            for task in late:
                task.cancel()
            await asyncio.wait(tasks)
        try:
            await self._record()
        except Unavailable as error:
            _log.warning("callbacks_not_recorded", error=error.detail)

    async def _start_due(self) -> None:
        now = self._clock()
        self._poll_at = now + timedelta(seconds=POLL_S)
        if self._breaker.free <= 0:
            return  # the next attempt that ends reads the store
        # An endpoint has a limit of deliveries in flight, so a free one shows a further delivery.
        ended: set[str] = set()
        self._ended_meanwhile = ended
        limit = self._breaker.free + self._breaker.in_flight
        found = await self._store.deliverable(now, self._breaker.blocked(), self._each, limit)
        self._ended_meanwhile = None
        started = [self._start(each) for each in found if each.id not in ended]
        if len(found) == limit and not all(started):
            # Those of one owner, or of those that fail, have hidden others: they are blocked now.
            self.poll()
            return
        # What is due and not started waits for the end of an attempt in flight.
        to_come = await self._store.next_delivery(now, self._breaker.blocked())
        for moment in (to_come, self._breaker.paused_until()):
            if moment is not None:
                self._poll_by(moment)

    def _poll_by(self, moment: datetime) -> None:
        if moment < self._poll_at:
            self._poll_at = moment
            self._wake.set()

    def _start(self, delivery: Delivery) -> bool:
        if self._stopping or delivery.id in self._tasks:
            return True
        if not self._breaker.acquire(delivery.endpoint):
            return False
        self._telemetry.callbacks_in_hand.inc()
        task = asyncio.create_task(self._run_attempt(delivery), name="notifier.attempt")
        self._tasks[delivery.id] = task
        return True

    async def _run_attempt(self, delivery: Delivery) -> None:
        try:
            done = await self._attempt.deliver(delivery)
        except Unavailable as error:
            # The store could not say what must be known; the delivery stays due.
            _log.warning("callback_waits", job_id=delivery.job, error=error.detail)
            await asyncio.sleep(_PAUSE_S)
            done = DeliveryResult(delivery, failures=1)
        except Exception:  # noqa: BLE001 - logged; tried again by its schedule
            _log.exception("callback_broke", job_id=delivery.job, seq=delivery.seq)
            done = self._attempt.broken(delivery)
        self._results.append(done)
        self._ended.set()

    async def _record(self) -> None:
        done = list(self._results)
        if not done:
            return
        await self._store.save_deliveries([each.delivery for each in done])
        del self._results[: len(done)]
        for each in done:
            self._release(each)
        failpoint("notifier.after_record")

    def _release(self, done: DeliveryResult) -> None:
        delivery = done.delivery
        self._tasks.pop(delivery.id, None)
        self._telemetry.callbacks_in_hand.dec()
        if self._ended_meanwhile is not None:
            self._ended_meanwhile.add(delivery.id)
        may_wait = self._breaker.release(
            delivery.endpoint, failures=done.failures, pause_s=done.pause_s
        )
        if done.follower is not None:
            self.offer(done.follower)
        if may_wait:
            self.poll()
        elif delivery.next_at is not None:
            self._poll_by(delivery.next_at)

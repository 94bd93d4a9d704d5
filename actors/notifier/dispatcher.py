"""
Which delivery is tried when: at once those just planned, the others as the store has them due.

Only what is being tried is in memory; what must wait stays in the store. A delivery in hand counts
as such until what became of it is written down, so none is taken up twice.
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

#: Longest time between two looks at the store, whatever is expected.
LOOK_S = 1.0
#: Pause before results are written again when the store could not.
_PAUSE_S = 0.5
#: How long tries in hand may take when the service stops; they are repeated at the next start.
_GRACE_S = 1.0


class Dispatcher:
    """Starts tries and writes down what became of them."""

    def __init__(
        self,
        *,
        store: Store,
        courier: DeliveryAttempt,
        breaker: Breaker,
        each: int,
        telemetry: Telemetry,
        clock: Callable[[], datetime],
    ) -> None:
        """Have a courier deliver what a breaker allows, at most `each` at one endpoint."""
        self._store = store
        self._courier = courier
        self._breaker = breaker
        self._each = each
        self._telemetry = telemetry
        self._clock = clock
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._results: list[DeliveryResult] = []
        self._ended = asyncio.Event()
        self._wake = asyncio.Event()
        self._look_at = clock()
        self._ended_meanwhile: set[str] | None = None
        """What has ended while the store is read: that reading may still show it as due."""
        self._stopping = False

    def offer(self, delivery: Delivery) -> None:
        """Try a delivery at once if it is due and may be tried; else it waits in the store."""
        if delivery.next_at is None or self._stopping:
            return
        if delivery.next_at > self._clock() or not self._start(delivery):
            self._look_by(delivery.next_at)

    def look(self) -> None:
        """Look at the store now: somebody has asked for deliveries."""
        self._look_by(self._clock())

    async def run(self) -> None:
        """Start what is due, again and again; ends never."""
        while True:
            if self._look_at <= self._clock():
                await self._take_up()
            left_s = (self._look_at - self._clock()).total_seconds()
            try:
                async with asyncio.timeout(min(max(left_s, 0.0), LOOK_S)):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    async def record(self) -> None:
        """Write down what became of tries, as many at a time as have ended; ends never."""
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
        """Let tries in hand end, but not for long; those that do not are made again."""
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

    async def _take_up(self) -> None:
        now = self._clock()
        self._look_at = now + timedelta(seconds=LOOK_S)
        if self._breaker.free <= 0:
            return  # the next try that ends looks again
        # Of each endpoint at the most so many are in hand, so one that is free shows another one.
        ended: set[str] = set()
        self._ended_meanwhile = ended
        limit = self._breaker.free + self._breaker.in_hand
        found = await self._store.deliverable(now, self._breaker.busy(), self._each, limit)
        self._ended_meanwhile = None
        started = [self._start(each) for each in found if each.id not in ended]
        if len(found) == limit and not all(started):
            # Those of one owner, or of those that fail, have hidden others: they are busy now.
            self.look()
            return
        # Whatever is due by now and waits all the same waits for a try that is in hand.
        to_come = await self._store.next_delivery(now, self._breaker.busy())
        for moment in (to_come, self._breaker.rests_until()):
            if moment is not None:
                self._look_by(moment)

    def _look_by(self, moment: datetime) -> None:
        if moment < self._look_at:
            self._look_at = moment
            self._wake.set()

    def _start(self, delivery: Delivery) -> bool:
        if self._stopping or delivery.id in self._tasks:
            return True
        if not self._breaker.take(delivery.endpoint):
            return False
        self._telemetry.callbacks_in_hand.inc()
        task = asyncio.create_task(self._try(delivery), name="notifier.try")
        self._tasks[delivery.id] = task
        return True

    async def _try(self, delivery: Delivery) -> None:
        try:
            done = await self._courier.deliver(delivery)
        except Unavailable as error:
            # The store could not say what must be known; the delivery stays due.
            _log.warning("callback_waits", job_id=delivery.job, error=error.detail)
            await asyncio.sleep(_PAUSE_S)
            done = DeliveryResult(delivery, failures=1)
        except Exception:  # noqa: BLE001 - logged; tried again by its schedule
            _log.exception("callback_broke", job_id=delivery.job, seq=delivery.seq)
            done = self._courier.broken(delivery)
        self._results.append(done)
        self._ended.set()

    async def _record(self) -> None:
        done = list(self._results)
        if not done:
            return
        await self._store.save_deliveries([each.delivery for each in done])
        del self._results[: len(done)]
        for each in done:
            self._let_go(each)
        failpoint("notifier.after_record")

    def _let_go(self, done: DeliveryResult) -> None:
        delivery = done.delivery
        self._tasks.pop(delivery.id, None)
        self._telemetry.callbacks_in_hand.dec()
        if self._ended_meanwhile is not None:
            self._ended_meanwhile.add(delivery.id)
        may_wait = self._breaker.give_back(
            delivery.endpoint, failures=done.failures, rest_s=done.rest_s
        )
        if done.follower is not None:
            self.offer(done.follower)
        if may_wait:
            self.look()
        elif delivery.next_at is not None:
            self._look_by(delivery.next_at)

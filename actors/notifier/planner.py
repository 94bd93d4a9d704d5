"""Makes deliveries of entries that somebody has subscribed to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import structlog
from yarl import URL

from jobwire.actors.dialects.base import ForeignDialect, Notice
from jobwire.actors.notifier.endpoints import endpoint_of
from jobwire.actors.notifier.message import delivery_id, write_body
from jobwire.actors.notifier.schedule import first_try
from jobwire.actors.operations.deliveries import Deliveries
from jobwire.actors.runtime.cache import BoundedCache
from jobwire.actors.runtime.failpoints import failpoint
from jobwire.actors.stores.base import DeliveryFilter, EventKey, Store
from jobwire.schemas.deliveries import Delivery, Subscription
from jobwire.schemas.jobs import Entry, Job

_log = structlog.get_logger()

#: Subscriptions that are cached; they never change.
_MOST_CACHED = 10_000


class Planner:
    """Plans deliveries."""

    def __init__(
        self,
        *,
        store: Store,
        deliveries: Deliveries,
        dialects: Mapping[str, ForeignDialect],
        schedule_s: Sequence[float],
        clock: Callable[[], datetime],
    ) -> None:
        """Write to a store; load subscriptions from `deliveries`; word messages by `dialects`."""
        self._store = store
        self._deliveries = deliveries
        self._dialects = dialects
        self._schedule_s = schedule_s
        self._clock = clock
        self._cache = BoundedCache[str, Subscription](_MOST_CACHED)

    async def plan(self, entries: Sequence[Entry]) -> list[Delivery]:
        """
        Store the deliveries of entries; from then on they are not lost.

        Returns:
            The new ones; those of an earlier run are found in the store.

        """
        view = await self._store.load({entry.job for entry in entries}, (), fold=(), known=False)
        planned = [
            delivery
            for entry in entries
            for delivery in await self._of_entry(entry, view.jobs.get(entry.job))
        ]
        told = [EventKey(entry.job, entry.id) for entry in entries]
        failpoint("notifier.before_plan")
        fresh = await self._store.plan_deliveries(planned, told)
        failpoint("notifier.after_plan")
        return fresh

    async def subscription(self, owner: str, key: str) -> Subscription | None:
        """Return a subscription with its secret."""
        known = self._cache.get(key)
        if known is None:
            known = await self._deliveries.subscription(owner, key)
            if known is not None:
                self._cache[key] = known
        return known

    async def _of_entry(self, entry: Entry, job: Job | None) -> list[Delivery]:
        dialect = self._dialects.get(job.dialect) if job else None
        standard = Notice(write_body(entry, job), headers=())
        planned = []
        for key in entry.due:
            subscription = await self.subscription(entry.owner, key)
            if subscription is None:
                _log.warning(
                    "subscription_missing", job_id=entry.job, seq=entry.seq, subscription=key
                )
                continue
            notice: Notice | None = standard
            if job is not None and dialect is not None:
                notice = await dialect.callback(job, entry, subscription)
            if notice is not None and not await self._is_overtaken(entry, subscription, notice):
                planned.append(self._delivery(entry, subscription, notice))
        return planned

    async def _is_overtaken(self, entry: Entry, subscription: Subscription, notice: Notice) -> bool:
        """Return whether it is too late for order: a later entry has its delivery already."""
        if not notice.in_order:
            return False
        which = DeliveryFilter(job=entry.job, subscription=subscription.id)
        told = await self._store.deliveries(entry.owner, which, None, 1)
        return any(each.seq > entry.seq for each in told)

    def _delivery(self, entry: Entry, subscription: Subscription, notice: Notice) -> Delivery:
        now = self._clock()
        return Delivery(
            id=delivery_id(entry.job, entry.seq, subscription.id),
            owner=entry.owner,
            job=entry.job,
            seq=entry.seq,
            event=entry.name,
            state=entry.state,
            subscription=subscription.id,
            url=subscription.url,
            endpoint=endpoint_of(entry.owner, URL(subscription.url)),
            body=notice.body,
            created=now,
            status="pending",
            next_at=first_try(self._schedule_s, now),
            method=notice.method,
            headers=notice.headers,
            signer=notice.signer,
            in_order=notice.in_order,
            lenient=notice.lenient,
        )

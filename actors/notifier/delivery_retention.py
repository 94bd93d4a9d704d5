"""Removes deliveries that ended long ago, and subscriptions and endpoints that are not needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from jobwire.actors.notifier.endpoints import ENDPOINTS, Endpoints
from jobwire.actors.operations.deliveries import Deliveries
from jobwire.actors.stores.base import DeliveryFilter, Store
from jobwire.schemas.deliveries import Subscription

#: Deliveries of one removal, and records of one page: so few that nothing waits for long.
_PORTION = 200
#: Age from which on a subscription is removed whose job was never created.
_UNMADE = timedelta(hours=1)
#: The same, where its job does not name it: it came with a creation that was refused.
_UNNAMED = timedelta(minutes=10)


class DeliveryRetention:
    """Removes in portions what is no longer needed."""

    def __init__(
        self,
        *,
        store: Store,
        deliveries: Deliveries,
        endpoints: Endpoints,
        keep_s: float,
        clock: Callable[[], datetime],
    ) -> None:
        """Keep what ended `keep_s` ago or later."""
        self._store = store
        self._deliveries = deliveries
        self._endpoints = endpoints
        self._keep = timedelta(seconds=keep_s)
        self._clock = clock
        self._subscription = ""
        self._endpoint = ""

    async def drop(self) -> None:
        """Remove all that is no longer needed."""
        await self.drop_deliveries()
        await self.drop_subscriptions()
        await self.drop_endpoints()

    async def drop_deliveries(self) -> int:
        """Remove deliveries that ended long ago; return their number."""
        before, dropped = self._clock() - self._keep, 0
        while True:
            some = await self._store.drop_deliveries(before, _PORTION)
            dropped += some
            if some < _PORTION:
                return dropped
            await asyncio.sleep(0)  # others write meanwhile

    async def drop_subscriptions(self) -> int:
        """Remove some subscriptions that no job and no delivery names; return their number."""
        page = await self._deliveries.subscriptions(self._subscription, _PORTION)
        self._subscription = page[-1].id if len(page) == _PORTION else ""
        if await self._store.due(1):
            return 0  # a deleted job may be told of yet
        dropped = 0
        for each in page:
            if await self._is_useless(each):
                await self._deliveries.unsubscribe(each)
                dropped += 1
        return dropped

    async def drop_endpoints(self) -> None:
        """Remove some endpoints with no failure for long."""
        page = await self._store.select(ENDPOINTS, None, self._endpoint, _PORTION)
        self._endpoint = page[-1].key if len(page) == _PORTION else ""
        for record in page:
            await self._endpoints.drop(record, self._clock() - self._keep)

    async def _is_useless(self, subscription: Subscription) -> bool:
        age = self._clock() - subscription.created
        if age < _UNNAMED:
            return False
        job = await self._store.get(subscription.owner, subscription.job)
        if job is None and age < _UNMADE:
            return False
        if job is not None and subscription.interest in job.interests:
            return False
        which = DeliveryFilter(job=subscription.job, subscription=subscription.id)
        return not await self._store.deliveries(subscription.owner, which, None, 1)

"""Deliveries of one subscription that are told in the order of their entries, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec.structs import replace

from actors.stores.base import DeliveryFilter, Store
from schemas.deliveries import Delivery
from schemas.errors import Unavailable

#: Most deliveries of one subscription that wait at a time and are looked at.
_MOST = 1_000
#: Pause before a delivery asks again whether the one before it has been told.
_PAUSE_S = 0.05


class Order:
    """Says who is before and who is next; what was told or given up keeps nobody waiting."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        """Ask a store."""
        self._store = store
        self._clock = clock

    async def behind(self, delivery: Delivery) -> Delivery | None:
        """Give a delivery as it waits for one before it; None: its turn has come."""
        if not delivery.in_order:
            return None
        before = [each for each in await self._pending(delivery) if each.seq < delivery.seq]
        if not before:
            return None
        first = min(before, key=lambda each: each.seq)
        soon = self._clock() + timedelta(seconds=_PAUSE_S)
        return replace(delivery, next_at=max(first.next_at or soon, soon))

    async def next(self, delivery: Delivery) -> Delivery | None:
        """
        Give the one whose turn has come with the end of another, due now.

        Where the store cannot say, it comes by itself a moment later.
        """
        if not delivery.in_order or delivery.next_at is not None:
            return None
        try:
            pending = await self._pending(delivery)
        except Unavailable:
            return None
        after = [each for each in pending if each.seq > delivery.seq]
        if not after:
            return None
        return replace(min(after, key=lambda each: each.seq), next_at=self._clock())

    async def _pending(self, delivery: Delivery) -> list[Delivery]:
        which = DeliveryFilter(
            job=delivery.job, subscription=delivery.subscription, status="pending"
        )
        return await self._store.deliveries(delivery.owner, which, None, _MOST)

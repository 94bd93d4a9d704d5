"""
Keeps the deliveries of one subscription in the order of their entries, one at a time.

A delivery that fails holds the later ones up through its quick attempts only. Then they go first,
and it is never sent after them: a receiver that asks for order wants to know the present state.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec.structs import replace

from jobwire.actors.stores.base import DeliveryFilter, Store
from jobwire.schemas.deliveries import Delivery, DeliveryStatus
from jobwire.schemas.errors import Unavailable

#: Most deliveries of one subscription that are looked at.
_MOST = 1_000
#: Pause before a delivery asks again whether the one before it has been delivered.
_PAUSE_S = 0.05
#: An attempt that is further away holds no other up. Longer than an attempt may take, so that a
#: delivery that let others go first finds their attempts in the store.
_FAR = timedelta(seconds=60)


class DeliveryOrder:
    """Finds what comes before a delivery, and what comes next; ended deliveries do not count."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        """Read deliveries from a store."""
        self._store = store
        self._clock = clock

    async def behind(self, delivery: Delivery) -> Delivery | None:
        """Return a delivery postponed behind one before it; None: it is its turn."""
        if not delivery.in_order:
            return None
        before = [
            each
            for each in await self._of_subscription(delivery, "pending")
            if each.seq < delivery.seq and not self._is_far(each)
        ]
        if not before:
            return None
        first = min(before, key=lambda each: each.seq)
        soon = self._clock() + timedelta(seconds=_PAUSE_S)
        return replace(delivery, next_at=max(first.next_at or soon, soon))

    async def is_overtaken(self, delivery: Delivery) -> bool:
        """Return whether a later one was attempted; what was asked for by hand is still sent."""
        if not delivery.in_order or delivery.by_hand or not delivery.tries:
            return False
        others = await self._of_subscription(delivery, None)
        return any(each.seq > delivery.seq and each.tries for each in others)

    async def next(self, delivery: Delivery) -> Delivery | None:
        """
        Return the delivery whose turn comes with the result of this one, due now.

        When the store cannot be read, that delivery is found to be due a moment later.
        """
        if not delivery.in_order or not (delivery.next_at is None or self._is_far(delivery)):
            return None
        try:
            pending = await self._of_subscription(delivery, "pending")
        except Unavailable:
            return None
        # One that was attempted waits for its own next attempt.
        after = [each for each in pending if each.seq > delivery.seq and not each.tries]
        if not after:
            return None
        return replace(min(after, key=lambda each: each.seq), next_at=self._clock())

    def _is_far(self, delivery: Delivery) -> bool:
        return delivery.next_at is not None and delivery.next_at > self._clock() + _FAR

    async def _of_subscription(
        self, delivery: Delivery, status: DeliveryStatus | None
    ) -> list[Delivery]:
        which = DeliveryFilter(job=delivery.job, subscription=delivery.subscription, status=status)
        return await self._store.deliveries(delivery.owner, which, None, _MOST)

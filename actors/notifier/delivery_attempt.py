"""One attempt to deliver: sends the message, and decides what becomes of the delivery."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

import structlog
from msgspec.structs import replace

from jobwire.actors.notifier.callback_sender import AttemptResult, CallbackSender
from jobwire.actors.notifier.delivery_order import DeliveryOrder
from jobwire.actors.notifier.endpoints import Endpoints
from jobwire.actors.notifier.planner import Planner
from jobwire.actors.notifier.schedule import next_try
from jobwire.actors.runtime.telemetry import Telemetry
from jobwire.schemas.deliveries import Attempt, Delivery, GaveUp

_log = structlog.get_logger()


#: A receiver that does not answer in time takes attempts from others: that counts as several
#: failures.
_TIMEOUT_COUNTS = 4


class DeliveryResult(NamedTuple):
    """A delivery after an attempt, and what the breaker is to know of its endpoint."""

    delivery: Delivery
    failures: int | None = 0
    """For how many failures of the receiver it counts; 0: it works; None: nothing was sent."""
    pause_s: float = 0.0
    """The pause that the receiver asks for."""
    follower: Delivery | None = None
    """The delivery whose turn has come by this one's end."""


class DeliveryAttempt:
    """Makes attempts; keeps nothing between two of them."""

    def __init__(
        self,
        *,
        sender: CallbackSender,
        planner: Planner,
        endpoints: Endpoints,
        order: DeliveryOrder,
        schedule_s: Sequence[float],
        telemetry: Telemetry,
        clock: Callable[[], datetime],
        jitter: Callable[[], float],
    ) -> None:
        """Send through a sender; `jitter` returns numbers from 0 to 1."""
        self._sender = sender
        self._planner = planner
        self._endpoints = endpoints
        self._order = order
        self._schedule_s = schedule_s
        self._telemetry = telemetry
        self._clock = clock
        self._jitter = jitter

    async def deliver(self, delivery: Delivery) -> DeliveryResult:
        """Send once, unless the receiver is disabled or an earlier delivery comes first."""
        behind = await self._order.behind(delivery)
        if behind is not None:
            return DeliveryResult(behind, failures=None)
        done = await self._deliver(delivery)
        return done._replace(follower=await self._order.next(done.delivery))

    async def _deliver(self, delivery: Delivery) -> DeliveryResult:
        disabled = await self._endpoints.disabled(delivery)
        if disabled is not None and not delivery.by_hand:
            return DeliveryResult(self._give_up(delivery, disabled))
        if await self._order.is_overtaken(delivery):
            return DeliveryResult(self._give_up(delivery, "overtaken"), failures=None)
        subscription = await self._planner.subscription(delivery.owner, delivery.subscription)
        if subscription is None:
            return DeliveryResult(self._give_up(delivery, "unsubscribed"))
        tried = await self._sender.send(delivery, subscription)
        self._telemetry.callbacks_attempted.labels(tried.result).inc()
        self._telemetry.callbacks_seconds.observe(tried.attempt.duration_s)
        after = delivery.after(tried.attempt)
        if tried.result == "delivered":
            await self._endpoints.succeeded(delivery)
            taken = replace(after, status="delivered", next_at=None, by_hand=False)
            return DeliveryResult(taken)
        _log.info(
            "callback_failed", job_id=delivery.job, seq=delivery.seq, error=tried.attempt.error
        )
        return await self._failed(after, tried)

    def broken(self, delivery: Delivery) -> DeliveryResult:
        """Count an attempt that failed by a fault of the service; the receiver is not to blame."""
        attempt = Attempt(self._clock(), 0.0, None, "the service failed in trying; see its log")
        return DeliveryResult(self._later(delivery.after(attempt), None), failures=1)

    async def _failed(self, delivery: Delivery, tried: AttemptResult) -> DeliveryResult:
        now = self._clock()
        if tried.result == "gone":
            await self._endpoints.gone(delivery, now)
            return DeliveryResult(self._give_up(delivery, "gone"), failures=1)
        disabled = await self._endpoints.failed(delivery, now)
        if disabled is not None:
            after = self._give_up(delivery, disabled)
        else:
            after = self._later(delivery, tried.asked_s)
        failures = _TIMEOUT_COUNTS if tried.result == "timeout" else 1
        return DeliveryResult(after, failures, pause_s=tried.asked_s or 0.0)

    def _later(self, delivery: Delivery, asked_s: float | None) -> Delivery:
        due = next_try(
            self._schedule_s,
            delivery.tries,
            self._clock(),
            jitter=self._jitter(),
            asked_s=asked_s,
        )
        return (
            self._give_up(delivery, "tries_ended")
            if due is None
            else replace(delivery, next_at=due)
        )

    def _give_up(self, delivery: Delivery, reason: GaveUp) -> Delivery:
        self._telemetry.callbacks_gave_up.labels(reason).inc()
        _log.warning("callback_gave_up", job_id=delivery.job, seq=delivery.seq, reason=reason)
        return replace(delivery, status="gave_up", gave_up=reason, next_at=None, by_hand=False)

"""
Limits the attempts in flight, so that an endpoint that is slow or dead harms no other.

An endpoint that keeps failing gets one attempt at a time, with pauses between, and all that fail
together get at most half of all attempts. One owner gets at most half of them too, however many
endpoints it has. Nothing of this is kept across a restart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from jobwire.actors.notifier.endpoints import owner_of
from jobwire.schemas.backoff import backoff_s

Clock = Callable[[], datetime]

#: Failures in a row from which on an endpoint counts as failing.
FAILING = 8
#: First and longest pause of a failing endpoint.
_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
#: Endpoints with failures that are remembered; the longest known are forgotten first.
_MOST_ENDPOINTS = 10_000


class _Endpoint(Struct):
    in_flight: int = 0
    failures: int = 0
    paused_until: datetime | None = None


class BlockedEndpoints:
    """Endpoints that get no attempt now, and owners none of whose endpoints gets one."""

    def __init__(self, endpoints: set[str], owners: set[str]) -> None:
        """Hold what was blocked at one moment: it is asked in another thread."""
        self.endpoints: Final = frozenset(endpoints)
        self.owners: Final = frozenset(owners)

    def __contains__(self, endpoint: object) -> bool:
        """Return whether an endpoint gets no attempt."""
        return endpoint in self.endpoints or owner_of(str(endpoint)) in self.owners


class Breaker:
    """Counts attempts in flight and failures in a row."""

    def __init__(self, *, parallel: int, each: int, clock: Clock) -> None:
        """Allow `parallel` attempts, half of them to one owner, and `each` to one endpoint."""
        self._parallel = parallel
        self._of_owner = (parallel + 1) // 2
        self._each = each
        self._clock = clock
        self._endpoints: dict[str, _Endpoint] = {}
        self._owners: Counter[str] = Counter()
        """Attempts in flight of each owner that has some."""
        self._in_flight = 0
        self._failing_in_flight = 0

    @property
    def free(self) -> int:
        """How many more attempts there may be."""
        return self._parallel - self._in_flight

    @property
    def in_flight(self) -> int:
        """How many attempts there are."""
        return self._in_flight

    def is_blocked(self, endpoint: str) -> bool:
        """Return whether an endpoint gets no attempt now."""
        if self._owners[owner_of(endpoint)] >= self._of_owner:
            return True
        known = self._endpoints.get(endpoint)
        return known is not None and self._is_blocked(known, self._clock())

    def blocked(self) -> BlockedEndpoints:
        """Return the endpoints that get no attempt now."""
        now = self._clock()
        return BlockedEndpoints(
            {name for name, known in self._endpoints.items() if self._is_blocked(known, now)},
            {name for name, in_flight in self._owners.items() if in_flight >= self._of_owner},
        )

    def paused_until(self) -> datetime | None:
        """Return the moment at which the first pause of an endpoint ends; None: none pauses."""
        now = self._clock()
        ends = [known.paused_until for known in self._endpoints.values() if known.paused_until]
        return min((end for end in ends if end > now), default=None)

    def acquire(self, endpoint: str) -> bool:
        """Begin an attempt at an endpoint; False: there may be none now."""
        if self.free <= 0 or self.is_blocked(endpoint):
            return False
        known = self._endpoints.setdefault(endpoint, _Endpoint())
        known.in_flight += 1
        self._owners[owner_of(endpoint)] += 1
        self._in_flight += 1
        self._failing_in_flight += known.failures >= FAILING
        return True

    def release(self, endpoint: str, *, failures: int | None, pause_s: float = 0.0) -> bool:
        """
        End an attempt.

        Args:
            endpoint: where it was made.
            failures: for how many failures it counts; 0: the receiver works; None: nothing was
                sent.
            pause_s: how long the receiver asks to be left alone.

        Returns:
            Whether a delivery may have waited for the end of this attempt.

        """
        known = self._endpoints[endpoint]
        others_waited = self.free <= 0 or self.is_blocked(endpoint)
        known.in_flight -= 1
        self._in_flight -= 1
        self._leave(owner_of(endpoint))
        was_failing = known.failures >= FAILING
        self._failing_in_flight -= was_failing
        if failures is None:
            self._forget(endpoint, known)
            return others_waited
        known.failures = known.failures + failures if failures else 0
        if was_failing != (known.failures >= FAILING):
            self._failing_in_flight += -known.in_flight if was_failing else known.in_flight
        pause_s = max(pause_s, _pause_s(known.failures))
        known.paused_until = self._clock() + timedelta(seconds=pause_s) if pause_s else None
        self._forget(endpoint, known)
        return others_waited

    def reset(self, endpoint: str | None) -> None:
        """End the pause of an endpoint, or of all, because somebody asked for an attempt now."""
        for name in [endpoint] if endpoint is not None else list(self._endpoints):
            if (known := self._endpoints.get(name)) is not None:
                known.paused_until = None

    def _is_blocked(self, known: _Endpoint, now: datetime) -> bool:
        if known.paused_until is not None and known.paused_until > now:
            return True
        if known.failures < FAILING:
            return known.in_flight >= self._each
        return known.in_flight > 0 or self._failing_in_flight >= max(1, self._parallel // 2)

    def _leave(self, owner: str) -> None:
        self._owners[owner] -= 1
        if not self._owners[owner]:
            del self._owners[owner]

    def _forget(self, endpoint: str, known: _Endpoint) -> None:
        if not known.in_flight and not known.failures and known.paused_until is None:
            del self._endpoints[endpoint]
        elif len(self._endpoints) > _MOST_ENDPOINTS:
            idle = (name for name, each in self._endpoints.items() if not each.in_flight)
            if (oldest := next(idle, None)) is not None:
                del self._endpoints[oldest]


def _pause_s(failures: int) -> float:
    if failures < FAILING:
        return 0.0
    return backoff_s(failures - FAILING, _PAUSE_S, _LONGEST_PAUSE_S, jitter=1.0)

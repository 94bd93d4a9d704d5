"""
How many tries each endpoint has at a time, so that one that is slow or dead harms nobody else.

An endpoint that keeps failing gets one try at a time, with pauses between, and all that fail
together get at most half of the tries that there are. One owner gets at most half of them too,
however many endpoints it has. Nothing of it is kept across a restart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from jobwire.actors.notifier.endpoints import owner_of

Clock = Callable[[], datetime]

#: Failures in a row from which on an endpoint counts as failing.
FAILING = 8
#: First and longest pause of a failing endpoint.
_REST_S, _LONGEST_REST_S = 0.1, 5.0
_MOST_DOUBLINGS = 10
#: Endpoints with failures that are remembered; the longest known are forgotten first.
_MOST_ENDPOINTS = 10_000


class _Endpoint(Struct):
    in_hand: int = 0
    failures: int = 0
    rests_until: datetime | None = None


class Busy:
    """Endpoints that get no further try, and owners of whose endpoints none gets one."""

    def __init__(self, endpoints: set[str], owners: set[str]) -> None:
        """Hold what was so at one moment: it is asked in another thread."""
        self.endpoints: Final = frozenset(endpoints)
        self.owners: Final = frozenset(owners)

    def __contains__(self, endpoint: object) -> bool:
        """Return whether an endpoint gets no further try."""
        return endpoint in self.endpoints or owner_of(str(endpoint)) in self.owners


class Breaker:
    """Counts tries in hand and failures in a row."""

    def __init__(self, *, parallel: int, each: int, clock: Clock) -> None:
        """Allow `parallel` tries of all endpoints, half of them to one owner, and `each` of one."""
        self._parallel = parallel
        self._of_owner = (parallel + 1) // 2
        self._each = each
        self._clock = clock
        self._endpoints: dict[str, _Endpoint] = {}
        self._owners: Counter[str] = Counter()
        """Tries in hand of each owner that has some."""
        self._in_hand = 0
        self._failing_in_hand = 0

    @property
    def free(self) -> int:
        """How many more tries there may be."""
        return self._parallel - self._in_hand

    @property
    def in_hand(self) -> int:
        """How many tries there are."""
        return self._in_hand

    def is_busy(self, endpoint: str) -> bool:
        """Return whether an endpoint gets no further try now."""
        if self._owners[owner_of(endpoint)] >= self._of_owner:
            return True
        known = self._endpoints.get(endpoint)
        return known is not None and self._is_busy(known, self._clock())

    def busy(self) -> Busy:
        """Return the endpoints that get no further try now."""
        now = self._clock()
        return Busy(
            {name for name, known in self._endpoints.items() if self._is_busy(known, now)},
            {name for name, in_hand in self._owners.items() if in_hand >= self._of_owner},
        )

    def rests_until(self) -> datetime | None:
        """Return the moment at which the first of the resting endpoints has rested."""
        now = self._clock()
        ends = [known.rests_until for known in self._endpoints.values() if known.rests_until]
        return min((end for end in ends if end > now), default=None)

    def take(self, endpoint: str) -> bool:
        """Begin a try at an endpoint, if there may be one."""
        if self.free <= 0 or self.is_busy(endpoint):
            return False
        known = self._endpoints.setdefault(endpoint, _Endpoint())
        known.in_hand += 1
        self._owners[owner_of(endpoint)] += 1
        self._in_hand += 1
        self._failing_in_hand += known.failures >= FAILING
        return True

    def give_back(self, endpoint: str, *, failures: int | None, rest_s: float = 0.0) -> bool:
        """
        End a try.

        Args:
            endpoint: whose try it was.
            failures: for how many failures it counts; 0: the receiver works; None: it was not
                asked.
            rest_s: how long the receiver asks to be left alone.

        Returns:
            Whether a delivery may have waited for the end of this try.

        """
        known = self._endpoints[endpoint]
        others_waited = self.free <= 0 or self.is_busy(endpoint)
        known.in_hand -= 1
        self._in_hand -= 1
        self._leave(owner_of(endpoint))
        was_failing = known.failures >= FAILING
        self._failing_in_hand -= was_failing
        if failures is None:
            self._forget(endpoint, known)
            return others_waited
        known.failures = known.failures + failures if failures else 0
        if was_failing != (known.failures >= FAILING):
            self._failing_in_hand += -known.in_hand if was_failing else known.in_hand
        pause_s = max(rest_s, _rest_s(known.failures))
        known.rests_until = self._clock() + timedelta(seconds=pause_s) if pause_s else None
        self._forget(endpoint, known)
        return others_waited

    def forgive(self, endpoint: str | None) -> None:
        """Let an endpoint, or all of them, be tried now, because somebody asked for it."""
        for name in [endpoint] if endpoint is not None else list(self._endpoints):
            if (known := self._endpoints.get(name)) is not None:
                known.rests_until = None

    def _is_busy(self, known: _Endpoint, now: datetime) -> bool:
        if known.rests_until is not None and known.rests_until > now:
            return True
        if known.failures < FAILING:
            return known.in_hand >= self._each
        return known.in_hand > 0 or self._failing_in_hand >= max(1, self._parallel // 2)

    def _leave(self, owner: str) -> None:
        self._owners[owner] -= 1
        if not self._owners[owner]:
            del self._owners[owner]

    def _forget(self, endpoint: str, known: _Endpoint) -> None:
        if not known.in_hand and not known.failures and known.rests_until is None:
            del self._endpoints[endpoint]
        elif len(self._endpoints) > _MOST_ENDPOINTS:
            idle = (name for name, each in self._endpoints.items() if not each.in_hand)
            if (oldest := next(idle, None)) is not None:
                del self._endpoints[oldest]


def _rest_s(failures: int) -> float:
    if failures < FAILING:
        return 0.0
    doublings = min(failures - FAILING, _MOST_DOUBLINGS)
    return min(_REST_S * float(2**doublings), _LONGEST_REST_S)

"""Quotas: the generic cell rate algorithm, one number for each name that has been busy lately."""

from __future__ import annotations

from collections.abc import Callable

from jobwire.actors.runtime.cache import BoundedCache

#: Names remembered; the longest idle are forgotten first.
_MOST_NAMES = 10_000


class Quota:
    """So many a minute for each name, evenly refilled, with a burst of a whole minute's worth."""

    def __init__(self, per_minute: int, monotonic: Callable[[], float]) -> None:
        """Admit `per_minute`; measure with a monotonic clock."""
        self._interval_s = 60 / per_minute
        self._monotonic = monotonic
        self._due = BoundedCache[str, float](_MOST_NAMES)

    @property
    def retry_after_s(self) -> int:
        """After how many whole seconds at least one more is admitted."""
        return max(1, round(self._interval_s))

    def admit(self, name: str) -> bool:
        """Take one of the name's quota; False: none is left now."""
        if self.is_spent(name):
            return False
        now = self._monotonic()
        self._due[name] = max(self._due.get(name) or now, now) + self._interval_s
        return True

    def is_spent(self, name: str) -> bool:
        """Return whether a name has nothing left now."""
        return (self._due.get(name) or 0.0) - self._monotonic() > 60 - self._interval_s

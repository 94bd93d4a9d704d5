"""Pauses between the tries of one loop."""

from __future__ import annotations

import random
from collections.abc import Callable

from jobwire.schemas.backoff import backoff_s


class Backoff:
    """Pauses that grow from one failure to the next, and begin anew after a success."""

    def __init__(
        self, first_s: float, longest_s: float, jitter: Callable[[], float] = random.random
    ) -> None:
        """Begin with `first_s` and end with `longest_s`; `jitter` returns numbers from 0 to 1."""
        self._first_s = first_s
        self._longest_s = longest_s
        self._jitter = jitter
        self._failures = 0

    def next_s(self) -> float:
        """Return the pause after one more failure."""
        pause_s = backoff_s(self._failures, self._first_s, self._longest_s, self._jitter())
        self._failures += 1
        return pause_s

    def reset(self) -> None:
        """Begin with the first pause again."""
        self._failures = 0

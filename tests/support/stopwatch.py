"""Seconds that a promise is held to: those in which the machine had a processor to spare."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

#: How long anything on this machine has waited for a processor, since the start; microseconds.
_PRESSURE: Final = Path("/proc/pressure/cpu")


class Stopwatch:
    """
    Measures how long something takes on a machine that has nothing else to do.

    Where every processor is busy, also with other work, nothing can be said about how quick a
    service is; so the time in which somebody had to wait for a processor does not count.
    """

    def __init__(self) -> None:
        """Start."""
        self._began = time.monotonic()
        self._waited_s = _waited_s()

    @property
    def wall_s(self) -> float:
        """The seconds that have passed."""
        return time.monotonic() - self._began

    @property
    def seconds(self) -> float:
        """The seconds that count."""
        return max(self.wall_s - (_waited_s() - self._waited_s), 0.0)


def _waited_s() -> float:
    """Return how long anything has waited; all the time, where the system does not say it."""
    try:
        some = _PRESSURE.read_text().splitlines()[0]
    except OSError:
        return time.monotonic()
    return int(some.rpartition("total=")[2]) / 1e6

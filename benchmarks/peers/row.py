"""What is measured of one system, in one configuration."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from msgspec import Struct


class Quantiles(Struct, frozen=True):
    """How long something took, in milliseconds."""

    p50_ms: float
    p99_ms: float

    def __str__(self) -> str:
        """Return both, as a table has them."""
        return f"{self.p50_ms:.1f} / {self.p99_ms:.1f}"


class Row(Struct, frozen=True, kw_only=True):
    """One line of the table; what a system does not do, or was not asked for, is None."""

    system: str
    durability: str
    """What an answer stands for; of a peer's servers, as these say themselves where they can."""
    changes_per_s: float | None = None
    """State changes reported over HTTP and stored, of 64 clients."""
    change: Quantiles | None = None
    """From sending such a report to its answer."""
    refused: int = 0
    """Reports that were answered with an error, and not stored."""
    start: Quantiles | None = None
    """From submitting `/bin/true` to having heard that it runs, 10 a second."""
    jobs_per_s: float | None = None
    """500 times `/bin/true` on 8 places, from the first submission to the last end."""
    empty_jobs_per_s: float | None = None
    """The same with nothing to do, where a system runs functions and not programs."""


def quantiles(times_s: Sequence[float]) -> Quantiles:
    """Return the median and the 99th percentile of some seconds."""
    ordered = sorted(times_s)
    late = ordered[int(len(ordered) * 0.99)]
    return Quantiles(statistics.median(ordered) * 1e3, late * 1e3)

"""What is measured, and how it is held against its limit."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import NamedTuple

#: Length of one round of a sustained figure, and of each look at its limit.
_ROUND_S = 5
LIMIT_S = 2


class Figure(NamedTuple):
    """One measured figure."""

    name: str
    measured: str
    limit: str
    ratio: str
    least: str
    aim: str
    met: bool


def rounds(
    seconds: float,
    measure: Callable[[int, float], float],
    limit: Callable[[float], float],
) -> list[tuple[float, float]]:
    """
    Measure a figure and its limit in turn; give the pairs.

    The machine's speed drifts within seconds, so a figure is held against the limits right before
    and right after it.
    """
    count = max(3, round(seconds / _ROUND_S))
    part = seconds / count
    pairs = []
    before = limit(LIMIT_S)
    for number in range(count):
        rate = measure(number, part)
        after = limit(LIMIT_S)
        pairs.append((rate, (before + after) / 2))
        before = after
    return pairs


def middle(pairs: list[tuple[float, float]], which: int) -> float:
    """Return the median of the figures (0) or of their limits (1)."""
    return statistics.median(pair[which] for pair in pairs)

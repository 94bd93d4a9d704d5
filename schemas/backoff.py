"""How long to pause before a failed try is repeated (pure)."""

from __future__ import annotations

#: Doublings from which on a pause cannot grow any more, whatever its first one was.
_MOST_DOUBLINGS = 32


def backoff_s(failures: int, first_s: float, longest_s: float, jitter: float) -> float:
    """
    Return the pause after some failures in a row: it doubles from one to the next.

    Args:
        failures: how many there were before this one.
        first_s: the pause after the first.
        longest_s: what no pause exceeds.
        jitter: a number from 0 to 1; the pause is between half and all of its length, so that those
            that failed together do not come back together.

    """
    doubled_s = first_s * float(2 ** min(failures, _MOST_DOUBLINGS))
    return min(doubled_s, longest_s) * (0.5 + jitter / 2)

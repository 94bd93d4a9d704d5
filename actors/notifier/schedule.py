"""When the next try is due (pure): the pauses of the settings, and what the receiver asks for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

#: Longest pause that a receiver may ask for.
MOST_RETRY_AFTER_S = 3_600.0
#: How much later than its pause a try may be, so that those that failed together part company.
_SPREAD = 0.2
#: Digits of a pause in seconds; more of them are more than anybody means.
_MOST_DIGITS = 9


def first_try(schedule_s: Sequence[float], now: datetime) -> datetime:
    """Return the moment of the first try; an empty schedule is one try at once."""
    return now + timedelta(seconds=schedule_s[0] if schedule_s else 0.0)


def next_try(
    schedule_s: Sequence[float],
    tries: int,
    now: datetime,
    *,
    jitter: float,
    asked_s: float | None = None,
) -> datetime | None:
    """
    Return the moment of the next try; None: the delivery has no tries left.

    Args:
        schedule_s: the pause before each try.
        tries: how many were made.
        now: when the last one ended.
        jitter: a number from 0 to 1.
        asked_s: the pause that the receiver asks for; it makes the pause longer, never shorter.

    """
    if tries >= len(schedule_s):
        return None
    pause_s = schedule_s[tries] * (1 + _SPREAD * jitter)
    return now + timedelta(seconds=max(pause_s, asked_s or 0.0))


def read_retry_after(text: str | None, now: datetime) -> float | None:
    """Read a Retry-After header, seconds or a date, as a pause in seconds; None: nothing usable."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        asked_s = float(text[:_MOST_DIGITS])
    else:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, OverflowError):  # a zone with too many digits
            return None
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        asked_s = (moment - now).total_seconds()
    return min(max(asked_s, 0.0), MOST_RETRY_AFTER_S)

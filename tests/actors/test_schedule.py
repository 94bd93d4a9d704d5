"""When the next try is due."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobwire.actors.notifier.schedule import (
    MOST_RETRY_AFTER_S,
    first_try,
    next_try,
    read_retry_after,
)
from tests.support.factories import NOW, after

_SCHEDULE = (0.0, 5.0, 300.0)


def test_the_first_try_is_due_after_the_first_pause() -> None:
    assert first_try(_SCHEDULE, NOW) == NOW
    assert first_try((2.0, 5.0), NOW) == after(2)
    assert first_try((), NOW) == NOW


def test_each_further_try_is_due_after_its_own_pause() -> None:
    assert next_try(_SCHEDULE, 1, NOW, jitter=0.0) == after(5)
    assert next_try(_SCHEDULE, 2, NOW, jitter=0.0) == after(300)


@pytest.mark.parametrize("tries", [3, 4, 100])
def test_there_is_no_try_after_the_last_one(tries: int) -> None:
    assert next_try(_SCHEDULE, tries, NOW, jitter=0.0) is None
    assert next_try(_SCHEDULE, tries, NOW, jitter=0.0, asked_s=5.0) is None


def test_an_empty_schedule_is_one_try() -> None:
    assert next_try((), 1, NOW, jitter=0.0) is None


@given(st.floats(0, 1))
def test_tries_that_failed_together_part_company_but_come_never_early(jitter: float) -> None:
    due = next_try(_SCHEDULE, 2, NOW, jitter=jitter)

    assert due is not None
    assert after(300) <= due <= after(360)


def test_a_receiver_makes_a_pause_longer_never_shorter() -> None:
    assert next_try(_SCHEDULE, 1, NOW, jitter=0.0, asked_s=60.0) == after(60)
    assert next_try(_SCHEDULE, 2, NOW, jitter=0.0, asked_s=60.0) == after(300)


@pytest.mark.parametrize(
    ("text", "pause_s"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("Sun, 01 Mar 2026 12:01:00 GMT", 60.0),
        ("Sun, 01 Mar 2026 13:01:00 +0100", 60.0),
        ("Sunday, 01-Mar-26 12:01:00 GMT", 60.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Sun, 01 Mar 2026 12:01:00", 60.0),
        ("86400", MOST_RETRY_AFTER_S),
        ("9" * 5_000, MOST_RETRY_AFTER_S),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MOST_RETRY_AFTER_S),
        ("Sun, 01 Mar 2026 12:01:00 +999999999999999", None),
        ("Sun, 01 Mar 99999999999999999999 12:01:00 GMT", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("١٢", None),
        ("", None),
        (None, None),
    ],
)
def test_a_pause_that_is_asked_for_is_read_in_seconds_or_as_a_date(
    text: str | None, pause_s: float | None
) -> None:
    assert read_retry_after(text, NOW) == pause_s


@given(st.text(max_size=60))
def test_whatever_a_receiver_writes_is_a_bounded_pause_or_nothing(text: str) -> None:
    pause_s = read_retry_after(text, NOW)

    assert pause_s is None or 0 <= pause_s <= MOST_RETRY_AFTER_S

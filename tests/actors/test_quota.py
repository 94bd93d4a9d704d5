"""Quotas with a clock that the test sets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobwire.actors.runtime.quota import Quota


class _Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("per_minute", [1, 2, 3, 60, 120, 6_000])
def test_a_minutes_worth_is_admitted_at_once_and_no_more(per_minute: int) -> None:
    quota = Quota(per_minute, _Clock())

    admitted = [quota.admit("alice") for _ in range(per_minute + 5)]

    assert admitted == [True] * per_minute + [False] * 5


def test_it_is_refilled_evenly() -> None:
    clock = _Clock()
    quota = Quota(60, clock)
    for _ in range(60):
        quota.admit("alice")

    clock.now += 3.001

    assert [quota.admit("alice") for _ in range(4)] == [True, True, True, False]


def test_names_do_not_share_a_quota() -> None:
    quota = Quota(1, _Clock())

    assert quota.admit("alice")
    assert quota.admit("bob")
    assert not quota.admit("alice")


def test_it_says_that_nothing_is_left_without_taking_anything() -> None:
    quota = Quota(2, _Clock())

    looks = [quota.is_spent("alice") for _ in range(5)]
    quota.admit("alice")
    quota.admit("alice")

    assert looks == [False] * 5
    assert quota.is_spent("alice")
    assert not quota.is_spent("bob")


@pytest.mark.parametrize(("per_minute", "seconds"), [(1, 60), (2, 30), (60, 1), (6_000, 1)])
def test_it_says_when_another_try_makes_sense(per_minute: int, seconds: int) -> None:
    clock = _Clock()
    quota = Quota(per_minute, clock)
    while quota.admit("alice"):
        pass

    clock.now += quota.retry_after_s + 0.001

    assert quota.retry_after_s == seconds
    assert quota.admit("alice")


def test_the_longest_idle_name_is_forgotten_first() -> None:
    quota = Quota(1, _Clock())
    for number in range(10_001):
        quota.admit(f"name {number}")

    assert quota.admit("name 0")
    assert not quota.admit("name 10000")


@given(st.lists(st.floats(0, 30), max_size=80), st.integers(1, 20))
def test_never_more_than_two_minutes_worth_in_any_minute(
    pauses: list[float], per_minute: int
) -> None:
    clock = _Clock()
    quota = Quota(per_minute, clock)
    admitted = []
    for pause in pauses:
        clock.now += pause
        if quota.admit("alice"):
            admitted.append(clock.now)

    for moment in admitted:
        assert sum(moment <= other < moment + 60 for other in admitted) <= 2 * per_minute

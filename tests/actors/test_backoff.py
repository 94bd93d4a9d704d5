"""Pauses that grow and spread."""

from __future__ import annotations

import random

from jobwire.actors.runtime.backoff import Backoff


def test_pauses_double_up_to_the_longest_and_begin_anew_after_a_success() -> None:
    backoff = Backoff(0.1, 1.0, jitter=lambda: 1.0)

    grown = [backoff.next_s() for _ in range(6)]
    backoff.reset()

    assert grown == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert backoff.next_s() == 0.1


def test_each_pause_is_between_half_and_all_of_its_length() -> None:
    seeded = random.Random(7)
    pauses = [Backoff(4.0, 8.0, seeded.random).next_s() for _ in range(200)]

    assert 2.0 <= min(pauses) < 2.2
    assert 3.8 < max(pauses) <= 4.0


def test_however_long_it_fails_a_pause_has_an_end() -> None:
    backoff = Backoff(0.1, 5.0, jitter=lambda: 0.0)

    pauses = [backoff.next_s() for _ in range(5_000)]

    assert pauses[-1] == 2.5

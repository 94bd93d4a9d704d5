"""Nonces: what they are made of, what they open, and how their uses are counted."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as some
from msgspec import structs

from jobwire.actors.dialects.pipelinejobs.nonce_record import (
    CHARACTERS,
    LEVELS,
    MOST_SPENT,
    UNLIMITED,
    Level,
    Nonce,
    compose_nonce,
    spell,
    split_nonce,
)
from jobwire.schemas.principals import hash_secret

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _nonce(max_uses: int = UNLIMITED, level: Level = "EXECUTE") -> Nonce:
    return Nonce(
        handle="h" * 10,
        tenant="LAB",
        hash=hash_secret("s" * 26),
        owner="alice",
        actor="actor",
        alias=None,
        level=level,
        roles=("events", "jobs", "read"),
        max_uses=max_uses,
        created=_NOW,
    )


@given(some.lists(some.integers(0, 10**9), min_size=CHARACTERS, max_size=CHARACTERS))
def test_a_nonce_is_read_as_it_was_written(numbers: list[int]) -> None:
    handle, secret = spell(numbers)

    for tenant in ("LAB", "A_B.c"):
        assert split_nonce(compose_nonce(tenant, handle, secret)) == (tenant, handle, secret)
        assert split_nonce(compose_nonce(tenant, handle, "")) == (tenant, handle, None)


@pytest.mark.parametrize("text", ["", "_", "LAB_", "LAB_short", "LAB_" + "h" * 35, "h" * 36])
def test_other_texts_are_no_nonce(text: str) -> None:
    assert split_nonce(text) is None


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_grants_itself_and_those_before_it(level: Level) -> None:
    granted = [each for each in LEVELS if _nonce(level=level).grants(each)]

    assert granted == list(LEVELS[: LEVELS.index(level) + 1])


def test_it_opens_what_its_level_and_its_maker_both_allow() -> None:
    nonce = _nonce(level="UPDATE")

    assert nonce.scopes == {"read", "events", "jobs"}
    assert structs.replace(nonce, roles=("read", "admin")).scopes == {"read"}
    assert structs.replace(nonce, level="NONE").scopes == frozenset()


@given(
    some.integers(1, 6),
    some.lists(some.lists(some.sampled_from("abcdefghij"), max_size=5), max_size=8),
)
def test_however_uses_come_no_more_ids_are_admitted_than_there_are_uses(
    most: int, portions: list[list[str]]
) -> None:
    nonce, admitted = _nonce(most), set()
    for uses in portions:
        nonce, verdicts = nonce.redeem(uses, _NOW)
        for use, is_admitted in zip(uses, verdicts, strict=True):
            assert is_admitted or use not in admitted
            admitted |= {use} if is_admitted else set()

    assert len(admitted) == nonce.uses <= most
    assert nonce.left == most - nonce.uses


def test_without_a_limit_all_are_admitted_and_no_id_is_kept() -> None:
    nonce, verdicts = _nonce().redeem(["a", "a", "b"], _NOW)

    assert verdicts == [True] * 3
    assert (nonce.uses, nonce.left, nonce.spent) == (3, UNLIMITED, ())


def test_a_refusal_changes_nothing() -> None:
    spent, _ = _nonce(1).redeem(["a"], _NOW)

    again, verdicts = spent.redeem(["b"], _NOW)

    assert verdicts == [False]
    assert again is spent


def test_what_is_remembered_is_bounded() -> None:
    nonce, _ = _nonce(MOST_SPENT * 2).redeem([str(each) for each in range(MOST_SPENT + 9)], _NOW)

    assert len(nonce.spent) == MOST_SPENT
    assert nonce.uses == MOST_SPENT + 9

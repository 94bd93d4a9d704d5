"""Cursors: bound to their list, and to be read by nobody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobwire.schemas.cursors import Cursors
from jobwire.schemas.errors import Invalid

_CURSORS = Cursors(b"the secret of this service")


@given(st.integers(0, 2**63 - 1), st.text(max_size=40))
def test_a_cursor_gives_its_place_back_to_its_own_list(place: int, listed: str) -> None:
    cursor = _CURSORS.write(place, listed)

    assert _CURSORS.read(cursor, listed, int) == place


@given(st.integers(0, 2**63 - 1), st.text(max_size=10), st.text(max_size=10))
def test_a_cursor_of_another_list_is_refused(place: int, listed: str, other: str) -> None:
    cursor = _CURSORS.write(place, listed)

    if listed != other:
        with pytest.raises(Invalid) as caught:
            _CURSORS.read(cursor, other, int)
        assert (caught.value.pointer, caught.value.code) == ("/cursor", "wrong_cursor")


@given(st.integers(0, 2**40), st.data())
def test_a_cursor_with_one_character_changed_is_refused(place: int, data: st.DataObject) -> None:
    cursor = _CURSORS.write(place, "list")
    index = data.draw(st.integers(0, len(cursor) - 2))
    other = data.draw(st.sampled_from([c for c in "abcXYZ019_-" if c != cursor[index]]))

    with pytest.raises(Invalid):
        _CURSORS.read(cursor[:index] + other + cursor[index + 1 :], "list", int)


@given(st.text(max_size=60))
@pytest.mark.parametrize("listed", ["list"])
def test_any_foreign_text_is_refused(listed: str, text: str) -> None:
    with pytest.raises(Invalid):
        _CURSORS.read(text, listed, int)


def test_a_cursor_of_another_service_is_refused() -> None:
    cursor = Cursors(b"another secret").write(1, "list")

    with pytest.raises(Invalid):
        _CURSORS.read(cursor, "list", int)


def test_a_genuine_cursor_of_another_kind_is_refused() -> None:
    cursor = _CURSORS.write("text", "list")

    with pytest.raises(Invalid):
        _CURSORS.read(cursor, "list", int)


def test_neighbouring_places_do_not_look_alike() -> None:
    first, second = (_CURSORS.write(place, "list") for place in (1_000_000, 1_000_001))

    assert len(first) == len(second)
    assert sum(a == b for a, b in zip(first, second, strict=True)) < len(first) / 2


def test_the_same_place_of_two_owners_does_not_look_alike() -> None:
    mine, yours = (_CURSORS.write(1, f"stream {owner}") for owner in ("alice", "bob"))

    assert mine[-4:] != yours[-4:]

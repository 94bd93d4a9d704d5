"""API keys: what is stored of them, and when they open."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobwire.schemas.principals import ApiKey, compose_key, hash_secret, split_key
from tests.support.factories import NOW, after

_SECRET = "s" * 32


def _key(**fields: object) -> ApiKey:
    given_: dict[str, object] = {
        "id": "abcdefghij",
        "principal": "alice",
        "scopes": ("read",),
        "hash": hash_secret(_SECRET),
        "created": NOW,
    }
    return ApiKey(**{**given_, **fields})  # type: ignore[arg-type]


@given(
    st.from_regex(r"[a-z0-9]{10}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9_-]{32,64}", fullmatch=True),
)
def test_a_key_is_read_as_it_was_written(key_id: str, secret: str) -> None:
    assert split_key(compose_key(key_id, secret)) == (key_id, secret)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "jwk_",
        "jwk_abc_" + _SECRET,
        "jwk_abcdefghij",
        "jwk_abcdefghij_short",
        "jwk_ABCDEFGHIJ_" + _SECRET,
        "jwk_abcdefghij_" + _SECRET + "\n",
        " jwk_abcdefghij_" + _SECRET,
        "jwk_abcdefghij_" + "s" * 65,
        "jwk_abcdefghij_" + "\u00e9" * 32,
    ],
)
def test_what_is_no_key_is_not_split(text: str) -> None:
    assert split_key(text) is None


def test_a_key_opens_to_its_secret_and_to_no_other() -> None:
    key = _key()

    assert key.admits(_SECRET, NOW)
    assert not key.admits(_SECRET + "s", NOW)
    assert not key.admits("", NOW)


def test_a_key_closes_at_the_moment_it_expires() -> None:
    key = _key(expires=after(10))

    assert key.admits(_SECRET, after(9.999))
    assert not key.admits(_SECRET, after(10))


def test_a_revoked_key_does_not_open() -> None:
    assert not _key(revoked=NOW).admits(_SECRET, NOW)


def test_a_stored_key_does_not_hold_its_secret() -> None:
    assert _SECRET not in repr(_key())
    assert _SECRET.encode() not in repr(_key()).encode()

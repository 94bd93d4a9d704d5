"""Who says it: job tokens and signed authorities."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from jobwire.schemas.events import SignedAuthority, TokenAuthority
from jobwire.schemas.identifiers import EventId
from jobwire.schemas.tokens import (
    Keyring,
    ServiceKey,
    VerifiedSender,
    identify,
    mint_token,
    sign,
)
from tests.support.factories import KEYRING, job_id, make_event, make_signed

_JOB = job_id()
_OLD = KEYRING.signing
_NEW = ServiceKey(id="zz", secret=b"another secret of thirty-two byte")
_MOST_GENERATION = 32**6 - 1
_GENERATIONS = st.integers(0, _MOST_GENERATION)
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"


@given(_GENERATIONS)
def test_a_token_tells_its_generation_to_whoever_has_the_key(generation: int) -> None:
    token = mint_token(KEYRING, _JOB, generation)

    assert KEYRING.generation(_JOB, token) == generation
    assert set(token) <= set(_BASE32)
    assert 29 <= len(token) <= 34


@given(_GENERATIONS, st.data())
def test_a_token_with_one_character_changed_is_refused(
    generation: int, data: st.DataObject
) -> None:
    token = mint_token(KEYRING, _JOB, generation)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(
        st.sampled_from([c for c in _BASE32 + "A1=-_ é\x00\u0663\uff13" if c != token[place]])
    )

    changed = token[:place] + other + token[place + 1 :]

    assert KEYRING.generation(_JOB, changed) is None


def test_each_change_of_one_character_of_one_token_is_refused() -> None:
    token = mint_token(KEYRING, _JOB, 1)
    changed = [
        token[:place] + other + token[place + 1 :]
        for place in range(len(token))
        for other in _BASE32
        if other != token[place]
    ]

    assert len(changed) == len(token) * 31
    assert [c for c in changed if KEYRING.generation(_JOB, c) is not None] == []


@given(st.text(max_size=60) | st.text(alphabet=_BASE32, max_size=40))
def test_any_text_is_refused_without_an_error(text: str) -> None:
    assert KEYRING.generation(_JOB, text) is None


@pytest.mark.parametrize("change", [str.upper, str.title, lambda t: t + "a", lambda t: t[:-1]])
def test_a_token_has_one_way_to_be_written(change: object) -> None:
    token = mint_token(KEYRING, _JOB, 1)

    assert callable(change)
    assert KEYRING.generation(_JOB, change(token)) is None


@pytest.mark.parametrize("zero", ["\u0660", "\uff10", "\u0966"])
def test_digits_of_another_script_are_not_read_as_ours(zero: str) -> None:
    tokens = [mint_token(KEYRING, job_id(number), 1) for number in range(20)]
    other = {ord(_BASE32[value]): chr(ord(zero) + value) for value in range(10)}

    for number, token in enumerate(tokens):
        changed = token[:3] + token[3:].translate(other)
        assert changed != token
        assert KEYRING.generation(job_id(number), changed) is None


@pytest.mark.parametrize("blank", [" ", "_", "\n", "+", "-"])
def test_what_python_reads_in_a_number_is_not_read_in_a_token(blank: str) -> None:
    token = mint_token(KEYRING, _JOB, 40)

    for place in range(len(token) + 1):
        changed = token[:place] + blank + token[place:]
        assert KEYRING.generation(_JOB, changed) is None


def test_a_generation_with_a_leading_zero_is_refused() -> None:
    token = mint_token(KEYRING, _JOB, 1)

    assert KEYRING.generation(_JOB, token[:2] + "a" + token[2:]) is None


def test_a_generation_longer_than_six_digits_is_refused() -> None:
    token = mint_token(KEYRING, _JOB, _MOST_GENERATION + 1)

    assert KEYRING.generation(_JOB, token) is None


def test_a_token_of_another_job_is_refused() -> None:
    token = mint_token(KEYRING, job_id(2), 1)

    assert KEYRING.generation(_JOB, token) is None


def test_the_first_key_signs_and_every_key_verifies() -> None:
    before = mint_token(KEYRING, _JOB, 3)
    ring = Keyring((_NEW, _OLD))

    fresh = mint_token(ring, _JOB, 3)

    assert fresh.startswith("zz")
    assert ring.generation(_JOB, before) == 3
    assert ring.generation(_JOB, fresh) == 3


def test_a_key_that_left_the_ring_verifies_nothing() -> None:
    token = mint_token(KEYRING, _JOB, 1)

    assert Keyring((_NEW,)).generation(_JOB, token) is None


def test_two_keys_give_two_tokens() -> None:
    other = Keyring((replace(_NEW, id=_OLD.id),))

    assert mint_token(other, _JOB, 1) != mint_token(KEYRING, _JOB, 1)
    assert other.generation(_JOB, mint_token(KEYRING, _JOB, 1)) is None


def test_an_event_with_a_token_is_its_jobs() -> None:
    event = make_event(generation=4, attempt=2)

    assert identify(KEYRING, event) == VerifiedSender("token", "", 4, 2)


def test_an_event_with_another_jobs_token_is_forged() -> None:
    event = make_event(authority=TokenAuthority(mint_token(KEYRING, job_id(2), 1)))

    assert identify(KEYRING, event) is None


def test_a_signed_event_is_its_signers() -> None:
    event = make_signed("stage", role="worker", principal="site-1", attempt=3)

    assert identify(KEYRING, event) == VerifiedSender("worker", "site-1", 0, 3)


def test_a_signature_of_an_older_key_still_verifies() -> None:
    event = make_signed("cancel")

    assert identify(Keyring((_NEW, _OLD)), event) == VerifiedSender("caller", "alice", 0, None)


@pytest.mark.parametrize(
    "changed",
    [
        {"role": "reaper"},
        {"principal": "mallory"},
        {"attempt": 1},
        {"key_id": "bb"},
        {"signature": b""},
        {"signature": bytes(32)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_signed_authority_with_one_part_changed_is_forged(changed: dict[str, object]) -> None:
    event = make_signed("cancel")
    assert isinstance(event.authority, SignedAuthority)

    forged = replace(event, authority=replace(event.authority, **changed))

    assert identify(KEYRING, forged) is None


@pytest.mark.parametrize("changed", [{"job": job_id(2)}, {"id": EventId("other")}], ids=str)
def test_a_signature_speaks_for_one_event_of_one_job(changed: dict[str, object]) -> None:
    forged = replace(make_signed("cancel"), **changed)

    assert identify(KEYRING, forged) is None


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_two_different_speakers_never_have_one_signature(
    name: str, event: str, other_name: str, other_event: str
) -> None:
    one = sign(KEYRING, _JOB, EventId(event), "caller", name)
    other = sign(KEYRING, _JOB, EventId(other_event), "caller", other_name)

    assert (one.signature == other.signature) == ((name, event) == (other_name, other_event))


def test_a_token_that_was_verified_once_is_still_its_own_jobs_only() -> None:
    ring = Keyring((_OLD,))
    token = mint_token(ring, _JOB, 2)

    first, again = ring.generation(_JOB, token), ring.generation(_JOB, token)

    assert (first, again) == (2, 2)
    assert ring.generation(job_id(2), token) is None
    assert ring.generation(_JOB, token[:-1] + ("a" if token[-1] != "a" else "e")) is None


def test_memory_of_verified_tokens_is_bounded() -> None:
    ring = Keyring((_OLD,))
    for number in range(20_001):
        job = job_id(number)
        ring._verified[job, "x"] = 1

    generation = ring.generation(_JOB, mint_token(ring, _JOB, 5))

    assert generation == 5
    assert len(ring._verified) == 1

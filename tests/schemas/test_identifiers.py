"""Ids: how they are made and read, and where jobs belong."""

from __future__ import annotations

from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobwire.schemas.errors import Invalid
from jobwire.schemas.identifiers import (
    JobId,
    Name,
    Tag,
    derived_job_id,
    parse_job_id,
    random_job_id,
    shard_of,
)

_ENTROPY = st.binary(min_size=16, max_size=16)
_TEXT = "2f1c6c1e-7f43-4c0e-9a51-0d6a3c1f5a10"


@pytest.mark.parametrize("text", [_TEXT, _TEXT.upper(), _TEXT.title()])
def test_a_job_id_is_read_in_either_case_and_kept_in_lower(text: str) -> None:
    assert parse_job_id(text) == _TEXT


@pytest.mark.parametrize(
    "text",
    [
        "",
        " " + _TEXT,
        _TEXT + "\n",
        _TEXT + " ",
        "{" + _TEXT + "}",
        "urn:uuid:" + _TEXT,
        _TEXT.replace("-", ""),
        _TEXT.replace("2", "g", 1),
        "../" + _TEXT,
        _TEXT[:-1] + "\x00",
        _TEXT[:-1] + "\u0663",  # a digit, and not one of sixteen
        _TEXT * 300,
    ],
)
def test_what_is_no_job_id_is_refused_and_not_guessed(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_job_id(text, "/parent")

    assert caught.value.pointer == "/parent"
    assert len(caught.value.detail) < 200


@given(_ENTROPY)
def test_a_random_job_id_is_a_uuid_of_version_four_and_reads_back(entropy: bytes) -> None:
    made = random_job_id(entropy)

    assert UUID(made).version == 4
    assert parse_job_id(made) == made


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_each_owner_and_key_have_one_job_id_of_their_own(
    owner: str, key: str, other_owner: str, other_key: str
) -> None:
    one = derived_job_id(b"secret", owner, key)
    other = derived_job_id(b"secret", other_owner, other_key)

    assert (one == other) == ((owner, key) == (other_owner, other_key))
    assert derived_job_id(b"secret", owner, key) == one
    assert derived_job_id(b"another", owner, key) != one


@given(_ENTROPY, st.integers(1, 256))
def test_a_job_has_one_shard_among_those_there_are(entropy: bytes, shards: int) -> None:
    job = random_job_id(entropy)

    assert 0 <= shard_of(job, shards) < shards
    assert shard_of(job, shards) == shard_of(JobId(str(job)), shards)


def test_the_shard_of_a_job_is_the_same_in_every_release() -> None:
    assert [shard_of(JobId(_TEXT), count) for count in (1, 4, 7, 256)] == [0, 2, 3, 246]


def test_jobs_spread_over_all_shards() -> None:
    shards = [shard_of(random_job_id(bytes([n]) * 16), 4) for n in range(200)]

    assert min(shards.count(shard) for shard in range(4)) > 25


@pytest.mark.parametrize("text", ["a", "x" * 255, "tab is no letter but é is", "\U0001f600"])
def test_one_line_of_text_is_a_name(text: str) -> None:
    assert msgspec.convert(text, Name) == text


@pytest.mark.parametrize("text", ["", "x" * 256, "a\nb", "a\n", "\r", "\x00", "a\x1b[0m", "\x7f"])
def test_text_with_a_control_character_or_out_of_length_is_no_name(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, Name)


def test_a_tag_is_a_shorter_name() -> None:
    assert msgspec.convert("x" * 64, Tag) == "x" * 64
    for text in ("", "x" * 65, "a\nb"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(text, Tag)

"""Packed bodies: all of one, or nothing."""

from __future__ import annotations

import gzip
import zlib

import pytest

from jobwire.actors.dialects.packing import unpacked
from jobwire.schemas.errors import Malformed, TooLarge

_TEXT = b'{"n": 12345}'
_BARE = zlib.compress(_TEXT)[2:-4]


@pytest.mark.parametrize(
    ("body", "coding", "found"),
    [
        (_TEXT, "", _TEXT),
        (_TEXT, "identity", _TEXT),
        (gzip.compress(_TEXT), "GZip", _TEXT),
        (gzip.compress(_TEXT), "x-gzip", _TEXT),
        (gzip.compress(b""), "gzip", b""),
        (gzip.compress(_TEXT) + gzip.compress(_TEXT), "gzip", _TEXT * 2),
        (gzip.compress(b"") + gzip.compress(_TEXT), "gzip", _TEXT),
        (gzip.compress(b"x" * 100), "gzip", b"x" * 100),
        (zlib.compress(_TEXT), "deflate", _TEXT),
        (_BARE, "deflate", _TEXT),
        (b"", "gzip", b""),
    ],
)
def test_a_packed_body_is_what_was_packed(body: bytes, coding: str, found: bytes) -> None:
    assert unpacked(body, coding, 100) == found


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_one_that_is_cut_off_anywhere_is_refused(coding: str, pack: object) -> None:
    assert callable(pack)
    body = pack(_TEXT)

    for length in range(1, len(body)):
        with pytest.raises(Malformed):
            unpacked(body[:length], coding, 100)


@pytest.mark.parametrize(
    "body",
    [
        b"not packed",
        gzip.compress(_TEXT) + b"more",
        gzip.compress(_TEXT)[:-8] + b"\0" * 8,
        gzip.compress(b"") * 1_000,
    ],
)
def test_what_is_not_packed_so_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        unpacked(body, "gzip", 100)


@pytest.mark.parametrize("size", [101, 10_000_000])
def test_a_body_is_unpacked_up_to_its_limit(size: int) -> None:
    for body in (gzip.compress(b"x" * size), gzip.compress(b"x") + gzip.compress(b"x" * size)):
        with pytest.raises(TooLarge):
            unpacked(body, "gzip", 100)

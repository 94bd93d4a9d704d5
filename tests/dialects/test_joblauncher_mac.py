"""MAC Access Authentication: the vectors of the draft and of the original's own unit test."""

from __future__ import annotations

import hmac
import re
from base64 import b64decode, b64encode

import pytest
from yarl import URL

from jobwire.actors.dialects.joblauncher.mac import (
    NONCE_BYTES,
    Algorithm,
    MacRequest,
    authorization,
    mac_of,
    nonce_of,
    normalized,
    target_of,
)

_KEY = "_B1YfcqEYpZxyTx_-411-QdBOSI="


@pytest.mark.parametrize(
    ("key", "ts", "nonce", "target", "mac"),
    [
        pytest.param(
            "489dks293j39",
            1336363200,
            "dj83hs9s",
            MacRequest("GET", "/resource/1?b=1&a=2", "example.com", 80),
            "6T3zZzy2Emppni6bzL7kdRxUWL4=",
            id="the example of draft 01",
        ),
        pytest.param(
            _KEY,
            0,
            "0",
            MacRequest("GET", "", "localhost", 80),
            "cDuU6wfugKOnoAaEEEUz22J/kTc=",
            id="the original's unit test: no path",
        ),
        pytest.param(
            _KEY,
            0,
            "0",
            MacRequest("GET", "/", "localhost", 80),
            "pjDaax1kfvPQ+jBQ87u1ThOfFpU=",
            id="the same with the path /",
        ),
    ],
)
def test_a_mac_is_what_the_published_vectors_say(
    key: str, ts: int, nonce: str, target: MacRequest, mac: str
) -> None:
    assert mac_of(key, "hmac-sha-1", normalized(ts, nonce, target)) == mac


def test_the_normalized_string_has_seven_lines_each_with_its_end() -> None:
    target = MacRequest("PUT", "/runs/042?key=a%20b", "example.com", 8099)

    text = normalized(17, "n", target)

    assert text == "17\nn\nPUT\n/runs/042?key=a%20b\nexample.com\n8099\n\n"


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://Example.COM/a", MacRequest("PUT", "/a", "example.com", 80)),
        ("https://example.com", MacRequest("PUT", "/", "example.com", 443)),
        (
            "http://example.com:8099/a%20b?x=1&y=%26",
            MacRequest("PUT", "/a%20b?x=1&y=%26", "example.com", 8099),
        ),
        ("http://[2001:db8::1]:80/a?", MacRequest("PUT", "/a", "[2001:db8::1]", 80)),
    ],
)
def test_what_is_signed_is_what_goes_over_the_wire(url: str, target: MacRequest) -> None:
    assert target_of("put", URL(url)) == target


@pytest.mark.parametrize(
    ("algorithm", "digest"), [("hmac-sha-1", "sha1"), ("hmac-sha-256", "sha256")]
)
def test_both_algorithms_take_the_key_as_the_text_that_it_is(
    algorithm: Algorithm, digest: str
) -> None:
    expected = hmac.new(_KEY.encode("ascii"), b"some text\n", digest).digest()

    assert mac_of(_KEY, algorithm, "some text\n") == b64encode(expected).decode()
    assert mac_of(_KEY, algorithm, "x") != mac_of(b64decode(_KEY, "-_").hex(), algorithm, "x")


def test_the_header_has_its_four_parts_without_blanks() -> None:
    target = MacRequest("PUT", "/", "localhost", 80)

    header = authorization("eyJzYWx0IjogIj", _KEY, "hmac-sha-1", target, ts=12, nonce="abc")

    assert re.fullmatch(
        r'MAC id="eyJzYWx0IjogIj",ts="12",nonce="abc",mac="[A-Za-z0-9+/]{27}="', header
    )


def test_a_nonce_has_130_random_bits_in_base_32() -> None:
    assert nonce_of(b"\0" * NONCE_BYTES) == "a" * 26
    assert nonce_of(b"\xff" * NONCE_BYTES) == "7" * 26

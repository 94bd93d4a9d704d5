"""Paths and addresses: what can be meant well passes, everything else names its fault."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobwire.schemas.errors import Invalid
from jobwire.schemas.paths import check_address, check_path, is_pattern


@pytest.mark.parametrize(
    "path", ["a", "a/b.txt", "x" * 255, "a b", ".hidden", "ü/é", "a..b", "...", "*.txt", "a:b/c~"]
)
def test_a_relative_path_passes_as_it_is(path: str) -> None:
    assert check_path(path, "/p") == path


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "must not be empty"),
        ("/etc/passwd", "relative"),
        ("..", "'..'"),
        ("a/../b", "'..'"),
        ("a/..", "'..'"),
        ("./a", "'.'"),
        ("a//b", "two slashes"),
        ("a/", "at its end"),
        ("a\\b", "backslash"),
        ("a\0b", "control"),
        ("a\nb", "control"),
        ("a\x7f", "control"),
        ("-rf", "- or ~"),
        ("a/-rf", "- or ~"),
        ("~root/x", "- or ~"),
        ("x" * 256, "255"),
        ("é" * 128, "255"),
    ],
)
def test_a_path_that_no_job_needs_is_refused_with_its_fault(path: str, why: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_path(path, "/spec/stdout")

    assert refused.value.pointer == "/spec/stdout"
    assert refused.value.code == "bad_path"
    assert why in refused.value.detail
    assert len(refused.value.detail) < 300


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("file:///data/x", "/data/x"),
        ("file:///data/x/", "/data/x"),
        ("FILE:///data/x", "/data/x"),
        ("file://localhost/data", "/data"),
        ("file:/data/x", "/data/x"),
        ("file:///a%20b/%C3%BC", "/a b/ü"),
        ("file:///a/*.txt", "/a/*.txt"),
        ("file:///a/%3F.txt", "/a/?.txt"),
    ],
)
def test_a_file_uri_is_an_absolute_path(text: str, path: str) -> None:
    address = check_address(text, "/p")

    assert (address.path, address.is_absolute) == (path, True)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("http://host/x", "unknown_scheme"),
        ("sftp://host/x", "unknown_scheme"),
        ("s3:bucket/x", "unknown_scheme"),
        ("file://host/x", "bad_path"),
        ("file://user@localhost/x", "bad_path"),
        ("file://[x/y", "bad_path"),
        ("file://\u2100/y", "bad_path"),
        ("file:relative", "bad_path"),
        ("file:", "bad_path"),
        ("file:///", "bad_path"),
        ("file:////", "bad_path"),
        ("file:////etc", "bad_path"),
        ("file:///a/../b", "bad_path"),
        ("file:///a/%2e%2e/b", "bad_path"),
        ("file:///a%2F..%2Fb", "bad_path"),
        ("file:///a%00b", "bad_path"),
        ("file:///a\nb", "bad_path"),
        ("file:///a\tb", "bad_path"),
        ("file:///%ff", "bad_path"),
        ("file:///a?b", "bad_path"),
        ("file:///a#b", "bad_path"),
        ("file:///-x", "bad_path"),
        ("//host/share", "bad_path"),
    ],
)
def test_an_address_that_cannot_be_meant_well_is_refused(text: str, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_address(text, "/spec/stage_in/0/from")

    assert (refused.value.code, refused.value.pointer) == (code, "/spec/stage_in/0/from")


def test_an_address_without_a_scheme_is_relative() -> None:
    assert check_address("in/data.csv", "/p").is_absolute is False


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a*", True), ("a?", True), ("[ab]", True), ("a/**/b", True), ("plain", False), ("a]", False)],
)
def test_a_pattern_is_told_from_a_name(path: str, expected: bool) -> None:
    assert is_pattern(path) is expected


@given(st.text(max_size=60) | st.text("./\\~-ab%20:file\0\n", max_size=40))
def test_whatever_is_sent_an_address_stays_inside_or_is_refused(text: str) -> None:
    try:
        address = check_address(text, "/p")
    except Invalid:
        return
    names = address.path.split("/")[address.is_absolute :]
    assert all(name not in ("", ".", "..") for name in names)
    assert not any(ord(sign) < 32 for sign in address.path)

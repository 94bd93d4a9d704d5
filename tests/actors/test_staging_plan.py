"""The plan of staging: from a list and what is there to single copies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from jobwire.actors.filesystems.base import FileInfo, FileKind, FileLocation
from jobwire.actors.filesystems.file import FileTree
from jobwire.actors.stager.plan import Bounds, Copy, Line, Pattern, base_of, check, copies_of
from jobwire.schemas.errors import Invalid, NotFound
from tests.support.factories import NOW

_BOUNDS = Bounds(files=100, bytes=1_000, file_bytes=500)


def _line(source: str, target: str, *, into: bool = False, **fields: Any) -> Line:
    files = FileTree(Path("/nowhere"))
    return Line(
        label=source,
        source=FileLocation(files, source, f"/from/{source}"),
        target=FileLocation(files, target, f"/to/{target}".rstrip("/")),
        into=into,
        **fields,
    )


def _there(*paths: str, size: int = 1) -> list[FileInfo]:
    """Make a listing: a path that ends with `/` is a directory, one with `!` something else."""
    kinds: dict[str, FileKind] = {"/": "directory", "!": "other"}
    return [
        FileInfo(path.rstrip("/!"), kinds.get(path[-1], "file"), size, NOW, 0o644) for path in paths
    ]


def _ways(copies: Sequence[Copy]) -> list[tuple[str, str]]:
    return [(each.source, each.target) for each in copies]


@pytest.mark.parametrize(
    ("source", "target", "into", "there", "ways"),
    [
        ("x.csv", "in/y.csv", False, ["x.csv"], [("x.csv", "in/y.csv")]),
        ("d/x.csv", "in", True, ["d/x.csv"], [("d/x.csv", "in/x.csv")]),
        ("d/x.csv", "", True, ["d/x.csv"], [("d/x.csv", "x.csv")]),
        ("d", "n", False, ["d/", "d/x", "d/e/"], [("d", "n"), ("d/x", "n/x"), ("d/e", "n/e")]),
        ("a/d", "in", True, ["a/d/", "a/d/x"], [("a/d", "in/d"), ("a/d/x", "in/d/x")]),
        ("d/*.c", "in", False, ["d/x.c", "d/y.c"], [("d/x.c", "in/x.c"), ("d/y.c", "in/y.c")]),
        ("d/*.csv", "", True, ["d/x.csv"], [("d/x.csv", "x.csv")]),
        ("d/**/o", "r", False, ["d/o", "d/a/o"], [("d/o", "r/o"), ("d/a/o", "r/a/o")]),
        ("*", "r", False, ["x", "d/", "d/y"], [("x", "r/x"), ("d", "r/d"), ("d/y", "r/d/y")]),
        ("", "r", False, ["/", "x"], [("", "r"), ("x", "r/x")]),
    ],
)  # fmt: skip
def test_a_line_becomes_copies(
    source: str, target: str, into: bool, there: list[str], ways: list[tuple[str, str]]
) -> None:
    copies = copies_of(_line(source, target, into=into), _there(*there))

    assert _ways(copies) == ways
    assert [each.is_directory for each in copies] == [path.endswith("/") for path in there]
    check(copies, _BOUNDS)


@pytest.mark.parametrize(
    ("pattern", "covered", "not_covered"),
    [
        ("*.txt", ["a.txt", "ü.txt"], ["a.csv", "d/a.txt", ".a.txt", "a.txt.gz", "A.TXT"]),
        ("a?c", ["abc", "a*c"], ["ac", "abbc", "a/c"]),
        ("[ab].txt", ["a.txt", "b.txt"], ["c.txt"]),
        ("[!ab].txt", ["c.txt"], ["a.txt", ".txt"]),
        ("run[0-9]/out", ["run1/out", "run1/out/deep"], ["runx/out", "run1/log"]),
        ("*/out", ["a/out", "a/out/x/.y"], ["out", "a/b/out"]),
        ("**/out", ["out", "a/out", "a/b/out", "a/out/x"], ["a/outx", ".a/out"]),
        ("a/**", ["a/x", "a/x/y"], ["a", "b/x", "a/.x"]),
        ("a/**/b/**/c", ["a/b/c", "a/x/b/y/z/c"], ["a/c", "b/c"]),
        ("**", ["a", "a/b"], [".a"]),
        (".*", [".a", ".a/b"], ["a"]),
        ("*", ["a", "a/b"], [".a"]),
        ("d/x", ["d/x", "d/x/y"], ["d", "d/xy"]),
        ("[", ["["], ["a"]),
    ],
)
def test_a_pattern_covers_what_it_matches_and_what_is_in_it(
    pattern: str, covered: list[str], not_covered: list[str]
) -> None:
    covers = Pattern(pattern).covers

    assert [path for path in covered if not covers(path)] == []
    assert [path for path in not_covered if covers(path)] == []


@pytest.mark.timeout(5)
def test_a_pattern_made_to_be_slow_is_not() -> None:
    covers = Pattern("/".join(["**", "*a*a*a*a*a*a*b"] * 60)).covers

    assert not covers("/".join(["a" * 200] * 60))


@pytest.mark.parametrize(
    ("path", "base"), [("a/b", "a/b"), ("a/*.x", "a"), ("*.x", ""), ("a/b/**/c", "a/b"), ("", "")]
)
def test_a_pattern_is_looked_for_below_its_plain_beginning(path: str, base: str) -> None:
    assert base_of(path) == base


@pytest.mark.parametrize(("source", "said"), [("x.csv", "directory"), ("d/*.csv", "stands for")])
def test_what_is_missing_is_said_unless_it_is_optional(source: str, said: str) -> None:
    with pytest.raises(NotFound, match=said):
        copies_of(_line(source, "in"), [])

    assert copies_of(_line(source, "in", optional=True), []) == []


@pytest.mark.parametrize("there", [["bad!"], ["d/", "d/bad!"]])
def test_a_link_or_a_fifo_is_named_also_where_it_lies_in_a_directory(there: list[str]) -> None:
    with pytest.raises(Invalid) as refused:
        copies_of(_line("d", "in", optional=True), _there(*there))

    assert there[-1][:-1] in refused.value.detail


def test_a_digest_of_a_directory_is_refused() -> None:
    with pytest.raises(Invalid):
        copies_of(_line("d", "in", sha256="0" * 64), _there("d/"))


def _copies(*pairs: tuple[Line, Sequence[FileInfo]]) -> list[Copy]:
    return [copy for line, there in pairs for copy in copies_of(line, there)]


@pytest.mark.parametrize(
    "copies",
    [
        _copies((_line("a", "x"), _there("a")), (_line("b", "x"), _there("b"))),
        _copies((_line("a", "x"), _there("a")), (_line("x", "", into=True), _there("x"))),
        _copies((_line("a", "x"), _there("a")), (_line("b", "x/y"), _there("b"))),
        _copies((_line("a", "x"), _there("a")), (_line("d", "x"), _there("d/", "d/y"))),
        _copies((_line("p/a", "", into=True), _there("p/a")), (_line("q/*", ""), _there("q/a"))),
    ],
)
def test_two_sources_with_one_target_are_refused_and_both_are_named(copies: list[Copy]) -> None:
    with pytest.raises(Invalid) as refused:
        check(copies, _BOUNDS)

    assert refused.value.code == "same_target"
    assert repr(copies[0].source) in refused.value.detail or "'x'" in refused.value.detail


def test_two_directories_may_become_one() -> None:
    check(
        _copies((_line("d", "x"), _there("d/", "d/a")), (_line("e", "x"), _there("e/", "e/b"))),
        _BOUNDS,
    )


@pytest.mark.parametrize(
    ("there", "code"),
    [
        (_there("d/", *(f"d/{number}" for number in range(100))), "too_many_files"),
        (_there("d/", "d/x", size=501), "too_large"),
        (_there("d/", "d/x", "d/y", "d/z", size=400), "too_large"),
    ],
)
def test_limits_bound_what_is_copied(there: list[FileInfo], code: str) -> None:
    with pytest.raises(Invalid) as refused:
        check(copies_of(_line("d", "x"), there), _BOUNDS)

    assert refused.value.code == code
    assert refused.value.limit is not None

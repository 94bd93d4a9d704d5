"""
Where files go (pure): the original's rules for what is copied in and back.

Inputs and outputs meet in one flat directory: a file is known there by its last name only. With
`keep_paths` it keeps the path that it has below `jobdir`, so that two of one name do not collide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

from jobwire.schemas.errors import Invalid
from jobwire.schemas.paths import check_path, is_pattern
from jobwire.schemas.specs import StageIn, StageOut


class StagingLists(NamedTuple):
    """The staging lists of one job."""

    directory: str
    inputs: tuple[StageIn, ...]
    outputs: tuple[StageOut, ...]


def staged(
    jobdir: str,
    *,
    prestaged: Sequence[str],
    poststaged: Sequence[str],
    printed: Sequence[str],
    keep_paths: bool,
) -> StagingLists:
    """
    Return what is copied, in the order of the original: printed files first, then the others.

    Args:
        jobdir: an absolute directory.
        prestaged: paths below it, or absolute ones; whether those may be read is not said here.
        poststaged: paths below it; a leading `/` counts for nothing.
        printed: the files of standard output and standard error.
        keep_paths: whether paths are kept in the job's own directory.

    Raises:
        Invalid: a path leads out of `jobdir`, cannot be a name here, or two would collide.

    """
    base = _absolute(jobdir)
    for name, path in zip(("stdout", "stderr"), printed, strict=True):
        _check_name(path, f"/{name}")
    inputs: dict[str, StageIn] = {}
    for index, path in enumerate(prestaged):
        _add_input(inputs, base, path, f"/prestaged/{index}", printed, keep_paths=keep_paths)
    outputs = [_output(path, path, base) for path in printed]
    for index, path in enumerate(poststaged):
        below = _named(path, f"/poststaged/{index}")
        outputs.append(_output(below if keep_paths else _last(below), below, base))
    return StagingLists(_uri(base), tuple(inputs.values()), tuple(dict.fromkeys(outputs)))


def _add_input(
    inputs: dict[str, StageIn],
    base: str,
    path: str,
    pointer: str,
    printed: Sequence[str],
    *,
    keep_paths: bool,
) -> None:
    is_absolute = path.startswith("/")
    plain = _named(path, pointer)
    name = plain if keep_paths and not is_absolute else _last(plain)
    if name in inputs:
        detail = (
            f"two prestaged files would both become {name!r}: only the last name counts, unless"
            " the setting keep_paths is on"
        )
        raise Invalid(detail, pointer=pointer, code="same_target")
    if name in printed:
        detail = f"{name!r} is where the output of the job itself goes"
        raise Invalid(detail, pointer=pointer, code="same_target")
    source = f"/{plain}" if is_absolute else f"{base}/{plain}"
    inputs[name] = StageIn(source=_uri(source), target=name)


def _output(source: str, below: str, base: str) -> StageOut:
    return StageOut(source=source, target=_uri(f"{base}/{below}"), when="always")


def _uri(path: str) -> str:
    """Write a path as a URI, in which no name can be taken for a scheme."""
    return f"file://{quote(path)}"


def _plain(path: str) -> str:
    """Leave out what leads nowhere: `.` and the empty names of slashes at the ends or in a row."""
    return "/".join(name for name in path.split("/") if name not in ("", "."))


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _absolute(jobdir: str) -> str:
    if not jobdir.startswith("/"):
        detail = (
            f"jobdir is the absolute path of a directory on the service's machine, not {jobdir!r}"
        )
        raise Invalid(detail, pointer="/jobdir", code="bad_path")
    return f"/{_named(jobdir, '/jobdir')}"


def _named(path: str, pointer: str) -> str:
    """Return a path without its leading `/`, and without what leads nowhere."""
    plain = _plain(path)
    if not plain:
        raise Invalid(f"{path!r} names no file or directory", pointer=pointer, code="bad_path")
    _check_name(plain, pointer)
    return plain


def _check_name(path: str, pointer: str) -> None:
    check_path(path, pointer)
    if is_pattern(path):
        detail = f"{path!r} holds one of * ? [, which stand for other characters in staging lists"
        raise Invalid(detail, pointer=pointer, code="bad_path")

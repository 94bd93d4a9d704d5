"""
Paths and addresses of files that a job names (pure): relative ones below a directory, `file:` URIs.

What is refused here can never be meant well. That a path which looks well stays below its
directory when it is used, symbolic links and all, is checked by the code that opens it.
"""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import unquote_to_bytes, urlsplit

from msgspec import Meta, Struct

from jobwire.schemas.errors import Invalid

RelativePath = Annotated[str, Meta(min_length=1, max_length=1024)]
"""A path below a job's own directory: no `..`, no leading `/`, `-` or `~`; `check_path` knows."""

#: Most bytes of one name in a path, as file systems have it.
_NAME_BYTES = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_GLOB = re.compile(r"[*?\[]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class FileAddress(Struct, frozen=True):
    """Where a file or a directory is: an absolute path of this machine, or one below a job's."""

    path: str
    is_absolute: bool


def check_path(text: str, pointer: str) -> str:
    """
    Return a relative path back when it can stay below its directory.

    Raises:
        Invalid: it is empty, absolute, over its length, or holds what no such path needs: `..`,
            `.`, an empty name, a backslash, a control character, a leading `-` or `~`.

    """
    names = text.split("/")
    if not text:
        raise Invalid("a path must not be empty", pointer=pointer, code="bad_path")
    if _CONTROL.search(text):
        raise Invalid(
            "a path must not contain control characters", pointer=pointer, code="bad_path"
        )
    if text.startswith("/"):
        raise _bad(text, "must be relative", pointer)
    if "\\" in text:
        raise _bad(text, "holds a backslash; names are separated by /", pointer)
    for name in names:
        if not name:
            raise _bad(text, "has two slashes in a row, or one at its end", pointer)
        if name in (".", ".."):
            raise _bad(text, f"has the name {name!r} in it", pointer)
        if name.startswith(("-", "~")):
            raise _bad(text, "has a name that begins with - or ~", pointer)
        if len(name.encode(errors="surrogatepass")) > _NAME_BYTES:
            raise _bad(text, f"has a name of more than {_NAME_BYTES} bytes", pointer)
    return text


def check_address(text: str, pointer: str) -> FileAddress:
    """
    Read a `file:` URI, or a path that is relative to the job's `directory`.

    Raises:
        Invalid: another scheme, a host, or a path that `check_path` refuses.

    """
    if not _SCHEME.match(text):
        return FileAddress(check_path(text, pointer), is_absolute=False)
    if _CONTROL.search(text):  # which splitting would drop without a word
        raise Invalid("a URI must not contain control characters", pointer=pointer, code="bad_path")
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise Invalid(
            f"this is not a file: URI: {error}", pointer=pointer, code="bad_path"
        ) from error
    if parts.scheme != "file":
        detail = f"a file is named by file:///path or a relative path, not by {parts.scheme}:"
        raise Invalid(detail, pointer=pointer, code="unknown_scheme")
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
        detail = (
            "a file: URI names this machine's files: file:///path, without host; "
            "? and # in a path are written %3F and %23"
        )
        raise Invalid(detail, pointer=pointer, code="bad_path")
    try:
        path = unquote_to_bytes(parts.path).decode()
    except UnicodeDecodeError as error:
        raise Invalid("the path is not UTF-8", pointer=pointer, code="bad_path") from error
    if not path.startswith("/"):
        raise Invalid("a file: URI needs an absolute path", pointer=pointer, code="bad_path")
    below = path[1:].removesuffix("/")
    return FileAddress(f"/{check_path(below, pointer)}", is_absolute=True)


def is_pattern(path: str) -> bool:
    """Return whether a path is a pattern (`*`, `?`, `[...]`), which may stand for many files."""
    return _GLOB.search(path) is not None


def _bad(text: str, why: str, pointer: str) -> Invalid:
    shown = text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004 - a line of a terminal
    return Invalid(f"the path {shown!r} {why}", pointer=pointer, code="bad_path")

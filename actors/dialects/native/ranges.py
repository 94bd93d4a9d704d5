"""Which bytes of a file a request asks for (pure): `Range`, `If-Range` and `If-None-Match`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import NamedTuple

from jobwire.schemas.errors import RangeNotSatisfiable

_ONE_RANGE = re.compile(r"bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.IGNORECASE)
_DIGITS = 18
#: No number of bytes is larger.
MOST_BYTES = 10**_DIGITS
#: A file that was changed just now may be changed again without looking different.
_SETTLED = timedelta(seconds=2)


class Span(NamedTuple):
    """Bytes of a file: from `start` up to `end`, that one not included."""

    start: int
    end: int


class Version(NamedTuple):
    """Identifies one version of a file."""

    etag: str
    last_modified: str

    @property
    def is_strong(self) -> bool:
        """Whether an equal tag means equal bytes."""
        return not self.etag.startswith("W/")


def version_of(size: int, modified: datetime, now: datetime) -> Version:
    """Tag a file by its size and time; weakly, as long as it may be written still."""
    stamp = int(modified.timestamp() * 1_000_000)
    weak = "W/" if now - modified < _SETTLED else ""
    at = format_datetime(modified.astimezone(UTC).replace(microsecond=0), usegmt=True)
    return Version(f'{weak}"{stamp:x}-{size:x}"', at)


def is_unchanged(if_none_match: str | None, version: Version) -> bool:
    """Return whether the client has this state of the file already."""
    if if_none_match is None:
        return False
    if if_none_match.strip() == "*":
        return True
    tags = [each.strip().removeprefix("W/") for each in if_none_match.split(",")]
    return version.etag.removeprefix("W/") in tags


def applies(if_range: str | None, version: Version) -> bool:
    """Return whether the range applies: `If-Range` requests all of a file that has changed."""
    if if_range is None:
        return True
    if '"' in if_range:
        return version.is_strong and if_range.strip() == version.etag
    try:
        asked, at = map(parsedate_to_datetime, (if_range, version.last_modified))
    except (ValueError, OverflowError):  # a zone with too many digits
        return False
    return version.is_strong and asked == at


def span_of(header: str | None, size: int) -> Span | None:
    """
    Return the bytes that a `Range` header asks for; None: all of them.

    Several ranges, another unit, and what cannot be read are answered with the whole, as a server
    may; so is every range of an empty file.

    Raises:
        RangeNotSatisfiable: the range begins behind the end.

    """
    match = _ONE_RANGE.fullmatch(header) if header else None
    if match is None or not (match[1] or match[2]) or not size:
        return None
    first, last = _number(match[1]), _number(match[2])
    if first is None:
        if not last:
            raise _unsatisfiable(size)
        return Span(max(size - last, 0), size)
    if last is not None and last < first:
        return None
    if first >= size:
        raise _unsatisfiable(size)
    return Span(first, size if last is None else min(last + 1, size))


def start_of(header: str | None) -> int | None:
    """Return where a `Range` header without an end begins; None: it is of another kind."""
    match = _ONE_RANGE.fullmatch(header) if header else None
    return _number(match[1]) if match is not None and not match[2] else None


def _number(digits: str) -> int | None:
    if not digits:
        return None
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= _DIGITS else MOST_BYTES


def _unsatisfiable(size: int) -> RangeNotSatisfiable:
    return RangeNotSatisfiable(f"the file has {size} bytes", limit=size)

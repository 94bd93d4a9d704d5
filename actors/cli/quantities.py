"""Amounts as people write them: lengths of time, sizes of memory, moments to come."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import click

_SECONDS: Final = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_MIB: Final = {"k": 1 / 1024, "m": 1, "g": 1024, "t": 1024**2}

_LENGTH = re.compile(r"(?:\d+(?:\.\d+)?(?:min|[smhdw]))+", re.ASCII)
_TERM = re.compile(r"(\d+(?:\.\d+)?)(min|[smhdw])", re.ASCII)
_CLOCK = re.compile(r"(\d+):([0-5]\d)(?::([0-5]\d))?", re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(?:i?b)?)?", re.ASCII | re.IGNORECASE)


def read_length(text: str) -> float:
    """
    Read a length of time in seconds: `90`, `90s`, `10m`, `1h30m`, `2d`, `1:30:00`.

    Raises:
        ValueError: the text cannot be parsed.

    """
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, seconds = clock.groups(default="0")
        return int(hours) * 3_600.0 + int(minutes) * 60.0 + int(seconds)
    if _LENGTH.fullmatch(text):
        return sum(float(number) * _SECONDS[unit] for number, unit in _TERM.findall(text))
    message = f"{text!r} is not a duration such as 90s, 10m, 1h30m, 2d or 1:30:00"
    raise ValueError(message)


def read_memory(text: str) -> int:
    """
    Read an amount of memory in MiB, rounded up: `512M`, `1.5G`; without a unit it is MiB.

    Raises:
        ValueError: the text cannot be parsed.

    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        message = f"{text!r} is not an amount of memory such as 512M or 2G"
        raise ValueError(message)
    mib = float(found[1]) * _MIB[(found[2] or "m").lower()]
    return max(-int(-mib // 1), 1)


class LengthType(click.ParamType[float]):
    """A length of time, in seconds."""

    name = "time"

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read it."""
        try:
            return read_length(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class MemoryType(click.ParamType[int]):
    """An amount of memory, in MiB."""

    name = "size"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Read it."""
        try:
            return read_memory(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class StartType(click.ParamType[datetime]):
    """A moment to come: an ISO time, local where it has no zone, or a length of time from now."""

    name = "when"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Read it."""
        if isinstance(value, datetime):
            return value
        try:
            return datetime.now(UTC) + timedelta(seconds=read_length(value.removeprefix("+")))
        except (ValueError, OverflowError):
            pass
        try:
            return datetime.fromisoformat(value).astimezone()
        except ValueError:
            self.fail(
                f"{value!r} is neither a time such as 2026-02-28T15:00 nor one from now, such as "
                "10m",
                param,
                ctx,
            )

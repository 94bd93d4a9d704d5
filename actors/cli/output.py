"""What a command shows: tables and colours for people, JSON lines for programs, notes aside."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import Raw
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_encode = msgspec.json.Encoder().encode

#: Least width of a column, in characters.
_NARROWEST: Final = 8

_MINUTE_S: Final = 60
_HOUR_S: Final = 3_600
_DAY_S: Final = 86_400


class Output:
    """Where one command writes."""

    def __init__(self, *, as_json: bool) -> None:
        """Write JSON lines when asked to, or when standard output is not a terminal."""
        self.wants_json = as_json
        self.is_json = as_json or not sys.stdout.isatty()
        self.console = Console(highlight=False, soft_wrap=False)
        self._notes = Console(stderr=True, highlight=False)
        self._divert: Callable[[str], None] | None = None

    @property
    def width(self) -> int:
        """How many columns there are."""
        return self.console.width

    def record(self, record: object) -> None:
        """Write one JSON line, at once."""
        sys.stdout.write(_encode(record).decode() + "\n")
        sys.stdout.flush()

    def show(self, *parts: RenderableType) -> None:
        """Show something to people, with room around it."""
        for part in parts:
            if part == "":
                self.console.print()
            else:
                self.console.print(Padding(part, (0, 0, 0, 2), expand=False))

    def line(self, text: str) -> None:
        """Write one line that can be copied whole, however long it is."""
        self.console.print(Text(text), soft_wrap=True)

    def say(self, text: Text) -> None:
        """Print for people, in one line, what was done."""
        self.console.print(text, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Warn on standard error."""
        self._notes.print(Text.assemble(("warning: ", "yellow"), text), soft_wrap=True)

    def note(self, text: str) -> None:
        """Print a note on standard error."""
        if self._divert is not None:
            self._divert(text)
            return
        self._notes.print(Text(text, style="dim"), soft_wrap=True)

    def divert(self, notes: Callable[[str], None] | None) -> None:
        """Hand notes to somebody who draws on the terminal meanwhile; None: no more."""
        self._divert = notes


def table(
    heads: Sequence[str], rows: Sequence[Sequence[Text]], width: int, *, flexible: Sequence[str]
) -> Table:
    """Make a calm table without lines; only `flexible` columns are cut where room is short."""
    made = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    widths = [
        max(len(head), *(row[index].cell_len for row in rows)) if rows else len(head)
        for index, head in enumerate(heads)
    ]
    cut = [index for index, head in enumerate(heads) if head in flexible]
    while cut and sum(widths) + 2 * len(heads) + 2 > width:
        widest = max(cut, key=widths.__getitem__)
        if widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
    for head, room in zip(heads, widths, strict=True):
        made.add_column(head, no_wrap=True, min_width=room, max_width=room, overflow="ellipsis")
    for row in rows:
        made.add_row(*row)
    return made


def fields(pairs: Sequence[tuple[str, str | Text | None]]) -> Table:
    """Make a list of named values; those that are not there are left out."""
    made = Table.grid(padding=(0, 3, 0, 0))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs:
        if value is not None:
            made.add_row(name, Text(clean(value)) if isinstance(value, str) else value)
    return made


def clean(text: str) -> str:
    """Make text from outside harmless: no control character reaches the terminal."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def short_json(data: Raw, width: int = 10_000) -> str:
    """Write data in one line of limited length."""
    text = bytes(data).decode()
    if text == "null":
        return ""
    flat = clean(" ".join(text.split()))
    return flat if len(flat) <= width else flat[: max(width - 1, 0)] + "…"


def duration(seconds: float) -> str:
    """Write a length of time so that it can be grasped: 850 ms, 12.4 s, 3 min 5 s, 2 h 14 min."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S} s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S} min"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S} h"


def ago(moment: datetime, now: datetime | None = None) -> str:
    """Write how long ago a moment was, in one unit."""
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    for unit, name in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if seconds >= unit:
            return f"{int(seconds // unit)} {name} ago"
    return f"{max(int(seconds), 0)} s ago"


def clock(moment: datetime) -> str:
    """Write a moment in local time, to the second."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"

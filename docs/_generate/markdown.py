"""Pieces of Markdown: tables, the note on top of a generated page, a generated part of a page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def note(source: str) -> str:
    """Return the note on top of a page that names its source."""
    return f"<!-- Written by `make generate` from {source}: change that, not this page. -->\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table."""
    lines = [_row(head), _row(["---"] * len(head)), *map(_row, rows)]
    return "\n".join(lines) + "\n"


def fill(page: str, part: str, text: str) -> str:
    """
    Replace one generated part of a page that is otherwise written by hand.

    Raises:
        ValueError: the page has no such part.

    """
    begin, end = f"<!-- generated: {part} -->", f"<!-- end of {part} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if pattern.search(page) is None:
        message = f"the page has no part between {begin!r} and {end!r}"
        raise ValueError(message)
    return pattern.sub(lambda _: f"{begin}\n\n{text}\n{end}", page)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

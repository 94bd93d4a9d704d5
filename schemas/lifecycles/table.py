"""Reads a lifecycle's table from aligned text, so that the source shows what the rule is."""

from __future__ import annotations

from collections.abc import Mapping

from jobwire.schemas.lifecycle import Arrow, Exit


def read_table(
    text: str, guarded: Mapping[str, tuple[Arrow, ...]] | None = None
) -> dict[str, dict[str, Exit]]:
    """
    Read `state | event event ...` rows.

    A cell is a target, `same`, `-` for no exit, or the name of a guarded exit.

    Raises:
        ValueError: a row has another number of columns than the head.

    """
    head, *rows = [line for line in text.strip().splitlines() if line.strip()]
    events = head.partition("|")[2].split()
    table: dict[str, dict[str, Exit]] = {}
    for row in rows:
        state, _, cells = row.partition("|")
        name = state.strip()
        ways: dict[str, Exit] = {"same": name, **(guarded or {})}
        exits = zip(events, cells.split(), strict=True)
        table[name] = {event: ways.get(cell, cell) for event, cell in exits if cell != "-"}
    return table

"""A lifecycle drawn for a terminal, from its table and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from textwrap import wrap
from typing import Final, NamedTuple, get_args

from rich.table import Table
from rich.text import Text

from jobwire.actors.cli.output import clean
from jobwire.actors.cli.state_style import StateStyle, StateStyles
from jobwire.schemas.lifecycle import Category, Condition, Lifecycle, arrows

#: Narrowest terminal, in columns, in which two cards stand side by side.
_TWO_CARDS: Final = 104
_LONGEST_ARROW: Final = 34

_WHEN: Final[dict[Condition, str]] = {
    "always": "",
    "may_retry": "if attempts are left",
    "cancel_applied": "if it was cancelled",
}

_HEADS: Final[dict[Category, str]] = {
    "initial": "begins as",
    "waiting": "waits as",
    "active": "works as",
    "ended": "ends as",
}


class Way(NamedTuple):
    """Where one state leads, and by which events."""

    target: str
    note: str
    events: tuple[str, ...]


def draw(lifecycle: Lifecycle, width: int) -> Iterator[Text | Table]:
    """Draw a heading, and under each category the cards of its states."""
    styles = StateStyles({lifecycle.name: lifecycle})
    columns = 2 if width >= _TWO_CARDS else 1
    room = width // columns - 4 * (columns - 1)
    yield Text.assemble(
        (lifecycle.name, "bold"),
        (f"  version {lifecycle.version}  ", "dim"),
        clean(lifecycle.meaning),
        "\n",
    )
    for category in get_args(Category):
        names = [name for name, state in lifecycle.states.items() if state.category == category]
        if not names:
            continue
        yield Text(_HEADS[category], "dim italic")
        cards = [Text("\n").join(_card(lifecycle, styles, name, room)) for name in names]
        grid = Table.grid(padding=(0, 4 if columns > 1 else 0, 0, 0))
        for _ in range(columns):
            grid.add_column(width=room, no_wrap=True)
        rows = zip_longest(*(cards[start::columns] for start in range(columns)), fillvalue=Text())
        for row in rows:
            grid.add_row(*row)
        yield grid
    yield Text.assemble(*_legend(lifecycle))


def ways(lifecycle: Lifecycle, state: str) -> list[Way]:
    """Return where a state leads, events with the same target and condition together."""
    found: dict[tuple[str, str], list[str]] = {}
    for of, event, arrow in arrows(lifecycle):
        if of == state and (arrow.to != state or arrow.when != "always"):
            is_last_resort = _is_last_resort(lifecycle, state, event, arrow.when)
            note = "otherwise" if is_last_resort else _WHEN[arrow.when]
            if lifecycle.events[event].administrative:
                note = " ".join(filter(None, ("administrative", note)))
            found.setdefault((arrow.to, note), []).append(event)
    return [Way(target, note, tuple(events)) for (target, note), events in found.items()]


def loops(lifecycle: Lifecycle, state: str) -> list[str]:
    """Return the events that leave a state as it is."""
    row = lifecycle.transitions.get(state, {})
    return [event for event, way in row.items() if way == state]


def _is_last_resort(lifecycle: Lifecycle, state: str, event: str, when: Condition) -> bool:
    guarded = not isinstance(lifecycle.transitions[state][event], str)
    return guarded and when == "always"


def _card(lifecycle: Lifecycle, styles: StateStyles, name: str, width: int) -> Iterator[Text]:
    state = lifecycle.states[name]
    mark = styles.of(lifecycle.name, name, state.outcome)
    outcome = f"  {state.outcome}" if state.outcome else ""
    final = "  final" if state.final else ""
    first = Text.assemble(
        (f"{mark.sign} {name}", f"bold {mark.style}"),
        (outcome, mark.style),
        (final, "bold"),
    )
    if state.meaning:
        first.append(f"  {clean(state.meaning)}", "dim")
    first.truncate(width, overflow="ellipsis")
    yield first
    stays = loops(lifecycle, name)
    found = ways(lifecycle, name)
    longest = min(max((len(", ".join(way.events)) for way in found), default=0), _LONGEST_ARROW)
    for number, way in enumerate(found, 1):
        is_last = number == len(found) and not stays
        yield from _arrow(way, lifecycle, styles, longest, width, is_last=is_last)
    if stays:
        lines = wrap(", ".join(stays), max(width - 6, 10))
        yield Text.assemble(("  └", "dim"), ("↻ ", mark.style), (lines[0], ""))
        yield from (Text(f"     {line}") for line in lines[1:])
    yield Text()


def _arrow(
    way: Way, lifecycle: Lifecycle, styles: StateStyles, longest: int, width: int, *, is_last: bool
) -> Iterator[Text]:
    target = lifecycle.states[way.target]
    mark: StateStyle = styles.of(lifecycle.name, way.target, target.outcome)
    *before, last = wrap(", ".join(way.events), _LONGEST_ARROW)
    rail = "  ├─ " if not is_last else "  └─ "
    for line in before:
        yield Text.assemble((rail, "dim"), line)
        rail = "  │  " if not is_last else "     "
    shaft = "─" * (longest - len(last) + 2)
    row = Text.assemble(
        (rail, "dim"),
        last,
        (f" {shaft}▶ ", "dim"),
        (way.target, mark.style),
        (f"  {way.note}", "dim"),
    )
    row.truncate(width, overflow="ellipsis")
    yield row


def _legend(lifecycle: Lifecycle) -> Iterator[tuple[str, str]]:
    yield "↻ ", "cyan"
    yield "the state stays   ", "dim"
    yield "final", "bold"
    yield "  only administrative events lead out", "dim"
    if lifecycle.stale_event:
        yield f"\nA missed deadline or heartbeat sends {lifecycle.stale_event}.", "dim"

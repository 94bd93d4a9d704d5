"""How a state looks: a sign and a colour, by its category and outcome and never by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from rich.text import Text

from jobwire.schemas.lifecycle import Category, JobOutcome, Lifecycle
from jobwire.schemas.lifecycles import BUILT_IN


class StateStyle(NamedTuple):
    """A sign and its colour."""

    sign: str
    style: str


BY_OUTCOME: Final[Mapping[JobOutcome, StateStyle]] = {
    "success": StateStyle("✔", "green"),
    "failure": StateStyle("✘", "red"),
    "cancelled": StateStyle("⊘", "yellow"),
    "lost": StateStyle("?", "magenta"),
}

BY_CATEGORY: Final[Mapping[Category, StateStyle]] = {
    "initial": StateStyle("○", "white"),
    "waiting": StateStyle("◌", "blue"),
    "active": StateStyle("●", "cyan"),
    "ended": StateStyle("■", "bright_black"),
}

#: For a state that no known lifecycle has.
_UNKNOWN = StateStyle("●", "default")


class StateStyles:
    """The looks of the states of some lifecycles."""

    def __init__(self, tables: Mapping[str, Lifecycle] = BUILT_IN) -> None:
        """Look states up in these lifecycles, by name."""
        self._tables = tables

    def of(self, lifecycle: str, state: str, outcome: JobOutcome | None) -> StateStyle:
        """Return the mark of a state."""
        if outcome is not None:
            return BY_OUTCOME[outcome]
        table = self._tables.get(lifecycle)
        found = table.states.get(state) if table else None
        return BY_CATEGORY[found.category] if found else _UNKNOWN

    def text(self, lifecycle: str, state: str, outcome: JobOutcome | None) -> Text:
        """Write a state with its sign, in its colour."""
        mark = self.of(lifecycle, state, outcome)
        return Text(f"{mark.sign} {state}", style=mark.style)

"""A job's history drawn for a terminal: one row for each entry, gaps, and where the time went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Final

from rich.table import Table
from rich.text import Text

from jobwire.actors.cli.output import clean, duration, short_json
from jobwire.actors.cli.state_style import StateStyles
from jobwire.schemas.lifecycle import Lifecycle
from jobwire.schemas.outcomes import Reason
from jobwire.schemas.views import EntryView

#: Least number of seconds without entries that is drawn as a gap.
_GAP_S: Final = 60.0
_ELAPSED_WIDTH: Final = 12
_MOST_EVENT_WIDTH: Final = 16
_BAR_SIGNS: Final = " ▏▎▍▌▋▊▉█"

WHY: Final[dict[str, str]] = {
    Reason.WRONG_STATE: "not allowed in this state",
    Reason.UNKNOWN_EVENT: "unknown to the lifecycle",
    Reason.WRONG_SENDER: "this sender may not send it",
    Reason.STALE_ATTEMPT: "of another attempt",
    Reason.OVERTAKEN: "overtaken",
    Reason.EXISTS: "the job existed already",
    Reason.STILL_RUNNING: "the job had not ended",
}


class Timeline:
    """Draws the entries of one job, one after another."""

    def __init__(self, lifecycle: Lifecycle, width: int) -> None:
        """Take the columns' widths from the lifecycle, so that rows can come one by one."""
        self._lifecycle = lifecycle.name
        self._styles = StateStyles({lifecycle.name: lifecycle})
        self._width = width
        self._state_width = max(map(len, lifecycle.states))
        self._event_width = min(max(map(len, lifecycle.events)), _MOST_EVENT_WIDTH)
        self._last: EntryView | None = None
        self._day: date | None = None

    def rows(self, entry: EntryView) -> Iterator[Text]:
        """Draw the next entry: its day when that is new, the gap before it, and itself."""
        moment = entry.received.astimezone()
        last = self._last
        elapsed_s = (entry.received - last.received).total_seconds() if last else 0.0
        if moment.date() != self._day:
            self._day = moment.date()
            yield Text(f"{self._day:%A, %d %B %Y}", style="dim")
        if elapsed_s >= _GAP_S:
            yield Text.assemble(" " * (8 + _ELAPSED_WIDTH + 2), ("┊", "dim"))
        elapsed = f"+{duration(elapsed_s)}" if last else ""
        row = Text.assemble(
            f"{moment:%H:%M:%S}", (elapsed.rjust(_ELAPSED_WIDTH), "dim"), "  ", *self._what(entry)
        )
        row.truncate(self._width, overflow="ellipsis")
        self._last = entry
        yield row

    def state(self, entry: EntryView) -> Text:
        """Write the state after an entry, in its colour."""
        return self._styles.text(self._lifecycle, entry.state, entry.outcome)

    def _what(self, entry: EntryView) -> Iterator[Text | tuple[str, str]]:
        name = clean(entry.name).ljust(self._event_width)
        data = short_json(entry.data)
        blank = " " * self._state_width
        if not entry.applied:
            why = WHY.get(entry.reason, entry.reason) if entry.reason else ""
            yield f"┊ {blank}  {name}  not applied: {why}", "dim"
        elif self._last is None or self._last.state != entry.state:
            mark = self._styles.of(self._lifecycle, entry.state, entry.outcome)
            yield f"{mark.sign} {entry.state.ljust(self._state_width)}", f"bold {mark.style}"
            yield f"  {name}  ", ""
            yield data, "dim"
        else:
            yield f"│ {blank}", "dim"
            yield f"  {name}  ", ""
            yield data, "dim"

    def shares(self, entries: Sequence[EntryView], now: datetime) -> Table:
        """Draw where the time went: each state and how long the job was in it."""
        spent = time_in_states(entries, now)
        longest = max(spent.values(), default=0.0) or 1.0
        room = max(self._width - self._state_width - 22, 10)
        made = Table.grid(padding=(0, 2, 0, 0))
        made.add_column(no_wrap=True)
        made.add_column(no_wrap=True, justify="right")
        made.add_column(no_wrap=True)
        outcomes = {entry.state: entry.outcome for entry in entries}
        for state, seconds in spent.items():
            mark = self._styles.of(self._lifecycle, state, outcomes[state])
            bar = Text(_bar(seconds / longest * room), style=mark.style)
            label = Text(f"{mark.sign} {state}", style=mark.style)
            made.add_row(label, Text(duration(seconds), "dim"), bar)
        return made


def time_in_states(entries: Sequence[EntryView], now: datetime) -> dict[str, float]:
    """Sum the seconds in each state, in the order of the first visits, up to the outcome."""
    last = entries[-1]
    ends = [entry for entry in entries if entry.state != last.state] if last.outcome else []
    counted = entries[: entries.index(ends[-1]) + 1] if ends else entries
    spent: dict[str, float] = {}
    for entry, until in zip(counted, [*(each.received for each in entries[1:]), now], strict=False):
        seconds = max((until - entry.received).total_seconds(), 0.0)
        spent[entry.state] = spent.get(entry.state, 0.0) + seconds
    return spent


def since(entry: EntryView, now: datetime | None = None) -> str:
    """Write how long ago an entry came."""
    return duration(((now or datetime.now(UTC)) - entry.received).total_seconds())


def _bar(eighths_of: float) -> str:
    whole, rest = divmod(round(eighths_of * 8), 8)
    return ("█" * whole + _BAR_SIGNS[rest]).rstrip() or "▏"

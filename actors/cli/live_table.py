"""The live table of `jobwire watch`: the jobs with the most recent entries."""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic

from rich.console import Group
from rich.live import Live
from rich.padding import Padding
from rich.text import Text

from jobwire.actors.cli.jobs import WIDE
from jobwire.actors.cli.output import Output, ago, clean, table
from jobwire.actors.cli.state_style import StateStyles
from jobwire.actors.client import Client
from jobwire.schemas.errors import NotFound
from jobwire.schemas.lifecycle import DELETE
from jobwire.schemas.views import EntryView, JobView

_REFRESH_S = 0.25
#: Lines of the terminal that are not rows of the table.
_FRAME_LINES = 5
#: Most jobs looked up between two refreshes; the others are looked up later.
_LOOKUPS = 10
#: Seconds over which the rate is measured.
_RATE_S = 5.0


class LiveTable:
    """The most recently changed jobs and their last entries."""

    def __init__(self, rows: int, styles: StateStyles) -> None:
        """Keep the last `rows` jobs."""
        self._rows = rows
        self._styles = styles
        self._jobs: dict[str, JobView] = {}
        self._last: dict[str, EntryView] = {}
        self._seen: deque[float] = deque()
        self._total = 0

    def add_job(self, job: JobView) -> None:
        """Add the details of a job: its name, tags and lifecycle."""
        self._jobs[job.id] = job

    def add_entry(self, entry: EntryView) -> None:
        """Move the job of an entry to the top; remove it if the entry deletes it."""
        self._seen.append(monotonic())
        self._total += 1
        self._last.pop(entry.job, None)
        if entry.name == DELETE and entry.applied:
            self._jobs.pop(entry.job, None)
            return
        self._last[entry.job] = entry
        while len(self._last) > self._rows:
            oldest = next(iter(self._last))
            del self._last[oldest]
            self._jobs.pop(oldest, None)

    def unknown(self) -> list[str]:
        """Return the jobs whose details are still to be looked up."""
        return [job for job in reversed(self._last) if job not in self._jobs][:_LOOKUPS]

    def draw(self, width: int) -> Group:
        """Draw the table and the rate under it."""
        wide = width >= WIDE
        heads = ("id", "state", "event", "name", *(("tags", "entries") if wide else ()), "when")
        rows = [self._row(entry, wide=wide) for entry in reversed(self._last.values())]
        made = table(heads, rows, width, flexible=("event", "name", "tags"))
        while self._seen and self._seen[0] < monotonic() - _RATE_S:
            self._seen.popleft()
        rate = f"{len(self._seen) / _RATE_S:.1f} events/s, {self._total} since the start; "
        foot = Text(rate + "Ctrl-C ends the watch", "dim")
        return Group(Padding(made, (0, 2)), "", Padding(foot, (0, 2)))

    def _row(self, entry: EntryView, *, wide: bool) -> list[Text]:
        job = self._jobs.get(entry.job)
        row = [
            Text(entry.job),
            self._styles.text(job.lifecycle if job else "", entry.state, entry.outcome),
            Text(clean(entry.name), "" if entry.applied else "dim strike"),
            Text(clean((job and job.name) or "-")),
        ]
        if wide:
            row += [Text(clean(" ".join(job.tags)) if job else "", "dim"), Text(str(entry.seq))]
        return [*row, Text(ago(entry.received), "dim")]


async def show_live_table(jobwire: Client, output: Output) -> None:
    """Show all jobs live, the most recently changed one on top."""
    styles = StateStyles({each.name: each async for each in jobwire.lifecycles()})
    live_table = LiveTable(max(output.console.height - _FRAME_LINES, 3), styles)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_follow_entries(jobwire, live_table))
        with Live(console=output.console, auto_refresh=False) as live:
            while True:
                for job in live_table.unknown():
                    await _look_up(jobwire, live_table, job)
                live.update(live_table.draw(output.width), refresh=True)
                await asyncio.sleep(_REFRESH_S)


async def _follow_entries(jobwire: Client, live_table: LiveTable) -> None:
    async for entry in jobwire.stream():
        live_table.add_entry(entry)


async def _look_up(jobwire: Client, live_table: LiveTable, job: str) -> None:
    try:
        live_table.add_job(await jobwire.job(job))
    except NotFound:
        return  # deleted meanwhile; its entry follows

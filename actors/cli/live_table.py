"""The live table of `jobwire watch`: the jobs that something was last reported of."""

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
#: Jobs looked up between two refreshes; the rest follows later.
_LOOKUPS = 10
#: The rate is that of so many seconds.
_RATE_S = 5.0


class LiveTable:
    """What is known of the jobs that moved last."""

    def __init__(self, rows: int, marks: StateStyles) -> None:
        """Keep the last so many jobs."""
        self._rows = rows
        self._marks = marks
        self._jobs: dict[str, JobView] = {}
        self._last: dict[str, EntryView] = {}
        self._seen: deque[float] = deque()
        self._total = 0

    def know(self, job: JobView) -> None:
        """Learn what a job is called."""
        self._jobs[job.id] = job

    def hear(self, entry: EntryView) -> None:
        """Put an entry's job on top; a deleted one off."""
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
        """Name the jobs that are to be looked up."""
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
            self._marks.text(job.lifecycle if job else "", entry.state, entry.outcome),
            Text(clean(entry.name), "" if entry.applied else "dim strike"),
            Text(clean((job and job.name) or "-")),
        ]
        if wide:
            row += [Text(clean(" ".join(job.tags)) if job else "", "dim"), Text(str(entry.seq))]
        return [*row, Text(ago(entry.received), "dim")]


async def show_board(jobwire: Client, output: Output) -> None:
    """Show all jobs live, the last one that moved on top."""
    marks = StateStyles({each.name: each async for each in jobwire.lifecycles()})
    board = LiveTable(max(output.console.height - _FRAME_LINES, 3), marks)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_listen(jobwire, board))
        with Live(console=output.console, auto_refresh=False) as live:
            while True:
                for job in board.unknown():
                    await _look_up(jobwire, board, job)
                live.update(board.draw(output.width), refresh=True)
                await asyncio.sleep(_REFRESH_S)


async def _listen(jobwire: Client, board: LiveTable) -> None:
    async for entry in jobwire.stream():
        board.hear(entry)


async def _look_up(jobwire: Client, board: LiveTable, job: str) -> None:
    try:
        board.know(await jobwire.job(job))
    except NotFound:
        return  # deleted meanwhile; its entry follows

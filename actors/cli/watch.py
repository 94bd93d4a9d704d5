"""`jobwire watch`."""

from __future__ import annotations

import click
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from jobwire.actors.cli.connection import JOB_ID, talks
from jobwire.actors.cli.history import heading
from jobwire.actors.cli.live_table import show_live_table
from jobwire.actors.cli.output import Output
from jobwire.actors.cli.state_style import StateStyles
from jobwire.actors.cli.timeline import Timeline, since
from jobwire.actors.client import Client
from jobwire.schemas.lifecycle import DELETE, JobOutcome
from jobwire.schemas.views import EntryView, FullJobView


@click.command()
@click.argument("uuid", type=JOB_ID, required=False)
@click.option(
    "--until-outcome",
    is_flag=True,
    help="End at the job's outcome: exit code 0 for success, else 1.",
)
@talks()
async def watch(jobwire: Client, output: Output, *, uuid: str | None, until_outcome: bool) -> int:
    """Follow one job from its beginning, or all jobs from now on."""
    if uuid is None:
        if until_outcome:
            raise click.UsageError("--until-outcome needs the UUID of a job")
        return await _watch_all(jobwire, output)
    job = await jobwire.job(uuid)
    outcome = (
        await _print_entries(jobwire, output, job, until_outcome=until_outcome)
        if output.is_json
        else await _draw_entries(jobwire, output, job, until_outcome=until_outcome)
    )
    return 0 if outcome == "success" or not until_outcome else 1


async def _watch_all(jobwire: Client, output: Output) -> int:
    if not output.is_json:
        await show_live_table(jobwire, output)
    async for entry in jobwire.stream():
        output.record(entry)
    return 0


async def _print_entries(
    jobwire: Client, output: Output, job: FullJobView, *, until_outcome: bool
) -> JobOutcome | None:
    async for entry in jobwire.stream(job.id):
        output.record(entry)
        if until_outcome and _is_end(job, entry):
            return entry.outcome
    return None


async def _draw_entries(
    jobwire: Client, output: Output, job: FullJobView, *, until_outcome: bool
) -> JobOutcome | None:
    lifecycle = await jobwire.lifecycle(job.lifecycle, job.lifecycle_version)
    drawn = Timeline(lifecycle, output.width - 4)
    output.show(heading(job, StateStyles({lifecycle.name: lifecycle})), "")
    status = _WatchedState(drawn)
    with Live(status, console=output.console, refresh_per_second=8, transient=True):
        async for entry in jobwire.stream(job.id):
            status.last = entry
            output.show(*drawn.rows(entry))
            if until_outcome and _is_end(job, entry):
                return entry.outcome
    return None


def _is_end(job: FullJobView, entry: EntryView) -> bool:
    """Return whether an entry is the outcome that is waited for: the present one, or the next."""
    is_deleted = entry.name == DELETE and entry.applied
    return entry.seq >= job.seq and (entry.outcome is not None or is_deleted)


class _WatchedState:
    """The line under the entries that shows how long the last one is ago."""

    def __init__(self, drawn: Timeline) -> None:
        self.last: EntryView | None = None
        self._drawn = drawn
        self._spinner = Spinner("dots", style="dim")

    def __rich__(self) -> Table:
        line = Text("waiting", "dim")
        if self.last is not None:
            line = self._drawn.state(self.last)
            line.append(f", last event {since(self.last)} ago; Ctrl-C ends the watch", "dim")
        made = Table.grid(padding=(0, 1))
        made.add_row("", self._spinner, line)
        return made

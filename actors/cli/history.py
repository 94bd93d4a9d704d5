"""`jobwire history`."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from rich.table import Table
from rich.text import Text

from jobwire.actors.cli.connection import JOB_ID, talks
from jobwire.actors.cli.output import Output, clean, clock, duration, short_json, table
from jobwire.actors.cli.state_style import StateStyles
from jobwire.actors.cli.timeline import WHY, Timeline
from jobwire.actors.client import Client
from jobwire.schemas.lifecycle import Lifecycle
from jobwire.schemas.views import EntryView, FullJobView


@click.command()
@click.argument("uuid", type=JOB_ID)
@click.option(
    "--timeline",
    is_flag=True,
    help="Draw a timeline: states, gaps, and the time spent in each state.",
)
@talks()
async def history(jobwire: Client, output: Output, *, uuid: str, timeline: bool) -> None:
    """Show the history of a job, oldest entry first."""
    if output.is_json:
        async for entry in jobwire.history(uuid):
            output.record(entry)
        return
    job = await jobwire.job(uuid)
    lifecycle = await jobwire.lifecycle(job.lifecycle, job.lifecycle_version)
    entries = [entry async for entry in jobwire.history(uuid)]
    if timeline:
        _draw(output, job, lifecycle, entries)
    else:
        output.show(_table(entries, lifecycle, output.width))


def heading(job: FullJobView, styles: StateStyles) -> Text:
    """Write a job in one line: its name, its id, its state."""
    name = f"{clean(job.name)}  " if job.name else ""
    return Text.assemble(
        (name, "bold"), (job.id, "dim"), "  ", styles.text(job.lifecycle, job.state, job.outcome)
    )


def _draw(output: Output, job: FullJobView, lifecycle: Lifecycle, entries: list[EntryView]) -> None:
    drawn = Timeline(lifecycle, output.width - 4)
    now = datetime.now(UTC)
    rows = [row for entry in entries for row in drawn.rows(entry)]
    total_s = ((entries[-1].received if job.outcome else now) - job.created).total_seconds()
    kept = sum(not entry.applied for entry in entries)
    counted = f"{len(entries)} entries in {duration(total_s)}"
    aside = f", {kept} of them not applied" if kept else ""
    output.show(heading(job, StateStyles({lifecycle.name: lifecycle})), "", *rows, "")
    output.show(drawn.shares(entries, now), "", Text(counted + aside, "dim"))


def _table(entries: list[EntryView], lifecycle: Lifecycle, width: int) -> Table:
    styles = StateStyles({lifecycle.name: lifecycle})
    rows = []
    for entry in entries:
        style = "" if entry.applied else "dim"
        why = WHY.get(entry.reason, entry.reason) if entry.reason else ""
        said = short_json(entry.data) if entry.applied else f"not applied: {why}"
        state = styles.text(lifecycle.name, entry.state, entry.outcome) if entry.applied else Text()
        rows.append(
            [
                Text(str(entry.seq), "dim"),
                Text(clock(entry.received), "dim"),
                Text(clean(entry.name), style),
                state,
                Text(said, style),
            ]
        )
    return table(("#", "time", "event", "state", "data"), rows, width, flexible=("data",))

"""`jobwire stats`."""

from __future__ import annotations

import click
from rich.table import Table
from rich.text import Text

from jobwire.actors.cli.connection import talks
from jobwire.actors.cli.output import Output
from jobwire.actors.cli.state_style import StateStyles
from jobwire.actors.client import Client
from jobwire.schemas.lifecycle import Lifecycle
from jobwire.schemas.views import CountView, StatsView


@click.command()
@talks()
async def stats(jobwire: Client, output: Output) -> None:
    """
    Count jobs by lifecycle and state.

    The newest 10,000 of each state are counted; a + means that there may be more.
    """
    found = await jobwire.stats()
    if output.is_json:
        output.record(found)
        return
    tables = {each.name: each async for each in jobwire.lifecycles()}
    output.show(Text(f"{_number(found)} jobs", "bold"))
    if found.jobs:
        output.show("", _drawn(found, tables, output.width))


def _number(count: CountView | StatsView) -> str:
    return f"{count.jobs:,}" + ("+" if count.at_least else "")


def _drawn(found: StatsView, tables: dict[str, Lifecycle], width: int) -> Table:
    styles = StateStyles(tables)
    most = max(count.jobs for count in found.by_state)
    room = max(min(width - 45, 60), 8)
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(no_wrap=True)
    made.add_column(justify="right", no_wrap=True)
    made.add_column(no_wrap=True)
    last = None
    for count in found.by_state:
        mark = styles.of(count.lifecycle, count.state, count.outcome)
        bar = "█" * max(round(count.jobs / most * room), 1)
        made.add_row(
            count.lifecycle if count.lifecycle != last else "",
            Text(f"{mark.sign} {count.state}", mark.style),
            _number(count),
            Text(bar, mark.style),
        )
        last = count.lifecycle
    return made

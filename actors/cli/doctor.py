"""`jobwire doctor`: what is well, what is not, and what to do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
from rich.table import Table
from rich.text import Text

from jobwire.actors.cli.checks import Finding, Level, findings
from jobwire.actors.cli.connection import data_option, folder_of, json_option
from jobwire.actors.cli.main import FAILED
from jobwire.actors.cli.output import Output, clean

_LOOKS: Final[dict[Level, tuple[str, str]]] = {
    "ok": ("✔ ok  ", "green"),
    "warn": ("! warn", "yellow"),
    "fail": ("✘ fail", "bold red"),
}


@click.command()
@data_option
@json_option
@click.pass_context
def doctor(ctx: click.Context, *, folder: Path | None, as_json: bool) -> None:
    """Check this installation; each line shows one check and, if it fails, what to do."""
    output = Output(as_json=as_json)
    found = []
    for finding in findings(folder_of(ctx, folder), os.environ):
        found.append(finding)
        if output.is_json:
            output.record(finding)
    if not output.is_json:
        output.show(_drawn(found))
    ctx.exit(FAILED if any(finding.level == "fail" for finding in found) else 0)


def _drawn(found: Sequence[Finding]) -> Table:
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(no_wrap=True)
    made.add_column(no_wrap=True, style="bold")
    made.add_column(overflow="fold")
    for finding in found:
        look, style = _LOOKS[finding.level]
        text = Text(clean(finding.text))
        if finding.what_to_do:
            text.append(f"\n→ {clean(finding.what_to_do)}", style)
        made.add_row(Text(look, style), finding.name, text)
    return made

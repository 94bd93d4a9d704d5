"""`jobwire refused`: events that were accepted, but fit no history."""

from __future__ import annotations

import click
from rich.text import Text

from jobwire.actors.cli.connection import JOB_ID, talks
from jobwire.actors.cli.output import Output, clean, clock, table
from jobwire.actors.client import Client
from jobwire.schemas.errors import JobwireError, Unavailable
from jobwire.schemas.views import RefusalView


@click.group(invoke_without_command=True)
@click.pass_context
def refused(ctx: click.Context) -> None:
    """List and replay refused events: accepted events that belong to no history."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(ls)


@refused.command()
@talks()
async def ls(jobwire: Client, output: Output) -> None:
    """List refused events, oldest first."""
    found = []
    async for refusal in jobwire.refused():
        if output.is_json:
            output.record(refusal)
        else:
            found.append(refusal)
    if output.is_json:
        return
    if not found:
        output.note("no event was refused")
        return
    heads = ("job", "event", "reason", "event id", "received", "")
    rows = [_row(refusal) for refusal in found]
    output.show(table(heads, rows, output.width, flexible=("event", "event id", "received")))


def _row(refusal: RefusalView) -> list[Text]:
    return [
        Text(refusal.job),
        Text(clean(refusal.name)),
        Text(refusal.reason, "yellow"),
        Text(clean(refusal.id), "dim"),
        Text(clock(refusal.received), "dim"),
        Text("sent again" if refusal.replayed_as else "", "dim"),
    ]


@refused.command()
@click.argument("uuid", type=JOB_ID, required=False)
@click.argument("event_id", metavar="EVENT_ID", required=False)
@click.option("--all", "everything", is_flag=True, help="All that were not replayed yet.")
@talks()
async def replay(
    jobwire: Client, output: Output, *, uuid: str | None, event_id: str | None, everything: bool
) -> int:
    """Replay one refused event, or all; each gets a new id and its own outcome."""
    if everything == (uuid is not None) or (uuid is None) != (event_id is None):
        raise click.UsageError("name a job's UUID and an EVENT_ID, or --all")
    if uuid is not None and event_id is not None:
        chosen = [(uuid, event_id)]
    else:
        chosen = [(each.job, each.id) async for each in jobwire.refused() if not each.replayed_as]
    failed = 0
    for job, event in chosen:
        failed += not await _replay(jobwire, output, job, event)
    if everything:
        output.note(f"{len(chosen) - failed} of {len(chosen)} applied")
    return 1 if failed else 0


async def _replay(jobwire: Client, output: Output, job: str, event: str) -> bool:
    try:
        settled = await jobwire.replay(job, event)
    except Unavailable:
        raise
    except JobwireError as error:
        if output.is_json:
            output.record({"uuid": job, "id": event, "applied": False, "reason": error.code})
        else:
            output.say(Text.assemble(("✘ ", "red"), f"{clean(event)} of {job}: {error.detail}"))
        return False
    if output.is_json:
        output.record(settled)
    else:
        output.say(
            Text.assemble(("✔ ", "green"), f"{clean(event)} of {job}: the job is {settled.state}")
        )
    return True

"""`jobwire event`."""

from __future__ import annotations

import click
import msgspec
from rich.text import Text

from jobwire.actors.cli.connection import JOB_ID, talks
from jobwire.actors.cli.jobs import JsonType
from jobwire.actors.cli.output import Output, clean
from jobwire.actors.cli.state_style import StateStyles
from jobwire.actors.client import Client
from jobwire.schemas.errors import Conflict, Invalid, JobwireError
from jobwire.schemas.lifecycle import Lifecycle, arrows
from jobwire.schemas.outcomes import Reason
from jobwire.schemas.views import Accepted, OutcomeView

#: How long the outcome is waited for where nothing else is said.
_WAIT_S = 10.0


@click.command()
@click.argument("uuid", type=JOB_ID)
@click.argument("name")
@click.option("--data", type=JsonType(), help="Data of the event: JSON, @file or @- .")
@click.option("--token", help="The job's token, instead of an API key.")
@click.option("--id", "event_id", help="The event's id; an event with the same id counts once.")
@click.option("--source", help="The reporter of the event.")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0, 60),
    default=_WAIT_S,
    show_default=True,
    help="Seconds to wait for the outcome; 0: do not wait for it.",
)
@talks(data=False)
async def event(
    jobwire: Client,
    output: Output,
    *,
    uuid: str,
    name: str,
    data: msgspec.Raw | None,
    token: str | None,
    event_id: str | None,
    source: str | None,
    wait_s: float,
) -> int:
    """Report what happened to a job, and show the outcome."""
    try:
        settled = await jobwire.post_event(
            uuid,
            name,
            data=data,
            token=token,
            event_id=event_id,
            source=source,
            wait_s=wait_s or None,
        )
    except (Conflict, Invalid) as error:
        if output.is_json and error.code in map(str, Reason):
            output.record({"uuid": uuid, "name": name, "applied": False, "reason": error.code})
        raise await _explained(jobwire, uuid, name, error, has_key=token is None) from error
    if output.is_json:
        output.record(settled)
    else:
        await _say(jobwire, output, name, settled, has_key=token is None)
    return 0


async def _say(
    jobwire: Client, output: Output, name: str, settled: OutcomeView | Accepted, *, has_key: bool
) -> None:
    if isinstance(settled, Accepted):
        output.say(Text.assemble(("✔ ", "green"), f"{name} is accepted; its id is {settled.id}"))
        return
    again = ", as it was before" if settled.duplicate else ""
    state = await _state(jobwire, settled, has_key=has_key)
    output.say(
        Text.assemble(
            ("✔ ", "green"), f"{name} applied{again}: ", state, (f"  (entry {settled.seq})", "dim")
        )
    )


async def _state(jobwire: Client, settled: OutcomeView, *, has_key: bool) -> Text:
    """Write the state in its colour, if the caller may look its lifecycle up."""
    plain = Text(str(settled.state))
    if not has_key:
        return plain
    try:
        job = await jobwire.job(settled.uuid)
        table = await jobwire.lifecycle(job.lifecycle, job.lifecycle_version)
    except JobwireError:
        return plain
    state = table.states.get(str(settled.state))
    return StateStyles({table.name: table}).text(
        table.name, str(settled.state), state.outcome if state else None
    )


async def _explained(
    jobwire: Client, uuid: str, name: str, error: JobwireError, *, has_key: bool
) -> JobwireError:
    """Add to a refusal what would have been possible."""
    if error.code not in ("wrong_state", "unknown_event") or not has_key:
        return error
    try:
        job = await jobwire.job(uuid)
        table = await jobwire.lifecycle(job.lifecycle, job.lifecycle_version)
    except JobwireError:
        return error
    shown = clean(name)
    why = (
        f"lifecycle {table.name} has no event {shown!r}"
        if error.code == "unknown_event"
        else f"{job.state} does not allow {shown!r}"
    )
    detail = f"the event is kept, but not applied: {why}; {_ways(table, job.state)}"
    return type(error)(detail, code=error.code)


def _ways(table: Lifecycle, state: str) -> str:
    ways = dict.fromkeys(event for of, event, _ in arrows(table) if of == state)
    if not ways:
        return f"{state} allows no event"
    return f"it allows: {', '.join(ways)}"

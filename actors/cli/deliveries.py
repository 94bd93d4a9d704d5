"""`jobwire deliveries` and `redeliver`."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import Final, get_args

import click
from rich.text import Text

from jobwire.actors.cli.connection import talks
from jobwire.actors.cli.jobs import WIDE, MomentType
from jobwire.actors.cli.output import Output, ago, clean, clock, duration, fields, table
from jobwire.actors.client import Client
from jobwire.schemas.deliveries import DeliveryStatus, GaveUp
from jobwire.schemas.errors import Invalid, JobwireError, Unavailable
from jobwire.schemas.identifiers import parse_job_id
from jobwire.schemas.views import AttemptView, DeliveryView

_STANDING: Final[dict[DeliveryStatus, tuple[str, str]]] = {
    "pending": ("◌ pending", "blue"),
    "delivered": ("✔ delivered", "green"),
    "gave_up": ("✘ gave up", "red"),
}

_GAVE_UP: Final[dict[GaveUp, str]] = {
    "tries_ended": "after its last try",
    "disabled": "the receiver has failed for too long",
    "gone": "the receiver answered 410 Gone",
    "unsubscribed": "the subscription no longer exists",
    "overtaken": "a later message was sent first",
}


@click.command()
@click.argument("chosen", metavar="[UUID|DELIVERY]", required=False)
@click.option("--status", type=click.Choice(get_args(DeliveryStatus)))
@click.option("--callback", "subscription", help="Only of the callback with this id.")
@click.option("--since", type=MomentType(), help="Created at or after this time.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@click.option("--all", "everything", is_flag=True, help="All, without a limit.")
@talks()
async def deliveries(
    jobwire: Client,
    output: Output,
    *,
    chosen: str | None,
    status: DeliveryStatus | None,
    subscription: str | None,
    since: datetime | None,
    limit: int,
    everything: bool,
) -> None:
    """
    List callback deliveries, with every try.

    The newest come first, of all jobs or of the job with this UUID. With the id of a delivery, all
    its tries are shown. Example:

    \b
    jobwire deliveries --status gave_up
    """  # noqa: D301 - \b is click's: leave these lines as they are
    job = _job(chosen)
    if chosen is not None and job is None:
        _show(output, await jobwire.delivery(chosen))
        return
    found = jobwire.deliveries(
        job,
        status=status,
        subscription=subscription,
        since=since,
        page=500 if everything else min(limit, 500),
    )
    shown: list[DeliveryView] = []
    numbers = count(1)
    more = False
    async for each in found:
        if not everything and next(numbers) > limit:
            more = True
            break
        if output.is_json:
            output.record(each)
        else:
            shown.append(each)
    if not output.is_json:
        _list(output, shown)
    if more:
        output.note(f"the newest {limit}; more with --limit or --all")


@click.command()
@click.argument("ids", nargs=-1, metavar="[DELIVERY]...")
@click.option(
    "--since",
    type=MomentType(),
    help="Instead of ids: all that were given up, created at or after this time.",
)
@talks()
async def redeliver(
    jobwire: Client, output: Output, *, ids: tuple[str, ...], since: datetime | None
) -> int:
    """
    Send callback deliveries again.

    A delivery keeps its id, so a receiver can recognise the repetition. With --since, deliveries
    that were overtaken are left out, because an old state would arrive after a newer one. Examples:

    \b
    jobwire redeliver msg_c4k2m7q3x5v8n1b6
    jobwire redeliver --since 2026-02-28T15:00

    Exit code: 1 if a delivery was not found.
    """  # noqa: D301 - \b is click's: leave these lines as they are
    if bool(ids) == (since is not None):
        raise click.UsageError("name the ids of deliveries, or use --since")
    if since is not None:
        await _recover(jobwire, output, since)
        return 0
    failed = 0
    for each in dict.fromkeys(ids):
        failed += not await _redeliver(jobwire, output, each)
    return 1 if failed else 0


async def _redeliver(jobwire: Client, output: Output, delivery: str) -> bool:
    try:
        asked = await jobwire.redeliver(delivery)
    except Unavailable:
        raise
    except JobwireError as error:
        if output.is_json:
            output.record({"id": delivery, "code": error.code, "detail": error.detail})
        label = click.style("jobwire:", fg="red", bold=True)
        click.echo(f"{label} {clean(delivery)}: {clean(error.detail)}", err=True)
        return False
    if output.is_json:
        output.record(asked)
    else:
        output.say(
            Text.assemble(("✔ ", "green"), f"{asked.id} is sent again to ", clean(asked.url))
        )
    return True


async def _recover(jobwire: Client, output: Output, since: datetime) -> None:
    done = await jobwire.recover_deliveries(since)
    if output.is_json:
        output.record(done)
        return
    output.say(Text.assemble(("✔ ", "green"), f"{done.deliveries:,} deliveries are sent again"))
    if done.cut:
        output.note("there are more: run the command again")


def _job(chosen: str | None) -> str | None:
    """Return the id of a job; None: it is another id, or none."""
    try:
        return parse_job_id(chosen) if chosen else None
    except Invalid:
        return None


def _list(output: Output, shown: list[DeliveryView]) -> None:
    if not shown:
        output.note("no deliveries; give a job a callback with --callback URL")
        return
    wide = output.width >= WIDE
    heads = ("delivery", "status", "tries", "event", *(("to",) if wide else ()), "next")
    rows = [_row(each, wide=wide) for each in shown]
    output.show(table(heads, rows, output.width, flexible=("event", "to")))


def _row(each: DeliveryView, *, wide: bool) -> list[Text]:
    row = [
        Text(clean(each.id)),
        Text(*_STANDING[each.status]),
        Text(str(len(each.attempts)), "dim"),
        Text(clean(f"{each.event}, {each.state}")),
    ]
    if wide:
        row.append(Text(clean(each.url), "dim"))
    return [*row, Text(_next(each), "dim")]


def _next(each: DeliveryView) -> str:
    if each.next_at is None:
        return "-"
    left_s = (each.next_at - datetime.now(UTC)).total_seconds()
    return f"in {duration(left_s)}" if left_s > 0 else "now"


def _show(output: Output, each: DeliveryView) -> None:
    if output.is_json:
        output.record(each)
        return
    status = Text(*_STANDING[each.status])
    if each.gave_up:
        status.append(f": {_GAVE_UP[each.gave_up]}")
    output.show(
        fields(
            (
                ("delivery", Text(clean(each.id), "bold")),
                ("status", status),
                ("job", each.job),
                ("event", f"{each.event}: {each.state}  (entry {each.seq})"),
                ("to", each.url),
                ("callback", each.subscription),
                ("created", f"{clock(each.created)}  ({ago(each.created)})"),
                ("next try", _next(each) if each.next_at else None),
            )
        )
    )
    if each.attempts:
        rows = [_attempt(number, tried) for number, tried in enumerate(each.attempts, 1)]
        heads = ("try", "time", "took", "answer", "why not")
        output.show("", table(heads, rows, output.width, flexible=("why not",)))


def _attempt(number: int, tried: AttemptView) -> list[Text]:
    style = "red" if tried.error else "green"
    return [
        Text(str(number), "dim"),
        Text(clock(tried.at), "dim"),
        Text(duration(tried.duration_s), "dim"),
        Text(str(tried.status or "none"), style),
        Text(clean(tried.error or "")),
    ]

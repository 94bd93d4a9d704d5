"""`jobwire create`, `ls`, `show` and `rm`."""

from __future__ import annotations

import sys
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.json import JSON
from rich.text import Text

from jobwire.actors.cli.callbacks import callback_option, show_secrets
from jobwire.actors.cli.connection import JOB_ID, talks
from jobwire.actors.cli.job_details import callback_fact, run_facts
from jobwire.actors.cli.output import Output, ago, clean, clock, duration, fields, table
from jobwire.actors.cli.state_style import StateStyles
from jobwire.actors.client import Client
from jobwire.schemas.specs import Cause
from jobwire.schemas.views import FullJobView, JobView

#: Narrowest terminal, in columns, in which lists show all their fields.
WIDE = 110

_OUTCOMES = ("success", "failure", "cancelled", "lost")


class JsonType(click.ParamType[msgspec.Raw]):
    """JSON text; `@file` reads it from a file and `@-` from standard input."""

    name = "json|@file"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> msgspec.Raw:
        """Read it, or say where it stops being JSON."""
        try:
            text = _content(value)
            msgspec.json.decode(text)
        except OSError as error:
            self.fail(f"cannot read {error.filename}: {error.strerror}", param, ctx)
        except msgspec.DecodeError as error:
            self.fail(f"this is not JSON: {error}", param, ctx)
        return msgspec.Raw(text)


def _content(value: str) -> bytes:
    if value == "@-":
        return sys.stdin.buffer.read()
    return Path(value[1:]).read_bytes() if value.startswith("@") else value.encode()


class MomentType(click.ParamType[datetime]):
    """A moment in ISO form; without a zone it is local time."""

    name = "time"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Read it."""
        try:
            return datetime.fromisoformat(value).astimezone()
        except ValueError:
            self.fail(f"{value!r} is not a time such as 2026-02-28T15:00 or 2026-02-28", param, ctx)


@click.command()
@click.option("--name", help="A name for people.")
@click.option("--tag", "tags", multiple=True, help="A tag; may be repeated.")
@click.option("--lifecycle", default="pipeline", show_default=True)
@click.option("--data", type=JsonType(), help="Data of the job: JSON, @file or @- .")
@click.option(
    "--deadline-s",
    type=float,
    help="The job fails if it has not ended this long after its creation.",
)
@click.option("--heartbeat-s", type=float, help="The job fails after this long without any event.")
@click.option("--parent", type=JOB_ID, help="The parent of the job.")
@callback_option
@click.option("--idempotency-key", help="The same key returns the same job.")
@talks(data=False)
async def create(jobwire: Client, output: Output, **asked: Any) -> None:
    """
    Create a job and get its token.

    The webhook is a complete URL: to report, append `&name=run` and post to it.
    """
    made = await jobwire.create_job(**asked)
    if output.is_json:
        output.record(made)
        return
    output.show(
        fields(
            (
                ("id", Text(made.id, style="bold")),
                ("state", StateStyles().text(asked["lifecycle"], made.state or "accepted", None)),
                ("token", made.token),
                ("report", f"jobwire event {made.id} run"),
            )
        ),
        "",
        Text("or from anywhere, with only this URL:", "dim"),
    )
    output.line(f"  curl -X POST '{made.webhook}&name=run'")
    show_secrets(output, made.callbacks)


@click.command()
@click.option("--state", help="Only in this state.")
@click.option("--outcome", type=click.Choice(_OUTCOMES))
@click.option("--tag", help="Only with this tag.")
@click.option("--lifecycle", help="Only with this lifecycle.")
@click.option("--parent", type=JOB_ID, help="Only children of this job.")
@click.option("--since", type=MomentType(), help="Created at or after this time.")
@click.option("--until", type=MomentType(), help="Created before this time.")
@click.option("--q", "-q", help="Only with this word in the name or a tag.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@click.option("--all", "everything", is_flag=True, help="All, without a limit.")
@talks()
async def ls(
    jobwire: Client, output: Output, *, limit: int, everything: bool, **which: Any
) -> None:
    """List jobs, newest first."""
    found = jobwire.jobs(**which, page=min(500, 500 if everything else limit))
    shown: list[JobView] = []
    numbers = count(1)
    more = False
    async for job in found:
        if not everything and next(numbers) > limit:
            more = True
            break
        if output.is_json:
            output.record(job)
        else:
            shown.append(job)
    if not output.is_json:
        await _show_list(jobwire, output, shown)
    if more:
        output.note(f"the newest {limit}; more with --limit or --all")


async def _show_list(jobwire: Client, output: Output, jobs: list[JobView]) -> None:
    if not jobs:
        output.note("no jobs; create one with `jobwire create`")
        return
    styles = StateStyles({each.name: each async for each in jobwire.lifecycles()})
    wide = output.width >= WIDE
    heads = ("id", "state", "name", *(("tags", "last event", "created") if wide else ()), "changed")
    rows = [_row(job, styles, wide=wide) for job in jobs]
    output.show(table(heads, rows, output.width, flexible=("name", "tags")))


def _row(job: JobView, styles: StateStyles, *, wide: bool) -> list[Text]:
    state = styles.text(job.lifecycle, job.state, job.outcome)
    if (code := _code(job)) is not None:
        state.append(f" {code}", "dim")
    elif job.held and job.outcome is None:
        state.append(" held", "yellow")
    row = [Text(job.id), state, Text(clean(job.name or "-"))]
    if wide:
        tags = Text(clean(" ".join(job.tags)), "dim")
        row += [tags, Text(clean(job.last_event)), Text(ago(job.created), "dim")]
    return [*row, Text(ago(job.updated), "dim")]


def _code(job: JobView) -> str | None:
    """Return the exit code of a job that failed by itself, else the cause, as a list shows it."""
    if job.outcome != "failure":
        return None
    return str(job.exit_code) if job.cause == Cause.EXIT_CODE else job.signal or job.cause


@click.command()
@click.argument("uuid", type=JOB_ID)
@talks()
async def show(jobwire: Client, output: Output, *, uuid: str) -> None:
    """Show one job with its data."""
    job = await jobwire.job(uuid)
    if output.is_json:
        output.record(job)
        return
    styles = StateStyles(
        {job.lifecycle: await jobwire.lifecycle(job.lifecycle, job.lifecycle_version)}
    )
    output.show(fields(_facts(job, styles)))
    if bytes(job.data) != b"null":
        output.show("", Text("data", "dim"), JSON(clean_json(job.data)))


def clean_json(data: msgspec.Raw) -> str:
    """Write data for a terminal: indented, nothing but printable signs."""
    text = msgspec.json.format(bytes(data)).decode()
    return "\n".join(clean(line) for line in text.split("\n"))


def _facts(job: FullJobView, styles: StateStyles) -> list[tuple[str, str | Text | None]]:
    state = styles.text(job.lifecycle, job.state, job.outcome)
    if job.held and job.outcome is None:
        state.append(f"  held  (jobwire release {job.id})", "yellow")
    return [
        ("id", Text(job.id, style="bold")),
        ("name", job.name),
        ("state", state),
        ("outcome", job.outcome),
        *run_facts(job),
        ("lifecycle", f"{job.lifecycle}, version {job.lifecycle_version}"),
        ("tags", ", ".join(job.tags) or None),
        ("parent", job.parent),
        ("owner", job.owner),
        ("created", f"{clock(job.created)}  ({ago(job.created)})"),
        ("changed", f"{clock(job.updated)}  ({ago(job.updated)}, by {job.last_event})"),
        ("entries", f"{job.seq}  (jobwire history {job.id})"),
        ("deadline", duration(job.deadline_s) if job.deadline_s else None),
        ("heartbeat", duration(job.heartbeat_s) if job.heartbeat_s else None),
        *((("callback"), callback_fact(each)) for each in job.callbacks),
    ]


@click.command()
@click.argument("uuid", type=JOB_ID)
@click.option("--force", is_flag=True, help="Also when it has not ended.")
@talks()
async def rm(jobwire: Client, output: Output, *, uuid: str, force: bool) -> None:
    """Delete a job; its ids stay reserved, so that late events are recognised."""
    await jobwire.delete(uuid, force=force)
    if output.is_json:
        output.record({"id": uuid, "deleted": True})
    else:
        output.say(Text.assemble(("✔ ", "green"), f"deleted {uuid}"))

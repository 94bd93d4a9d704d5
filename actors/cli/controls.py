"""`jobwire cancel`, `hold`, `release` and `retry`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import click
from rich.text import Text

from jobwire.actors.cli.connection import JOB_ID, talks
from jobwire.actors.cli.job_progress import JobProgress
from jobwire.actors.cli.jobs import MomentType
from jobwire.actors.cli.output import Output, clean
from jobwire.actors.cli.state_style import StateStyles
from jobwire.actors.client import Client, Control
from jobwire.schemas.errors import JobwireError, NotFound, Unavailable
from jobwire.schemas.views import ControlledView, NotDoneView, SelectedView

#: Jobs of a filter that are counted before somebody is asked.
_MOST_COUNTED: Final = 1_000
_DONE: Final[dict[Control, str]] = {
    "cancel": "cancelled",
    "hold": "held",
    "release": "released",
}

Body = Callable[..., Any]


def selects(command: Body) -> Body:
    """Return a command the jobs that it is about: ids, or a filter, or all of them."""
    for option in reversed(
        (
            click.argument("ids", nargs=-1, type=JOB_ID, metavar="[UUID]..."),
            click.option("--state", help="Instead of ids: jobs in this state."),
            click.option("--tag", help="Jobs with this tag."),
            click.option("--lifecycle", help="Jobs with this lifecycle."),
            click.option("--parent", type=JOB_ID, help="Children of this job."),
            click.option("--since", type=MomentType(), help="Jobs created at or after this time."),
            click.option("--until", type=MomentType(), help="Jobs created before this time."),
            click.option("--q", "-q", help="Jobs with this word in their name or in a tag."),
            click.option("--all", "everything", is_flag=True, help="All your jobs."),
            click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation."),
        )
    ):
        command = option(command)
    return command


@click.command()
@selects
@click.option("--wait", "-w", is_flag=True, help="Wait until no process of the jobs is alive.")
@talks()
async def cancel(
    jobwire: Client,
    output: Output,
    *,
    ids: tuple[str, ...],
    yes: bool,
    wait: bool,
    **which: Any,
) -> int:
    """
    Cancel jobs.

    A running job is CANCELLING until all its processes have ended; --wait waits for that. On a
    terminal, a filter that matches more than one job asks for confirmation. Examples:

    \b
    jobwire cancel --wait 2f1c6c1e-53b5-4d0a-9c86-0a3f35f1f6a4
    jobwire cancel --tag nightly --yes

    Exit code: 1 if a job was not cancelled, such as one that had ended.
    """  # noqa: D301 - \b is click's: leave these lines as they are
    return await Controlling(jobwire, output, "cancel", wait=wait).act(ids, which, yes=yes)


@click.command()
@selects
@talks()
async def hold(
    jobwire: Client, output: Output, *, ids: tuple[str, ...], yes: bool, **which: Any
) -> int:
    """
    Hold jobs: do not start them until they are released.

    A job that has started cannot be held. Example:

    \b
    jobwire hold --tag nightly

    Exit code: 1 if a job was not held.
    """  # noqa: D301 - \b is click's: leave these lines as they are
    return await Controlling(jobwire, output, "hold").act(ids, which, yes=yes)


@click.command()
@selects
@talks()
async def release(
    jobwire: Client, output: Output, *, ids: tuple[str, ...], yes: bool, **which: Any
) -> int:
    """
    Release held jobs.

    A job that is not held does not change. Example:

    \b
    jobwire release --tag nightly

    Exit code: 1 if a job was not released.
    """  # noqa: D301 - \b is click's: leave these lines as they are
    return await Controlling(jobwire, output, "release").act(ids, which, yes=yes)


@click.command()
@click.argument("ids", nargs=-1, required=True, type=JOB_ID, metavar="UUID...")
@talks()
async def retry(jobwire: Client, output: Output, *, ids: tuple[str, ...]) -> int:
    """
    Retry ended jobs as new jobs.

    Each new job has the same request and a new id; the old job does not change. Example:

    \b
    jobwire retry 2f1c6c1e-53b5-4d0a-9c86-0a3f35f1f6a4

    Exit code: 1 if a job was not retried.

    """  # noqa: D301 - \b is click's: leave these lines as they are
    failed = 0
    for each in ids:
        try:
            made = await jobwire.retry(each)
        except Unavailable:
            raise
        except JobwireError as error:
            failed += 1
            _say_failed(output, each, error.code, error.detail)
            continue
        if output.is_json:
            output.record(made)
        else:
            output.say(Text.assemble(("✔ ", "green"), made.id, (f"  retry of {each}", "dim")))
    return 1 if failed else 0


class Chosen(NamedTuple):
    """The jobs of a filter that have not ended, as far as they were counted."""

    ids: Sequence[str]
    is_more: bool


class Controlling:
    """Does one thing to some jobs, and says what became of it."""

    def __init__(
        self, jobwire: Client, output: Output, control: Control, *, wait: bool = False
    ) -> None:
        """Prepare; `wait` until what was cancelled has ended."""
        self._jobwire = jobwire
        self._output = output
        self._control: Control = control
        self._wait = wait
        self._styles = StateStyles()

    async def act(self, ids: Sequence[str], which: dict[str, Any], *, yes: bool) -> int:
        """Do it to `ids`, or to what the filter matches; return the exit code."""
        everything = which.pop("everything")
        if bool(ids) == (everything or any(which.values())):
            raise click.UsageError("select the jobs by UUID, by a filter, or by --all")
        if ids:
            return await self._act_on_each(tuple(dict.fromkeys(ids)))
        return await self._act_on_selection(which, everything=everything, yes=yes)

    async def _act_on_each(self, ids: Sequence[str]) -> int:
        failed = 0
        for each in ids:
            try:
                after = await getattr(self._jobwire, self._control)(each)
            except Unavailable:
                raise
            except JobwireError as error:
                failed += 1
                _say_failed(self._output, each, error.code, error.detail)
            else:
                await self._say_done(after)
        return 1 if failed else 0

    async def _say_done(self, after: ControlledView) -> None:
        if self._wait and after.outcome is None:
            if not self._output.is_json:
                self._output.note(f"{after.id} is {after.state}")
            after = await self._end_of(after)
        if self._output.is_json:
            self._output.record(after)
            return
        state = self._styles.text("execution", str(after.state), after.outcome)
        said = "" if self._control == "cancel" else f"  {_DONE[self._control]}"
        self._output.say(Text.assemble(("✔ ", "green"), after.id, "  ", state, said))

    async def _end_of(self, after: ControlledView) -> ControlledView:
        """Wait until a job has ended, and return its last state."""
        progress = JobProgress()
        await progress.follow(self._jobwire, after.id)
        state = progress.last.state if progress.last else after.state
        return ControlledView(id=after.id, state=state, outcome=progress.outcome)

    async def _act_on_selection(self, which: dict[str, Any], *, everything: bool, yes: bool) -> int:
        is_asked = not yes and sys.stdin.isatty() and sys.stdout.isatty()
        chosen = await self._choose(which) if is_asked or self._wait else None
        if is_asked and chosen and len(chosen.ids) > 1:
            count = f"more than {_MOST_COUNTED:,}" if chosen.is_more else f"{len(chosen.ids):,}"
            click.confirm(f"{self._control} {count} jobs?", abort=True, err=True)
        done = await self._jobwire.control_many(self._control, **which, everything=everything)
        if self._wait and chosen:
            for each in chosen.ids:
                await self._wait_for(each)
        self._sum_up(done)
        return 1 if done.refused else 0

    async def _choose(self, which: dict[str, Any]) -> Chosen:
        ids: list[str] = []
        async for job in self._jobwire.jobs(**which):
            if job.outcome is None:
                ids.append(job.id)
            if len(ids) > _MOST_COUNTED and not self._wait:
                return Chosen(ids, is_more=True)
        return Chosen(ids, is_more=False)

    async def _wait_for(self, job: str) -> None:
        try:
            await JobProgress().follow(self._jobwire, job)
        except NotFound:
            return  # deleted meanwhile

    def _sum_up(self, done: SelectedView) -> None:
        if self._output.is_json:
            self._output.record(done)
            return
        for each in done.examples:
            _say_not_done(self._output, each)
        if len(done.examples) < done.refused:
            self._output.note(f"and {done.refused - len(done.examples):,} more")
        sign = ("✔ ", "green") if done.done or not done.refused else ("✘ ", "red")
        asked = "" if self._wait or self._control != "cancel" else "; running jobs are being ended"
        text = (
            f"{done.done:,} of {done.matched:,} {_DONE[self._control]}{asked if done.done else ''}"
        )
        self._output.say(Text.assemble(sign, text))


def _say_not_done(output: Output, each: NotDoneView) -> None:
    _say_failed(output, each.id, each.code, each.detail)


def _say_failed(output: Output, job: str, code: str, detail: str) -> None:
    if output.is_json:
        output.record({"id": job, "code": code, "detail": detail})
    text = f"{job}: {clean(detail)}"
    click.echo(f"{click.style('jobwire:', fg='red', bold=True)} {text}", err=True)

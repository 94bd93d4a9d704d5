"""`jobwire submit`: jobs that the service runs, handed in one or many at a time."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from jobwire.actors.cli.callbacks import show_secrets
from jobwire.actors.cli.connection import talks
from jobwire.actors.cli.output import Output, clean
from jobwire.actors.cli.requests import Here, job_options, request_of
from jobwire.actors.client import Client
from jobwire.schemas.errors import Forbidden, JobwireError, Unauthorized, Unavailable
from jobwire.schemas.views import CreatedView

#: Requests under way at a time.
_PARALLEL: Final = 16
#: Least number of jobs for which a progress bar is shown.
_MANY: Final = 20
#: Most failed jobs whose errors are shown; the others are counted.
_MOST_SAID: Final = 50


class WrittenRequest(NamedTuple):
    """One request as it was written, and where."""

    place: str
    """Such as `line 3`; empty where there is one only."""
    request: dict[str, Any] | None
    fault: str | None = None
    """Why the line is not a job."""


class ArgvCommand(click.Command):
    """Takes everything after `--` as one command, so that it is never mistaken for a file."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Cut the arguments at the first `--`."""
        if "--" in args:
            at = args.index("--")
            args, argv = args[:at], args[at + 1 :]
            if not argv:
                raise click.UsageError("name the command after --", ctx)
            ctx.meta[_ARGV] = tuple(argv)
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Show both ways in the usage line."""
        return [*super().collect_usage_pieces(ctx)[:-1], "{FILE|-|-- ARGV...}"]


_ARGV: Final = "jobwire.actors.cli.submit.argv"


@click.command(cls=ArgvCommand)
@job_options
@click.option("--quiet", "-q", is_flag=True, help="Print only ids.")
@click.argument("file", required=False, type=click.Path(path_type=Path, allow_dash=True))
@talks(data=False)
async def submit(
    jobwire: Client,
    output: Output,
    *,
    file: Path | None,
    quiet: bool,
    idempotency_key: str | None,
    **asked: Any,
) -> int:
    """
    Submit jobs without waiting for them.

    FILE contains requests of `POST /v1/jobs`: one JSON object, a list of them, one a line, or TOML
    (`[[jobs]]` for many); - is standard input. An option overrides FILE; --env and --secret add to
    its variables. Paths in FILE are relative to the job's `directory`, paths in options to the
    current directory. Examples:

    \b
    jobwire submit --retries 2 -- python3 fit.py
    jobwire submit --tag nightly jobs.ndjson

    If one of many jobs is refused, the error names its line, and the others are created. Exit code:
    1 if any was not created. With --idempotency-key you can submit a file again after a failure: no
    job is created twice.
    """  # noqa: D301 - \b is click's: leave these lines as they are
    argv = click.get_current_context().meta.get(_ARGV, ())
    if bool(argv) == (file is not None):
        raise click.UsageError("name a FILE, - for standard input, or a command after --")
    here = Here(Path.cwd(), os.environ)
    if file is None:
        all_written = [WrittenRequest("", request_of(asked, argv, here))]
    else:
        all_written = [
            each
            if each.request is None
            else each._replace(request=request_of(asked, (), here, each.request))
            for each in read_requests(_content(file), is_toml=file.suffix == ".toml")
        ]
    submission = Submission(jobwire, output, quiet=quiet)
    return await submission.send(all_written, idempotency_key)


def read_requests(content: bytes, *, is_toml: bool = False) -> list[WrittenRequest]:
    """
    Read requests: one JSON object, a list of them, one a line, or TOML.

    An invalid line is yielded with its error, so that the others can be sent.
    """
    if is_toml:
        return _of_toml(content)
    try:
        found = msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        lines = content.splitlines()
        if sum(bool(line.strip()) for line in lines) > 1 and not _is_one(lines):
            return [_of_line(n, line) for n, line in enumerate(lines, 1) if line.strip()]
        return [WrittenRequest("", None, f"this is not JSON: {error}")]
    if isinstance(found, list):
        return [_of_value(f"job {number}", each) for number, each in enumerate(found, 1)]
    return [_of_value("", found)]


def _is_one(lines: Sequence[bytes]) -> bool:
    """Return whether lines look like one object over several lines, in which something is wrong."""
    return next(line.strip() for line in lines if line.strip()) in (b"{", b"[")


def _of_line(number: int, line: bytes) -> WrittenRequest:
    try:
        return _of_value(f"line {number}", msgspec.json.decode(line))
    except msgspec.DecodeError as error:
        return WrittenRequest(f"line {number}", None, f"this is not JSON: {error}")


def _of_value(place: str, value: Any) -> WrittenRequest:  # any JSON
    if isinstance(value, dict):
        return WrittenRequest(place, value)
    return WrittenRequest(
        place, None, 'a request is an object, such as {"spec": {"argv": ["true"]}}'
    )


def _of_toml(content: bytes) -> list[WrittenRequest]:
    try:
        found = msgspec.toml.decode(content)
    except msgspec.DecodeError as error:
        return [WrittenRequest("", None, f"this is not TOML: {error}")]
    if set(found) == {"jobs"} and isinstance(found["jobs"], list):
        return [_of_value(f"job {number}", each) for number, each in enumerate(found["jobs"], 1)]
    return [_of_value("", found)]


def _content(file: Path) -> bytes:
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise click.UsageError(f"cannot read {file}: {error.strerror}") from error


class Submission:
    """Sends requests, some at a time, and reports them in their order."""

    def __init__(self, jobwire: Client, output: Output, *, quiet: bool) -> None:
        """Report to an output."""
        self._jobwire = jobwire
        self._output = output
        self._quiet = quiet
        self._failed = 0
        #: Why nothing more is sent: the service is away, or does not know the key.
        self._halted: JobwireError | None = None

    async def send(self, all_written: Sequence[WrittenRequest], idempotency_key: str | None) -> int:
        """Send all; return the exit code."""
        free = asyncio.Semaphore(_PARALLEL)
        async with asyncio.TaskGroup() as tasks:
            sent = []
            with _bar(len(all_written)) as (bar, task):
                for number, each in enumerate(all_written, 1):
                    await free.acquire()
                    many = len(all_written) > 1
                    key = f"{idempotency_key}-{number}" if idempotency_key and many else None
                    made = tasks.create_task(self._send(each, key or idempotency_key))
                    made.add_done_callback(lambda _: free.release())
                    made.add_done_callback(lambda _: bar.advance(task))
                    sent.append(made)
                results = [await each for each in sent]
        for each, result in zip(all_written, results, strict=True):
            self._report(each, result)
        self._sum_up(len(all_written))
        return 1 if self._failed else 0

    async def _send(self, each: WrittenRequest, idempotency_key: str | None) -> CreatedView | str:
        """Return the job, or the error that prevented it."""
        if each.request is None:
            return each.fault or ""
        if self._halted is not None:
            return ""
        try:
            return await self._jobwire.submit(each.request, idempotency_key=idempotency_key)
        except (Unavailable, Unauthorized, Forbidden) as error:
            self._halted = error
            return error.detail
        except JobwireError as error:
            return f"{error.pointer}: {error.detail}" if error.pointer else error.detail

    def _report(self, each: WrittenRequest, result: CreatedView | str) -> None:
        if isinstance(result, str):
            self._failed += 1
            if result and self._failed <= _MOST_SAID:
                place = f"{each.place}: " if each.place else ""
                click.echo(f"{_label()} {place}{clean(result)}", err=True)
        elif self._quiet:
            click.echo(result.id)
        elif self._output.is_json:
            self._output.record(result)
        else:
            name = clean(str((each.request or {}).get("name") or ""))
            self._output.say(Text.assemble(("✔ ", "green"), result.id, (f"  {name}", "dim")))
            show_secrets(self._output, result.callbacks)

    def _sum_up(self, count: int) -> None:
        if count == 1:
            return
        if self._halted is not None:
            self._output.note(
                "not all jobs were sent: with --idempotency-key you can submit the file again"
            )
        if self._failed or not self._output.is_json:
            self._output.note(f"{count - self._failed} of {count} made")


def _label() -> str:
    return click.style("jobwire:", fg="red", bold=True)


@contextmanager
def _bar(count: int) -> Iterator[tuple[Progress, TaskID]]:
    """Show on standard error how many were sent, at a terminal and of many only."""
    columns = (TextColumn("submitting", style="dim"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    is_shown = console.is_terminal and count >= _MANY
    with Progress(*columns, console=console, transient=True, disable=not is_shown) as bar:
        yield bar, bar.add_task("submitting", total=count)

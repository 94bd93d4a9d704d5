"""`jobwire logs`."""

from __future__ import annotations

import asyncio
import sys
from typing import BinaryIO

import click

from jobwire.actors.cli.connection import JOB_ID, talks
from jobwire.actors.cli.job_progress import JobProgress
from jobwire.actors.cli.output import Output
from jobwire.actors.cli.output_follower import Write, follow_output
from jobwire.actors.cli.status_line import StatusLine
from jobwire.actors.client import Client
from jobwire.schemas.errors import Conflict, NotFound
from jobwire.schemas.views import FullJobView

#: Most lines that are read from the end.
_MOST_LINES = 1_000_000


@click.command()
@click.argument("uuid", type=JOB_ID)
@click.argument("path", required=False)
@click.option("--follow", "-f", is_flag=True, help="Follow the output until the job has ended.")
@click.option("--stderr", "errors", is_flag=True, help="Show its standard error instead.")
@click.option(
    "--both", is_flag=True, help="Show both: output on standard output, errors on standard error."
)
@click.option(
    "--attempt", type=click.IntRange(1), help="The number of the attempt; default: the newest."
)
@click.option(
    "--lines",
    "-n",
    type=click.IntRange(0, _MOST_LINES),
    help="Start with the last N lines.",
)
@talks()
async def logs(
    jobwire: Client,
    output: Output,
    *,
    uuid: str,
    path: str | None,
    follow: bool,
    errors: bool,
    both: bool,
    attempt: int | None,
    lines: int | None,
) -> None:
    """
    Show the output of a job.

    PATH shows another file in its directory instead of its standard output. Every byte is shown as
    the job wrote it. With -f further attempts are shown too, unless --attempt selects one. Example:

    \b
    jobwire logs -f -n 20 2f1c6c1e-53b5-4d0a-9c86-0a3f35f1f6a4
    """  # noqa: D301 - \b is click's: leave these lines as they are
    if errors + both + (path is not None) > 1:
        raise click.UsageError("choose one: --stderr, --both, or a PATH")
    if output.wants_json:
        raise click.UsageError("the output of a job is written unchanged, never as JSON")
    job = await jobwire.job(uuid)
    progress = JobProgress()
    status_line = StatusLine(is_wanted=False)
    files = _files(job, path, errors=errors, both=both)
    shown = [
        LogTail(jobwire, job, name, _writer(status_line, stream), lines)
        for name, stream in files.items()
    ]
    first = attempt or job.attempt
    async with asyncio.TaskGroup() as tasks:
        if follow:
            tasks.create_task(progress.follow(jobwire, uuid))
        for each in shown:
            tasks.create_task(
                each.follow(progress, first, only=attempt is not None)
                if follow
                else each.show(first)
            )


def _files(job: FullJobView, path: str | None, *, errors: bool, both: bool) -> dict[str, BinaryIO]:
    """Return the files to show, each with its output stream."""
    if job.spec is None:
        detail = f"the job runs elsewhere (lifecycle {job.lifecycle!r}): its output is not here"
        raise Conflict(detail, code="runs_elsewhere")
    if both:
        # One file for both comes once.
        return {job.spec.stderr: sys.stderr.buffer} | {job.spec.stdout: sys.stdout.buffer}
    return {path or (job.spec.stderr if errors else job.spec.stdout): sys.stdout.buffer}


def _writer(status_line: StatusLine, stream: BinaryIO) -> Write:
    async def write(chunk: bytes) -> None:
        await status_line.write(stream, chunk)

    return write


class LogTail:
    """Shows one file of a job."""

    def __init__(
        self, jobwire: Client, job: FullJobView, path: str, write: Write, lines: int | None
    ) -> None:
        """Begin with the last `lines` lines; None: with the first line."""
        self._jobwire = jobwire
        self._job = job.id
        self._path = path
        self._write = write
        self._lines = lines

    async def show(self, attempt: int) -> int:
        """Write the present content; return the offset of the byte after it."""
        if self._lines is not None:
            tail = await self._jobwire.tail_file(
                self._job, self._path, self._lines, attempt=attempt
            )
            if tail.content:
                await self._write(tail.content)
            return tail.end
        async for chunk in self._jobwire.read_file(self._job, self._path, attempt=attempt):
            await self._write(chunk)
        return 0

    async def follow(self, progress: JobProgress, attempt: int, *, only: bool) -> None:
        """Write it until the job has ended, later attempts too unless `only` this one is wanted."""
        start = await self._begin(attempt) if self._lines is not None else 0
        await follow_output(
            self._jobwire,
            self._job,
            self._path,
            progress,
            self._write,
            attempt=attempt,
            start=start,
            only=only,
        )

    async def _begin(self, attempt: int) -> int:
        """Write the last lines, if the file exists; return where to go on."""
        try:
            return await self.show(attempt)
        except NotFound:
            return 0

"""`jobwire run`: a command run by the service as if it ran here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from jobwire.actors.cli.connection import Failed, talks
from jobwire.actors.cli.job_end import NOT_RUN
from jobwire.actors.cli.output import Output
from jobwire.actors.cli.requests import Here, job_options, request_of
from jobwire.actors.cli.run_session import RunSession
from jobwire.actors.client import Client


class NotRun(Failed):
    """The service did not run the job, or its end is not known; no exit code of a job says so."""

    exit_code = NOT_RUN


@click.command(context_settings={"allow_interspersed_args": False})
@job_options
@click.option("--detach", "-d", is_flag=True, help="Do not wait; print the job's id only.")
@click.option("--verbose", "-v", is_flag=True, help="Write each state on standard error.")
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED)
@talks(data=False, failed=NotRun)
async def run(
    jobwire: Client,
    output: Output,
    *,
    argv: tuple[str, ...],
    detach: bool,
    verbose: bool,
    idempotency_key: str | None,
    **asked: Any,
) -> int:
    """
    Run a command and wait for it, as if it ran here.

    Its output comes as it is written, and its exit code is that of this command. No shell reads
    the command; for one, run `sh -c`. Relative paths of --in and --out start from here. With
    --json the job's entries are written instead of its output. Example:

    \b
    jobwire run --in data.csv --out fit.txt:./ --walltime 10m -- python3 fit.py data.csv

    Ctrl-C, SIGTERM, or a reader of the output that goes away cancels the job and waits until
    nothing of it is alive; a second Ctrl-C leaves at once, and the cancel goes on. When the service
    goes away, this waits for it and goes on where it was.

    Exit code: the job's own, 128 and the signal's number where one ended it. Where the job has
    none: 124 over its walltime, 127 could not be started, 130 cancelled, 137 over its memory, 125
    not run or lost, or its files could not be staged. 2 for a wrong option.
    """  # noqa: D301 - \b is click's: leave these lines as they are
    request = request_of(asked, argv, Here(Path.cwd(), os.environ))
    if not detach:
        return await RunSession(jobwire, output, verbose=verbose).run(request, idempotency_key)
    made = await jobwire.submit(request, idempotency_key=idempotency_key)
    if output.wants_json:
        output.record(made)
    else:
        click.echo(made.id)
    return 0

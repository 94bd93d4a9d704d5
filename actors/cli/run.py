"""`jobwire run`: a command run by the service as if it ran here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from jobwire.actors.cli.connection import CommandFailed, talks
from jobwire.actors.cli.job_end import NOT_RUN
from jobwire.actors.cli.output import Output
from jobwire.actors.cli.requests import Here, job_options, request_of
from jobwire.actors.cli.run_session import RunSession
from jobwire.actors.client import Client


class NotRun(CommandFailed):
    """The service did not run the job, or its end is not known; no exit code of a job says so."""

    exit_code = NOT_RUN


@click.command(context_settings={"allow_interspersed_args": False})
@job_options
@click.option("--detach", "-d", is_flag=True, help="Do not wait; print only the job's id.")
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
    Run a command as a job and wait for it.

    The command's output is shown as it is written, and its exit code is returned. No shell
    interprets the command; to use one, run `sh -c`. Paths of --in and --out are relative to the
    current directory. With --json the job's entries are written instead of its output. Example:

    \b
    jobwire run --in data.csv --out fit.txt:./ --walltime 10m -- python3 fit.py data.csv

    Ctrl-C, SIGTERM, or a closed output pipe cancels the job and waits until no process of it is
    alive; a second Ctrl-C leaves at once, and the cancel continues. While the service is away, the
    command waits for it and then continues.

    Exit code: the job's own, or 128 plus the number of the signal that ended it. If the job has
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

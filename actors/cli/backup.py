"""`jobwire backup` and `restore`."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.text import Text

from jobwire.actors.cli.connection import data_option, folder_of, json_option
from jobwire.actors.cli.output import Output, clock
from jobwire.actors.cli.release import release
from jobwire.actors.client import Client
from jobwire.actors.runtime import plugins
from jobwire.actors.runtime.folder import DataFolder, Service
from jobwire.actors.stores.plugins import Backups, Manifest
from jobwire.actors.stores.plugins import Progress as Step
from jobwire.schemas.errors import Conflict, JobwireError, Unavailable

#: How long a running service may take to end what it has in hand, and to be ready again.
_RESTART_S = 60.0
_LOOK_S = 0.1
_PAGE_BYTES = 4096

_file = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.command()
@_file
@data_option
@json_option
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@click.pass_context
def backup(
    ctx: click.Context, *, file: Path, folder: Path | None, as_json: bool, force: bool
) -> None:
    """
    Save jobs, histories, keys and all other data in one file.

    The service may be running. The file contains the secrets from which job tokens are computed:
    protect it.
    """
    output = Output(as_json=as_json)
    target = file.absolute()
    if target.exists() and not force:
        raise Conflict(f"{file} exists already; choose another name, or add --force")
    data = folder_of(ctx, folder)
    try:
        with _bar("saving") as progress:
            made = _archives().back_up(
                data, target, release=release(), now=datetime.now(UTC), progress=progress
            )
    except OSError as error:
        raise JobwireError(f"cannot write {file}: {error.strerror}", code="no_file") from error
    _report(output, made, f"saved in {file}: ")


@click.command()
@_file
@data_option
@json_option
@click.pass_context
def restore(ctx: click.Context, *, file: Path, folder: Path | None, as_json: bool) -> None:
    """
    Replace the current data by a backup.

    The backup is checked first. A running service finishes its work in progress, loads the backup
    and starts again on its port. The old database is kept as jobwire.db.before-restore.
    """
    output = Output(as_json=as_json)
    data = folder_of(ctx, folder)
    data.path = data.path.absolute()
    try:
        data.claim()
    except JobwireError:
        if not data.is_running():
            raise
        made = _hand_over(output, data, file)
    else:
        made = _replace(output, data, file)
    _report(output, made, "restored: ")


def _archives() -> Backups:
    """Return what makes archives of the store that lies in a data folder."""
    archives: Backups = plugins.load("store_backups", "sqlite")
    return archives


def _replace(output: Output, folder: DataFolder, file: Path) -> Manifest:
    """Swap the files while no service runs and none can start."""
    try:
        shutil.rmtree(folder.pending_restore, ignore_errors=True)  # left by a restore cut short
        made = _unpack(output, folder, file)
        folder.take_restore()
        return made
    finally:
        folder.release()


def _hand_over(output: Output, folder: DataFolder, file: Path) -> Manifest:
    """Let the running service take the files over, and wait until it answers again."""
    running = folder.service()
    if running is None:
        raise Unavailable("a service is starting on this data folder; try again")
    made = _unpack(output, folder, file)
    try:
        os.kill(running.pid, signal.SIGHUP)
    except OSError as error:
        # Without this a later start would take over what nobody expects any more.
        shutil.rmtree(folder.pending_restore)
        detail = f"the service (process {running.pid}) cannot be notified: {error.strerror}"
        raise JobwireError(detail, code="no_signal") from error
    output.note("the backup is valid; the service finishes its work in progress and restores it")
    asyncio.run(_wait_until_back(folder, running))
    output.note(f"the service is ready again at {running.url}")
    return made


def _unpack(output: Output, folder: DataFolder, file: Path) -> Manifest:
    output.note(f"checking {file}")
    return _archives().unpack(file, folder.pending_restore)


async def _wait_until_back(folder: DataFolder, before: Service) -> None:
    deadline = time.monotonic() + _RESTART_S
    async with Client(before.url) as jobwire:
        while time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_S)
            if not folder.is_running():
                detail = "the service ended instead of restoring the backup; see its log"
                raise JobwireError(detail, code="service_ended")
            if folder.pending_restore.exists():
                continue
            try:
                await jobwire.check_ready()
            except Unavailable:
                continue
            return
    raise Unavailable(f"the service is not ready again after {_RESTART_S:g} s; see its log")


def _report(output: Output, made: Manifest, what: str) -> None:
    if output.is_json:
        output.record(made)
        return
    counts = made.counts
    output.say(
        Text.assemble(
            ("✔ ", "green"),
            f"{what}{counts.jobs:,} jobs, {counts.entries:,} entries",
            (f"  (as of {clock(made.created)}, Jobwire {made.jobwire})", "dim"),
        )
    )


@contextmanager
def _bar(verb: str) -> Iterator[Step]:
    """Show progress on standard error, at a terminal only."""
    columns = (TextColumn(verb, style="dim"), BarColumn(), DownloadColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(verb, total=None)
        yield lambda done, total: bar.update(
            task, completed=done * _PAGE_BYTES, total=total * _PAGE_BYTES
        )

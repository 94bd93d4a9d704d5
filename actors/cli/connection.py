"""Finds the service that a command uses, and runs the command with a client of it."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from jobwire.actors.cli.output import Output
from jobwire.actors.client import Client
from jobwire.actors.runtime.folder import DataFolder, default_folder
from jobwire.schemas.errors import Invalid, JobwireError, Unavailable
from jobwire.schemas.identifiers import parse_job_id

#: How long a command at the prompt goes on where trying again is safe.
PATIENCE_S = 10.0

Wrapped = TypeVar("Wrapped", bound=Callable[..., Any])
Talk = Callable[..., Awaitable[int | None]]
"""A command: takes a client, an output and its own arguments; returns its exit code, None for 0."""

data_option = click.option(
    "--data",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="The data folder of the service.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON lines.")


class ServiceAddress(NamedTuple):
    """Where a service answers, and the key to it."""

    url: str
    api_key: str | None


class JobIdType(click.ParamType[str]):
    """A full job id, in either case."""

    name = "uuid"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read it, or say what one looks like."""
        try:
            return parse_job_id(value, value)
        except Invalid as error:
            self.fail(error.detail, param, ctx)


JOB_ID = JobIdType()


def folder_of(ctx: click.Context, named: Path | None) -> DataFolder:
    """Return the data folder that was named here or before the command, else the usual one."""
    return DataFolder(named or ctx.find_object(Path) or default_folder(os.environ))


def find_target(
    folder: DataFolder, environment: Mapping[str, str], *, token: bool
) -> ServiceAddress:
    """
    Find where the service answers and the key to it.

    The folder's key is only ever sent to the folder's own service. With a job's `token` no key is
    needed.

    Raises:
        Unavailable: no service runs.
        JobwireError: there is no key.

    """
    running = folder.service() if folder.is_running() else None
    named = environment.get("JOBWIRE_URL")
    url = named or (running.url if running else None)
    if url is None:
        detail = (
            f"no service is running on {folder.path}; start one with `{_up(folder)}`, "
            "or set JOBWIRE_URL to the URL of one"
        )
        raise Unavailable(detail, code="no_service")
    is_own = running is not None and url.rstrip("/") == running.url
    api_key = environment.get("JOBWIRE_API_KEY", "").strip() or (
        folder.api_key() if is_own else None
    )
    if api_key is None and not token:
        detail = (
            f"there is no API key for {url}: set JOBWIRE_API_KEY"
            if named
            else f"the API key cannot be read from {folder.api_key_file}: set JOBWIRE_API_KEY, "
            "or run as the user of the service"
        )
        raise JobwireError(detail, code="no_key")
    if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
        raise JobwireError(
            "JOBWIRE_API_KEY is not one key such as jwk_...: remove blanks and line ends",
            code="no_key",
        )
    return ServiceAddress(url, None if token else api_key)


class CommandFailed(click.ClickException):
    """A failure of a command whose exit code otherwise means something else."""

    def show(self, file: Any = None) -> None:  # a stream, as click has it
        """Print the error as every command does."""
        label = click.style("jobwire:", fg="red", bold=True)
        click.echo(f"{label} {self.message}", file, err=True)


def talks(
    *, data: bool = True, failed: type[CommandFailed] | None = None
) -> Callable[[Talk], Callable[..., None]]:
    """
    Make a command of a coroutine that takes a client, an output and its own arguments.

    `data=False` where the command's own `--data` means something else; the data folder is then
    named before the command. `failed` is what every failure becomes, with an exit code of its own.
    """

    def decorate(talk: Talk) -> Callable[..., None]:
        @click.pass_context
        def command(
            ctx: click.Context, /, *, as_json: bool, folder: Path | None = None, **arguments: Any
        ) -> None:
            try:
                target = find_target(
                    folder_of(ctx, folder), os.environ, token=bool(arguments.get("token"))
                )
                code = asyncio.run(_talk(talk, target, Output(as_json=as_json), arguments))
            except (JobwireError, ExceptionGroup) as error:
                if failed is None or (found := _own(error)) is None:
                    raise
                raise failed(found.detail) from error
            ctx.exit(code or 0)

        named = functools.update_wrapper(command, talk)
        return json_option(data_option(named) if data else named)

    return decorate


def _own(error: Exception) -> JobwireError | None:
    """Return the error of Jobwire in an error, if it is one."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, JobwireError) else None


async def _talk(
    talk: Talk, target: ServiceAddress, output: Output, arguments: Mapping[str, Any]
) -> int | None:
    noted = ""

    def on_retry(error: JobwireError, _pause_s: float) -> None:
        nonlocal noted
        if error.code != noted:
            noted = error.code
            output.note(f"{error.detail.partition(';')[0]}; trying again")

    async with Client(
        target.url, target.api_key, patience_s=PATIENCE_S, on_retry=on_retry
    ) as jobwire:
        return await talk(jobwire, output, **arguments)


def _up(folder: DataFolder) -> str:
    usual = default_folder(os.environ)
    return "jobwire up" if folder.path == usual else f"jobwire up --data {folder.path}"

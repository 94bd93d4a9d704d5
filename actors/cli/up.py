"""`jobwire up`: the whole service in one process, until it is told to stop."""

from __future__ import annotations

import os
import sys
from getpass import getuser
from pathlib import Path
from shlex import quote

import click
import uvloop
from msgspec import structs
from rich.text import Text

from jobwire.actors.cli.connection import data_option, folder_of
from jobwire.actors.cli.output import Output
from jobwire.actors.cli.release import release
from jobwire.actors.cli.service_process import ServiceProcess
from jobwire.actors.runtime.configuration import load_settings
from jobwire.actors.runtime.failpoints import arm_from_environment
from jobwire.actors.runtime.folder import DataFolder
from jobwire.actors.runtime.logs import configure_logs
from jobwire.actors.runtime.settings import Settings
from jobwire.actors.system import System

#: Nothing that the service writes is for others on the machine.
_PRIVATE = 0o077


@click.command()
@data_option
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="JOBWIRE_CONFIG",
    help="Settings as TOML.",
)
@click.pass_context
def up(
    ctx: click.Context,
    folder: Path | None,
    host: str | None,
    port: int | None,
    config: Path | None,
) -> None:
    """
    Start the service on this machine.

    All actors run in this process, and all data is in one data folder. SIGTERM or Ctrl-C stops the
    service after its work in progress; a second one stops it at once.
    """
    settings = load_settings(config, os.environ)
    named = {"host": host, "port": port}
    settings = structs.replace(
        settings, **{name: value for name, value in named.items() if value is not None}
    )
    os.umask(_PRIVATE)
    configure_logs(settings.log_level, pretty=sys.stderr.isatty())
    arm_from_environment(os.environ)
    data = folder_of(ctx, folder)
    data.path = data.path.absolute()
    data.claim()
    try:
        life = ServiceProcess(settings, data, lambda system: _announce(data, settings, system))
        uvloop.run(life.live())
    finally:
        data.release()


def _announce(folder: DataFolder, settings: Settings, system: System) -> None:
    """Print where everything is; a log gets the same text, because people read it there."""
    output, url = Output(as_json=False), system.url
    output.line("")
    output.say(Text.assemble(("  Jobwire ", "bold"), f"{release()} is ready at ", (url, "bold")))
    output.line("")
    width = max(8, *map(len, system.dialect_urls)) + 2 if system.dialect_urls else 10
    for name, value in (
        ("data", str(folder.path)),
        ("API key", str(folder.api_key_file)),
        ("mode", "development: one process, this machine, plain HTTP"),
        ("jobs", _who_runs_jobs(settings)),
        *((name, " and ".join(urls)) for name, urls in system.dialect_urls.items()),
        ("stop", "Ctrl-C"),
    ):
        output.say(Text.assemble((f"  {name:<{width}}", "dim"), value))
    output.line("")
    output.say(Text("  Create a first job with this line:", "dim"))
    output.line("")
    output.line(_first_job(folder, url))
    output.line("")
    # A log file is no terminal: without this it would stay empty until the end.
    sys.stdout.flush()
    if not settings.is_on_loopback:
        output.warn(
            "it listens on other interfaces than loopback, over plain HTTP; "
            "put a proxy with TLS in front of it"
        )


def _who_runs_jobs(settings: Settings) -> str:
    if not settings.runs_jobs:
        return "the service runs none; the setting local.enabled allows it"
    slots = settings.local.slots or os.cpu_count() or 1
    return f"run here as {_user()}, on {slots} cores"


def _user() -> str:
    try:
        return getuser()
    except (KeyError, OSError):  # in a container the user may have no name
        return f"user {os.getuid()}"


def _first_job(folder: DataFolder, url: str) -> str:
    key = f"$(cat {quote(str(folder.api_key_file))})"
    body = """-H 'Content-Type: application/json' -d '{"name": "hello"}'"""
    return f'curl -sS {url}/v1/jobs -H "Authorization: Bearer {key}" {body}'

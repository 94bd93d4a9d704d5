"""`jobwire serve`: some of the actors in this process, others elsewhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
import uvloop
from rich.text import Text

from jobwire.actors.cli.connection import data_option, folder_of
from jobwire.actors.cli.output import Output
from jobwire.actors.cli.release import release
from jobwire.actors.cli.service_process import ServiceProcess
from jobwire.actors.runtime.configuration import load_settings
from jobwire.actors.runtime.failpoints import arm_from_environment
from jobwire.actors.runtime.logs import configure_logs
from jobwire.actors.system import ACTORS, ActorName, System

#: Nothing that the service writes is for others on the machine.
_PRIVATE = 0o077


@click.command()
@click.argument("actors", nargs=-1, required=True, type=click.Choice(ACTORS), metavar="ACTOR...")
@data_option
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="JOBWIRE_CONFIG",
    help="Settings as TOML.",
)
@click.pass_context
def serve(
    ctx: click.Context, actors: tuple[ActorName, ...], folder: Path | None, config: Path | None
) -> None:
    """
    Run actors in this process: gateway, state-manager, submitter, stager, notifier.

    Actors exchange messages over the broker in the setting [broker] url and share the database in
    [database] url. Each may run on another machine, several times, and start in any order: a
    process waits for what is missing, and /health/ready names it. All processes need the same
    service keys; create them once with `jobwire secrets make`. SIGTERM stops a process after its
    work in progress.
    """
    settings = load_settings(config, os.environ)
    os.umask(_PRIVATE)
    configure_logs(settings.log_level, pretty=sys.stderr.isatty())
    arm_from_environment(os.environ)
    data = folder_of(ctx, folder)
    data.path = data.path.absolute()
    data.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    life = ServiceProcess(
        settings, data, lambda system: _announce(actors, system), dict.fromkeys(actors)
    )
    uvloop.run(life.live())


def _announce(actors: tuple[ActorName, ...], system: System) -> None:
    output, url = Output(as_json=False), system.front_url
    names = ", ".join(dict.fromkeys(actors))
    output.say(Text.assemble(("Jobwire ", "bold"), f"{release()}: {names} at ", (url, "bold")))
    output.say(Text(f"  {url}/health/ready lists what is missing", "dim"))
    for name, urls in system.dialect_urls.items():
        output.say(Text(f"  {name} at {' and '.join(urls)}", "dim"))
    # A log file is no terminal: without this it would stay empty until the end.
    sys.stdout.flush()

"""The `jobwire` command: its parts are loaded when they are called, so that help is quick."""

from __future__ import annotations

import difflib
import os
import pkgutil
import signal
import sys
import traceback
from functools import cache
from pathlib import Path
from typing import Final

import click

from jobwire.actors.cli.release import release
from jobwire.actors.dialects import registry
from jobwire.actors.dialects.base import DialectCommand
from jobwire.schemas.errors import JobwireError, Misconfigured

#: Exit codes: a failure, and what a shell shows for a process ended by Ctrl-C.
FAILED: Final = 1
INTERRUPTED: Final = 128 + signal.SIGINT

#: Commands of the service: their sections of the help, their modules here, and what they do.
COMMANDS: Final = {
    "up": ("Service", "up", "Start the service on this machine."),
    "serve": ("Service", "serve", "Run some actors in this process."),
    "secrets": ("Service", "secrets", "Create the secrets that all processes share."),
    "doctor": ("Service", "doctor", "Check this installation."),
    "backup": ("Service", "backup", "Save everything in one file, also while the service runs."),
    "restore": ("Service", "backup", "Restore a backup, also while the service runs."),
    "migrate-store": ("Service", "migrate", "Copy all jobs and records into a MongoDB database."),
    "run": ("Jobs", "run", "Run a command as a job and wait for it."),
    "submit": ("Jobs", "submit", "Submit jobs without waiting for them."),
    "logs": ("Jobs", "logs", "Show the output of a job."),
    "cancel": ("Jobs", "controls", "Cancel jobs."),
    "hold": ("Jobs", "controls", "Hold jobs: do not start them."),
    "release": ("Jobs", "controls", "Release held jobs."),
    "retry": ("Jobs", "controls", "Retry ended jobs as new jobs."),
    "create": ("Jobs", "jobs", "Create a job and get its token."),
    "event": ("Jobs", "events", "Report what happened to a job."),
    "ls": ("Jobs", "jobs", "List jobs, newest first."),
    "show": ("Jobs", "jobs", "Show one job with its data."),
    "history": ("Jobs", "history", "Show the history of a job."),
    "watch": ("Jobs", "watch", "Follow one job, or all, as it happens."),
    "rm": ("Jobs", "jobs", "Delete a job."),
    "token": ("Jobs", "tokens", "Rotate or revoke a job's token."),
    "deliveries": ("Records", "deliveries", "List callback deliveries, with every try."),
    "redeliver": ("Records", "deliveries", "Send callback deliveries again."),
    "stats": ("Records", "stats", "Count jobs by lifecycle and state."),
    "lifecycle": ("Records", "lifecycle", "List, draw or register lifecycles."),
    "refused": ("Records", "refused", "List and replay refused events."),
    "keys": ("Records", "keys", "Create, list and revoke API keys."),
}


@cache
def dialect_commands() -> dict[str, DialectCommand]:
    """Return the commands of the installed dialects, none under the name of one of the service."""
    found = {
        name: command
        for plugin in registry.foreign_plugins(_leave_out)
        for name, command in plugin.commands.items()
    }
    return {name: command for name, command in found.items() if name not in COMMANDS}


def _leave_out(_dialect: str, _error: Misconfigured) -> None:
    """Show help without a broken dialect: its error is reported when it is enabled."""


class Commands(click.Group):
    """Loads a command's module when the command is called."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names, the service's own first."""
        return [*COMMANDS, *dialect_commands()]

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """Load one command."""
        if name in COMMANDS:
            _, module, text = COMMANDS[name]
            target = f"jobwire.actors.cli.{module}:{name.replace('-', '_')}"
        elif name in dialect_commands():
            target, _, text = dialect_commands()[name]
        else:
            return None
        command = pkgutil.resolve_name(target)
        assert isinstance(command, click.Command)
        command.help = command.help or text
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; for an unknown one name the nearest."""
        name = args[0]
        known = self.list_commands(ctx) if name not in COMMANDS else [name]
        if name not in known and not name.startswith("-"):
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else "see jobwire --help"
            raise click.UsageError(f"unknown command {name!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, (section, _, text) in COMMANDS.items():
            sections.setdefault(section, []).append((name, text))
        for name, command in dialect_commands().items():
            sections.setdefault(command.section, []).append((name, command.summary))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl(rows, col_max=16)


def _show_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's
    if wanted:
        click.echo(f"jobwire {release()}")
        ctx.exit()


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data", type=click.Path(path_type=Path), help="The data folder of the service.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.pass_context
def cli(ctx: click.Context, data: Path | None) -> None:
    """
    Jobwire: event-driven job control.

    Any platform reports a job's state with one small event; nothing accepted is ever lost. Begin
    with `jobwire up`. Other commands find the running service through its data folder, or through
    JOBWIRE_URL and JOBWIRE_API_KEY. At a terminal they show tables; piped, JSON lines.
    """
    ctx.obj = data


def main() -> None:
    """Run the command line; every failure is one sentence and an exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and give its exit code."""
    try:
        code = cli.main(arguments, prog_name="jobwire", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - a person at a prompt gets a sentence, no traceback
        return _give_up(_first(error))
    return code if isinstance(code, int) else 0


def _give_up(error: Exception) -> int:
    if isinstance(error, BrokenPipeError):
        # Nobody reads any more; the interpreter's own flush at the end must not say so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return fail(_sentence(error))


def _first(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _sentence(error: Exception) -> str:
    match error:
        case JobwireError(detail=detail):
            return detail
        case OSError(strerror=str(reason)):
            return f"{reason}: {error.filename}" if error.filename else reason
        case _:
            return _fault(error)


def _fault(error: Exception) -> str:
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}, line {place.lineno}"
    return f"an error in jobwire, please report it: {type(error).__name__}: {error} ({where})"


def fail(sentence: str) -> int:
    """Return what went wrong, in one sentence."""
    label = click.style("jobwire:", fg="red", bold=True)
    click.echo(f"{label} {sentence}", err=True)
    return FAILED


if __name__ == "__main__":
    main()

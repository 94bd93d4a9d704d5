"""The commands part of `reference/cli.md`: every command and option of the command line."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from _generate.markdown import table
from jobwire.actors.cli.main import cli


def commands_text() -> str:
    """Write a section for each command and each command below it."""
    return "\n".join(_sections(cli, click.Context(cli, info_name="jobwire")))


def _sections(group: click.Group, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            continue
        below = click.Context(command, info_name=name, parent=context)
        yield _section(command, below)
        if isinstance(command, click.Group):
            yield from _sections(command, below)


def _section(command: click.Command, context: click.Context) -> str:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    text = _sentences(inspect.cleandoc(command.help or ""))
    rows = list(_options(command, context))
    options = "\n" + table(["option", "meaning"], rows) if rows else ""
    return f"### `{context.command_path}`\n\n```text\n{usage}\n```\n\n{text}\n{options}"


def _sentences(text: str) -> str:
    """Put one sentence on a line; lines that are to stay as they are become an example."""
    return "\n\n".join(filter(None, map(_paragraph, text.split("\n\n"))))


def _paragraph(text: str) -> str:
    prose, is_kept, lines = text.partition("\b\n")
    said = re.sub(r"(?<=[.;]) (?=[A-Z])", "\n", " ".join(prose.split()))
    if not is_kept:
        return said
    return f"{said}\n\n```text\n{lines}\n```".lstrip()


def _options(command: click.Command, context: click.Context) -> Iterator[list[str]]:
    for parameter in command.get_params(context):
        if isinstance(parameter, click.Option) and (record := parameter.get_help_record(context)):
            names, meaning = record
            if "--help" not in parameter.opts:
                yield [f"`{names}`", meaning]

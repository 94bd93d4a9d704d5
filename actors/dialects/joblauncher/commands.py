"""`jobwire import-config`: settings of this service from the configuration of another system."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from jobwire.actors.cli.output import clean
from jobwire.actors.dialects.joblauncher.importing import Imported, settings_of
from jobwire.schemas.errors import Invalid

#: Largest file that is read: a configuration has a few hundred bytes.
_MOST_BYTES: Final = 1_048_576
_MARKS: Final = {"taken": "✔", "changed": "●", "refused": "✘"}


@click.command("import-config")
@click.argument("system", type=click.Choice(["joblauncher"]))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def import_config(system: str, file: Path) -> None:
    """
    Translate the configuration of another system into settings.

    The settings go to standard output. For each key a line goes to standard error: whether it was
    taken, changed or refused, and why. The settings may contain secrets: keep them in a file that
    only the service can read.
    """
    del system  # there is one so far
    imported = _imported(file)
    click.echo(imported.toml, nl=False)
    width = max(len(each.key) for each in imported.remarks)
    for each in imported.remarks:
        mark = f"{_MARKS[each.verdict]} {each.verdict:<8}"
        click.echo(clean(f"{mark} {each.key:<{width}}  {each.why}"), err=True)


def _imported(file: Path) -> Imported:
    try:
        imported = settings_of(_read(file))
        imported.toml.encode()
    except UnicodeEncodeError as error:
        raise Invalid(f"{file}: a text in it is not valid Unicode") from error
    except ValueError as error:
        raise Invalid(f"{file}: {error}") from error
    return imported


def _read(file: Path) -> Any:
    """Read YAML without anything that it could make of its own."""
    with file.open("rb") as stream:
        data = stream.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        message = f"it has more than {_MOST_BYTES} bytes, too many for a configuration"
        raise ValueError(message)
    try:
        return YAML(typ="safe", pure=True).load(data)
    except RecursionError as error:
        message = "it is nested too deeply for a configuration"
        raise ValueError(message) from error
    except (YAMLError, UnicodeDecodeError) as error:
        message = f"it is not YAML: {_said(error)}"
        raise ValueError(message) from error


def _said(error: Exception) -> str:
    """Describe in one line what is wrong, with its place if that is known."""
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        problem = str(error.problem).partition(" with value")[0]  # which may be a secret
        return f"{problem} (line {mark.line + 1}, column {mark.column + 1})"
    return str(error).strip().partition("\n")[0]

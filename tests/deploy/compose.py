"""What compose.yaml says, and the same actors as plain processes on this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from ruamel.yaml import YAML

from tests.architecture.sources import ROOT

FILE: Final = ROOT / "compose.yaml"

#: Where a container finds its secrets and its data.
SECRETS: Final = "/run/secrets/"
DATA: Final = "/data"

#: `${NAME:-default}`: what is meant when the caller's environment does not have the name.
_VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")


class Process(NamedTuple):
    """An actor as a process: what its container runs, with paths of this machine."""

    command: tuple[str, ...]
    """Arguments of `jobwire`, which is the image's entry point."""
    environment: Mapping[str, str]


def services() -> dict[str, Any]:
    """Return every service as it is written, anchors and merges resolved."""
    # Plain JSON-like values, which the schema has been held against.
    return dict(document()["services"])


def document() -> dict[str, Any]:
    """Return the whole file."""
    return dict(YAML(typ="safe", pure=True).load(FILE))


def actors() -> dict[str, Any]:
    """Return the services that run this project's image."""
    return {name: each for name, each in services().items() if "build" in each}


def processes(secrets: Path, data: Path) -> dict[str, Process]:
    """
    Return each actor's command and environment, with these folders in place of the container's.

    All containers have ports of their own; whoever runs several on one machine must set
    `JOBWIRE_PORT` and `JOBWIRE_HEALTH__PORT` over what is given here.
    """
    return {
        name: Process(
            tuple(actor["command"]),
            {
                variable: _outside(_resolved(str(value)), secrets, data)
                for variable, value in actor["environment"].items()
            },
        )
        for name, actor in actors().items()
    }


def _resolved(text: str) -> str:
    return _VARIABLE.sub(lambda variable: variable[2], text)


def _outside(value: str, secrets: Path, data: Path) -> str:
    """Replace a path inside the container by the one that stands for it."""
    if value.startswith(SECRETS):
        return str(secrets / value.removeprefix(SECRETS))
    if value == DATA or value.startswith(f"{DATA}/"):
        return str(data) + value.removeprefix(DATA)
    return value

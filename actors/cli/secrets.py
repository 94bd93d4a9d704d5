"""`jobwire secrets`: what all processes of an installation share, and nobody else may read."""

from __future__ import annotations

from pathlib import Path

import click

from jobwire.actors.cli.output import Output
from jobwire.actors.operations.keys import make_key
from jobwire.actors.runtime.folder import make_secrets, write_private
from jobwire.schemas.errors import Misconfigured
from jobwire.schemas.principals import compose_key


@click.group()
def secrets() -> None:
    """Create the secrets of an installation with several processes."""


@secrets.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def make(folder: Path) -> None:
    """
    Create service keys and a first API key in FOLDER.

    Give every process the file `service-keys` (setting service_keys_file), and every gateway the
    file `api-key` (setting api_key_file); keep a copy of both. Existing files are not changed.
    """
    output = Output(as_json=False)
    for file in make_installation(folder):
        output.line(str(file))


def make_installation(folder: Path) -> tuple[Path, Path]:
    """
    Make service keys and a first API key; return their files.

    One that is there already stays, so an end in between is made good by the next call.

    Raises:
        Misconfigured: both are there already.

    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    keys, api_key = folder / "service-keys", folder / "api-key"
    if keys.exists() and api_key.exists():
        raise Misconfigured(f"{keys} and {api_key} exist already and were not changed")
    if not keys.exists():
        make_secrets(keys)
    if not api_key.exists():
        write_private(api_key, compose_key(*make_key()).encode() + b"\n")
    return keys, api_key

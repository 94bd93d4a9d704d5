"""`jobwire lifecycle ls`, `show` and `register`."""

from __future__ import annotations

from typing import BinaryIO

import click
import msgspec
from rich.text import Text

from jobwire.actors.cli.connection import talks
from jobwire.actors.cli.drawing import draw
from jobwire.actors.cli.output import Output, clean, table
from jobwire.actors.client import Client
from jobwire.schemas.errors import Invalid, Malformed
from jobwire.schemas.lifecycle import Lifecycle


@click.group()
def lifecycle() -> None:
    """List, draw or register lifecycles."""


@lifecycle.command()
@talks()
async def ls(jobwire: Client, output: Output) -> None:
    """List the built-in lifecycles and your own."""
    found = [each async for each in jobwire.lifecycles()]
    if output.is_json:
        for each in found:
            output.record(each)
        return
    heads = ("name", "version", "states", "events", "meaning")
    output.show(table(heads, [_row(each) for each in found], output.width, flexible=("meaning",)))


def _row(each: Lifecycle) -> list[Text]:
    numbers = (each.version, len(each.states), len(each.events))
    cells = [Text(each.name, "bold"), *(Text(str(number)) for number in numbers)]
    return [*cells, Text(clean(each.meaning), "dim")]


@lifecycle.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="An older version.")
@talks()
async def show(jobwire: Client, output: Output, *, name: str, version: int | None) -> None:
    """Draw a lifecycle: its states by category, and where each event leads."""
    found = await jobwire.lifecycle(name, version)
    if output.is_json:
        output.record(found)
    else:
        output.show(*draw(found, output.width - 4))


@lifecycle.command()
@click.argument("file", type=click.File("rb"))
@talks()
async def register(jobwire: Client, output: Output, *, file: BinaryIO) -> None:
    """Register a lifecycle from a JSON file; - reads standard input."""
    text = file.read()
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise Malformed(f"{file.name} is not JSON: {error}") from error
    try:
        made = await jobwire.register_lifecycle(msgspec.Raw(text))
    except Invalid as error:
        pointer = error.pointer or ""
        place = "" if pointer in error.detail else f" (at {pointer})"
        raise Invalid(f"{file.name}: {error.detail}{place}") from error
    if output.is_json:
        output.record(made)
    else:
        output.say(
            Text.assemble(
                ("✔ ", "green"),
                f"{made.name} is registered as version {made.version}; see it with ",
                (f"jobwire lifecycle show {made.name}", "bold"),
            )
        )

"""`jobwire greetings`."""

from __future__ import annotations

import click
from msgspec import Struct

from jobwire.actors.cli.connection import talks
from jobwire.actors.cli.output import Output
from jobwire.actors.client import Client


class Greeted(Struct):
    """Somebody who was greeted."""

    name: str


@click.command()
@talks()
async def greetings(jobwire: Client, output: Output) -> None:
    """List who was greeted."""
    async for each in jobwire.pages("/v1/greetings", Greeted):
        output.record(each)

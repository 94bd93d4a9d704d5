"""`jobwire actors create`, `ls`, `rm` and `admin-token`."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

import click
from rich.text import Text

from jobwire.actors.cli.connection import talks
from jobwire.actors.cli.output import Output, ago, clean, clock, fields, table
from jobwire.actors.client import Client
from jobwire.actors.dialects.pipelinejobs.actor_record import ActorView, AdminTokenView

_ACTORS: Final = "/v1/actors"


@click.group()
def actors() -> None:
    """Create, list and remove the actors to which PipelineJobs clients send messages."""


@actors.command()
@click.option(
    "--id",
    "actor_id",
    help="The id that is already in clients' URLs: letters, digits, dots, dashes.",
)
@click.option(
    "--alias", "aliases", multiple=True, help="Another name of the actor; may be repeated."
)
@click.option("--description", help="A description of the actor.")
@talks()
async def create(
    jobwire: Client,
    output: Output,
    *,
    actor_id: str | None,
    aliases: tuple[str, ...],
    description: str | None,
) -> None:
    """
    Create an actor, to which PipelineJobs clients send messages about your jobs.

    Without --id the service makes one. Clients send messages to /actors/v2/ID/messages or, by an
    alias, to /actors/v2/ALIAS/messages, below the base URL of the dialect.
    """
    asked = {"id": actor_id, "aliases": aliases, "description": description}
    body = {name: value for name, value in asked.items() if value is not None}
    made = await jobwire.request("POST", _ACTORS, ActorView, body)
    if output.is_json:
        output.record(made)
        return
    aliases_shown = clean(" ".join(made.aliases)) or "none"
    output.show(fields((("id", Text(made.id, "bold")), ("aliases", aliases_shown))))


@actors.command()
@talks()
async def ls(jobwire: Client, output: Output) -> None:
    """List your actors; those in the settings have no date."""
    found = [actor async for actor in jobwire.pages(_ACTORS, ActorView)]
    if output.is_json:
        for actor in found:
            output.record(actor)
        return
    heads = ("id", "aliases", "description", "created")
    rows = [_row(actor) for actor in found]
    output.show(table(heads, rows, output.width, flexible=("aliases", "description")))


def _row(actor: ActorView) -> list[Text]:
    return [
        Text(actor.id),
        Text(clean(" ".join(actor.aliases))),
        Text(clean(actor.description), "dim"),
        Text(ago(actor.created) if actor.created else "in the settings", "dim"),
    ]


@actors.command()
@click.argument("actor_id", metavar="ID")
@talks()
async def rm(jobwire: Client, output: Output, *, actor_id: str) -> None:
    """Remove an actor with its aliases and nonces; the jobs stay."""
    removed = await jobwire.request("DELETE", f"{_ACTORS}/{quote(actor_id, safe='')}", ActorView)
    if output.is_json:
        output.record(removed)
    else:
        output.say(Text.assemble(("✔ ", "green"), f"removed {removed.id}"))


@actors.command("admin-token")
@talks()
async def admin_token(jobwire: Client, output: Output) -> None:
    """
    Create an administrator's token.

    It is valid for every job of yours, for `reset`, `ready` and `delete` messages, for an hour or
    two. The command needs an API key with the scope admin.
    """
    token = await jobwire.request("POST", f"{_ACTORS}/admin-token", AdminTokenView)
    if output.is_json:
        output.record(token)
        return
    output.show(
        fields((("token", Text(token.token, "bold")), ("valid until", clock(token.good_until))))
    )

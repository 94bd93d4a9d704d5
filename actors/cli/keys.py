"""`jobwire keys create`, `ls` and `revoke`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast, get_args

import click
from rich.text import Text

from jobwire.actors.cli.connection import talks
from jobwire.actors.cli.output import Output, ago, clean, clock, fields, table
from jobwire.actors.client import Client
from jobwire.schemas.principals import Scope
from jobwire.schemas.views import KeyView

_DAY_S = 86_400.0


@click.group()
def keys() -> None:
    """Create, list and revoke API keys."""


@keys.command()
@click.argument("principal")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(get_args(Scope)))
@click.option("--label", help="What the key is for.")
@click.option(
    "--days",
    type=click.FloatRange(0, min_open=True),
    help="The number of days after which the key expires.",
)
@talks()
async def create(
    jobwire: Client,
    output: Output,
    *,
    principal: str,
    scopes: tuple[str, ...],
    label: str | None,
    days: float | None,
) -> None:
    """
    Create an API key for a principal, who owns what is created with it.

    Without --scope the key may read, send events and create jobs. The key is shown only once.
    """
    made = await jobwire.create_key(
        principal,
        scopes=cast("tuple[Scope, ...]", scopes) or None,
        label=label,
        expires_in_s=days * _DAY_S if days else None,
    )
    if output.is_json:
        output.record(made)
        return
    output.show(
        fields(
            (
                ("key", Text(made.key, "bold")),
                ("id", made.id),
                ("principal", made.principal),
                ("scopes", " ".join(made.scopes)),
                ("expires", clock(made.expires) if made.expires else "never"),
            )
        ),
        "",
        Text("The key is shown only once: store it now.", "yellow"),
    )


@keys.command()
@talks()
async def ls(jobwire: Client, output: Output) -> None:
    """List all API keys, without their secrets."""
    found = []
    async for key in jobwire.keys():
        if output.is_json:
            output.record(key)
        else:
            found.append(key)
    if not output.is_json:
        heads = ("id", "principal", "scopes", "label", "created", "status")
        rows = [_row(key) for key in found]
        output.show(table(heads, rows, output.width, flexible=("principal", "label", "scopes")))


def _row(key: KeyView) -> list[Text]:
    return [
        Text(key.id),
        Text(clean(key.principal)),
        Text(" ".join(key.scopes), "dim"),
        Text(clean(key.label or "")),
        Text(ago(key.created), "dim"),
        _standing(key),
    ]


def _standing(key: KeyView) -> Text:
    if key.revoked is not None:
        return Text("✘ revoked", "red")
    if key.expires is not None and key.expires <= datetime.now(UTC):
        return Text("✘ expired", "yellow")
    return Text("✔ valid", "green")


@keys.command()
@click.argument("key_id", metavar="ID")
@talks()
async def revoke(jobwire: Client, output: Output, *, key_id: str) -> None:
    """Revoke an API key permanently."""
    revoked = await jobwire.revoke_key(key_id)
    if output.is_json:
        output.record(revoked)
    else:
        output.say(Text.assemble(("✔ ", "green"), f"revoked {revoked.id} of {revoked.principal}"))

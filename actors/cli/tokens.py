"""`jobwire token rotate` and `revoke`."""

from __future__ import annotations

import click
from rich.text import Text

from jobwire.actors.cli.connection import JOB_ID, talks
from jobwire.actors.cli.output import Output, duration, fields
from jobwire.actors.client import Client


@click.group()
def token() -> None:
    """Rotate or revoke a job's token."""


@token.command()
@click.argument("uuid", type=JOB_ID)
@click.option("--overlap-s", type=click.FloatRange(0), help="How long the old token stays valid.")
@talks()
async def rotate(jobwire: Client, output: Output, *, uuid: str, overlap_s: float | None) -> None:
    """Create a new token for a job; the old one stays valid for a while."""
    rotated = await jobwire.rotate_token(uuid, overlap_s=overlap_s)
    if output.is_json:
        output.record(rotated)
        return
    left = rotated.previous_valid_for_s
    output.show(
        fields(
            (
                ("token", Text(rotated.token, "bold")),
                ("old one", f"valid for another {duration(left)}" if left else "no longer valid"),
            )
        ),
        "",
    )
    output.line(f"  curl -X POST '{rotated.webhook}&name=update'")


@token.command()
@click.argument("uuid", type=JOB_ID)
@talks()
async def revoke(jobwire: Client, output: Output, *, uuid: str) -> None:
    """Revoke every token of a job at once."""
    await jobwire.revoke_tokens(uuid)
    if output.is_json:
        output.record({"id": uuid, "revoked": True})
    else:
        output.say(
            Text.assemble(
                ("✔ ", "green"),
                f"no token of {uuid} is valid any more; create one with ",
                (f"jobwire token rotate {uuid}", "bold"),
            )
        )

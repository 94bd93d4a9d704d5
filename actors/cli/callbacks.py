"""Callbacks: the option that requests them, and the output that shows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, cast, get_args

import click

from jobwire.actors.cli.output import Output, clean
from jobwire.schemas.deliveries import Callback
from jobwire.schemas.lifecycle import JobOutcome
from jobwire.schemas.views import NewCallbackView

_OUTCOMES: Final = get_args(JobOutcome)


class CallbackType(click.ParamType[Callback]):
    """`URL[=OUTCOME,...]`; an = in the URL itself is part of it."""

    name = "url"

    def convert(
        self, value: str | Callback, _param: click.Parameter | None, _ctx: click.Context | None
    ) -> Callback:
        """Read it; whether the address may be called is for the service to say."""
        if isinstance(value, Callback):
            return value
        url, _, tail = value.rpartition("=")
        outcomes = tail.split(",")
        if url and all(each in _OUTCOMES for each in outcomes):
            return Callback(url=url, outcomes=cast("tuple[JobOutcome, ...]", tuple(outcomes)))
        return Callback(url=value)


callback_option = click.option(
    "--callback",
    "callbacks",
    multiple=True,
    type=CallbackType(),
    metavar="URL[=OUTCOME,...]",
    help="An address to notify of every change of state, or only of these outcomes.",
)


def show_secrets(output: Output, callbacks: Iterable[NewCallbackView]) -> None:
    """Show the secrets of new callbacks; the service shows each secret only once."""
    for each in callbacks:
        if each.secret is not None:
            output.note(f"{clean(each.url)} verifies with {each.secret}")

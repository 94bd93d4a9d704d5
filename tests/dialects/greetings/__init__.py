"""A dialect as somebody else may write one: this folder is all of it."""

from __future__ import annotations

from typing import Final

from jobwire.actors.dialects.base import DialectCommand, DialectPlugin

from .settings import Greetings

PLUGIN: Final = DialectPlugin(
    name="greetings",
    title="Greetings",
    dialect=f"{__name__}.dialect:GreetingsDialect",
    settings=Greetings,
    commands={
        "greetings": DialectCommand(
            target=f"{__name__}.commands:greetings",
            section="Greetings",
            summary="List who was greeted.",
        )
    },
)

"""
Actors as clients of an actor platform name them: where their messages go.

Such an actor stands for the job records of its owner; it has an opaque id, and any number of
aliases that people can remember.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

ActorName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=r"(?#letters, digits, dots, dashes and underscores, a letter or digit first)"
        r"^[A-Za-z0-9][A-Za-z0-9._-]*(?!\n)$",
    ),
]
"""An id, an alias, a tenant: letters, digits, dots, dashes, underscores; no sign first."""

#: Not an actor's: the routes of aliases begin with it.
RESERVED_NAME = "aliases"


class ForeignActor(Struct, frozen=True, kw_only=True):
    """One actor of one owner."""

    id: str
    owner: str
    created: datetime | None = None
    """None: it is there because the settings name it."""
    description: str = ""
    aliases: tuple[str, ...] = ()

    def alias(self, name: str) -> str | None:
        """Return the alias that a name of this actor is; None: it is its id."""
        return None if name == self.id else name


class ActorView(Struct, frozen=True, kw_only=True):
    """What clients of the PipelineJobs dialect send messages to."""

    id: str
    aliases: tuple[str, ...]
    description: str
    created: datetime | None
    """None: it is there because the settings name it."""


class AdminTokenView(Struct, frozen=True, kw_only=True):
    """A token valid for every job of its owner, and the time until which it is valid at least."""

    token: str
    good_until: datetime

"""What can be set of it."""

from __future__ import annotations

from jobwire.actors.runtime.mounting import Mounting


class Greetings(Mounting, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How people are greeted."""

    word: str = "hello"
    """What comes before the name."""

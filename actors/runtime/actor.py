"""The interface of an actor to its supervisor."""

from __future__ import annotations

from typing import Protocol


class Actor(Protocol):
    """A part that runs: it meets other actors on the transport only."""

    name: str

    async def start(self) -> None:
        """Return when the actor can do its work."""

    async def stop(self) -> None:
        """Finish what is in hand and return; may be called twice, or before `start`."""

    def not_ready(self) -> str | None:
        """Name what the actor lacks to do its work now; None: it is ready."""

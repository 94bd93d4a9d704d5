"""
Runs `jobwire up` with one deliberate mistake: events are answered when they are in the queue.

`python http_runner.py answers_early up --data DATA ...`; without the mistake the tests run the
command itself.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from jobwire.actors.cli.main import run
from jobwire.actors.transports import embedded
from jobwire.actors.transports.embedded import EmbeddedTransport
from jobwire.schemas.errors import Unavailable


class AnswersEarly(EmbeddedTransport):
    """Confirms an event before it is committed."""

    def __init__(self) -> None:
        super().__init__()
        self._on_their_way: set[asyncio.Task[None]] = set()

    async def send(self, queue: str, messages: Sequence[bytes]) -> None:
        """Return at once, whatever becomes of the messages."""
        sending = asyncio.create_task(self._send(queue, messages))
        self._on_their_way.add(sending)
        sending.add_done_callback(self._on_their_way.discard)

    async def _send(self, queue: str, messages: Sequence[bytes]) -> None:
        try:
            await super().send(queue, messages)
        except Unavailable:
            return


_MISTAKES = {"answers_early": AnswersEarly}


if __name__ == "__main__":
    setattr(embedded, EmbeddedTransport.__name__, _MISTAKES[sys.argv[1]])
    sys.exit(run(sys.argv[2:]))

"""The contract of the message bus: a work queue, a reply, a broadcast."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from msgspec import Struct


class Delivery(Struct, frozen=True):
    """One message as a consumer gets it."""

    body: bytes
    redelivered: bool = False


Handler = Callable[[Sequence[Delivery]], Awaitable[None]]
"""Handles a batch of one queue in order; the batch is acknowledged when it returns."""

Listener = Callable[[str, bytes], None]
"""Hears a broadcast; called in order, must not block."""


class Transport(Protocol):
    """
    A bus that keeps what is sent to a queue and repeats what was not acknowledged.

    A message may be delivered more than once and never out of order within one queue.
    """

    async def open(self) -> None:
        """Connect and declare; return when messages can be sent."""

    async def close(self) -> None:
        """Hand out nothing more, let running handlers end, and disconnect."""

    async def send(self, queue: str, messages: Sequence[bytes]) -> None:
        """
        Send to a durable queue; return when the messages are safe.

        Raises:
            Unavailable: they may be stored or not: send them again.

        """

    async def consume(self, queue: str, handler: Handler) -> None:
        """Start handing the queue's messages to the one handler, batch after batch."""

    async def broadcast(self, topic: str, message: bytes) -> None:
        """Tell everyone who listens now; kept for nobody."""

    async def listen(self, pattern: str, listener: Listener) -> None:
        """Hear broadcasts of one topic; `prefix.*` stands for all that begin with `prefix.`."""

    async def reply(self, address: str, message: bytes) -> None:
        """Tell the one listener of an address; lost when it has gone."""

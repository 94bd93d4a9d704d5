"""The contract of the message bus: a work queue, a reply, a broadcast."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from jobwire.actors.runtime.settings import Settings


class BusMessage(Struct, frozen=True):
    """One message as a consumer gets it."""

    body: bytes
    redelivered: bool = False
    """It may have been handed out before."""
    message_id: str | None = None
    content_type: str | None = None
    headers: Mapping[str, object] = {}


Handler = Callable[[Sequence[BusMessage]], Awaitable[None]]
"""Handles a batch of one queue in order; the batch is acknowledged when it returns."""

Listener = Callable[[str, bytes], None]
"""Receives a broadcast and its topic; called in order, must not block."""


class ConsumerHandle(Protocol):
    """A consumer of a queue, or a subscription to a topic."""

    async def close(self) -> None:
        """
        Receive nothing more; may be called twice.

        A consumer hands out nothing more and acknowledges the batch in hand when its handler has
        returned; what it had not handed out goes to the next consumer, in its place.
        """


class Transport(Protocol):
    """
    A bus that keeps what is sent to a queue and repeats what was not acknowledged.

    A message may be delivered more than once and never out of order within one queue. The names of
    queues and topics are those of `jobwire.schemas.addresses`; consumers and senders need nothing
    to be declared.
    """

    confirms_when_handled: bool
    """Whether `send` to an event queue returns only when its handler has."""

    async def open(self) -> None:
        """
        Begin to connect; return at once where that takes others.

        Until there is a connection `not_ready` says so, and what is sent is refused.
        """

    async def close(self) -> None:
        """Hand out nothing more, let running handlers end, and disconnect."""

    def not_ready(self) -> str | None:
        """Return why nothing can be sent now; None: it can."""

    async def send(self, queue: str, messages: Sequence[bytes]) -> None:
        """
        Send to a durable queue; return when the messages are safe.

        Raises:
            InDoubt: they may be stored or not: send them again.
            Unavailable: they were not taken.

        """

    async def consume(self, queue: str, handler: Handler) -> ConsumerHandle:
        """
        Hand the queue's messages to a handler, batch after batch, until the handle is closed.

        One handler at a time gets the messages of a queue, whichever process it is in. When it
        raises, the batch is handed out again after a pause, to it or to the next.
        """

    async def dead_letter(self, queue: str, message: BusMessage, reason: str) -> None:
        """
        Keep a message that can never be handled in the queue's dead letters, with the reason.

        Its handler calls this, and acknowledges the message like the others by returning.

        Raises:
            Unavailable: it could not be kept; the handler raises, and gets the batch again.

        """

    async def broadcast(self, topic: str, message: bytes) -> None:
        """
        Publish to everyone who listens now; the message is kept for nobody.

        Raises:
            Unavailable: it was not published.

        """

    async def listen(
        self, pattern: str, on_message: Listener, on_missed: Callable[[], None] | None = None
    ) -> ConsumerHandle:
        """
        Subscribe to broadcasts of one topic, or of all topics that begin with a prefix.

        Args:
            pattern: the topic, or `prefix.*`.
            on_message: called for each broadcast, in the order of its sender.
            on_missed: called when broadcasts may have been lost, such as after a broken connection.

        """

    async def announce(self, topic: str, message: bytes) -> None:
        """
        Publish to other systems that listen on the bus themselves; best effort.

        Raises:
            Unavailable: it was not published.

        """

    async def reply(self, address: str, message: bytes) -> None:
        """Publish to the one listener of an address; lost when it has gone."""


class TransportPlugin(Protocol):
    """A transport's class, as an entry point of the group `jobwire.transports` names it."""

    def of(self, settings: Settings, name: str, /) -> Transport:
        """
        Make a transport from the settings; a class method.

        Args:
            settings: what was set; nothing is connected before `open`.
            name: what the broker's operator sees of this process.

        Raises:
            Misconfigured: the settings cannot be used.

        """

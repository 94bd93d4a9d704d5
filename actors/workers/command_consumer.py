"""The commands of one queue, as a worker gets them: first what was left, then what comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import structlog

from jobwire.actors.transports.base import BusMessage, ConsumerHandle, Transport
from jobwire.actors.workers.gateway import WorkerGateway
from jobwire.schemas.commands import Command

_log = structlog.get_logger()
_decoder = msgspec.msgpack.Decoder(Command)

Accept = Callable[[Command], None]
"""Takes a command into hand; one that is in hand already is dropped."""


class CommandConsumer:
    """
    Hands commands to a worker.

    They are acknowledged as soon as they are in hand: what a worker loses when it ends is awaited
    still, and the next one begins with it.
    """

    def __init__(self, transport: Transport, gateway: WorkerGateway, queue: str) -> None:
        """Take the commands of a queue."""
        self._transport = transport
        self._gateway = gateway
        self._queue = queue
        self._consumer: ConsumerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether commands are taken."""
        return self._consumer is not None

    async def open(self, accept: Accept) -> None:
        """
        Begin to hand commands to `accept`.

        Raises:
            Unavailable: the store cannot be read.

        """
        async for command in self._gateway.recall(self._queue):
            accept(command)

        async def put(messages: Sequence[BusMessage]) -> None:
            for message in messages:
                try:
                    command = _decoder.decode(message.body)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    _log.error("command_not_read", queue=self._queue, error=str(error))
                    reason = f"not a command: {error}"
                    await self._transport.dead_letter(self._queue, message, reason)
                else:
                    self._hand_over(command, accept)

        self._consumer = await self._transport.consume(self._queue, put)

    def _hand_over(self, command: Command, accept: Accept) -> None:
        """
        Accept a command of this queue; leave one of another kind to a release that knows it.

        Its job goes on awaiting it, so a newer worker finds it at its start.
        """
        if command.queue == self._queue:
            accept(command)
        else:
            _log.warning("command_left", job_id=command.job, kind=command.kind, queue=self._queue)

    async def close(self) -> None:
        """Take no more; those that are not in hand wait for the next worker."""
        if self._consumer is not None:
            await self._consumer.close()
            self._consumer = None

"""A packer over a bus that hands each packet to a function of the test."""

from __future__ import annotations

from collections.abc import Sequence

from jobwire.actors.messaging.lane import Send
from jobwire.actors.messaging.packer import Packer
from jobwire.actors.runtime.telemetry import Telemetry
from jobwire.actors.transports.embedded import EmbeddedTransport
from jobwire.schemas.codec import decode_packet


class _Wire(EmbeddedTransport):
    """A bus that carries packets only."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send

    async def send(self, queue: str, messages: Sequence[bytes]) -> None:
        shard = int(queue.removeprefix("events."))
        for message in messages:
            await self._send(shard, decode_packet(message).events)


def packing(send: Send, *, shards: int = 1, answer_s: float = 5, linger_s: float = 0.0) -> Packer:
    """Return a packer that lets packets through."""
    packer = Packer(_Wire(send), Telemetry(), shards=shards, answer_s=answer_s, linger_s=linger_s)
    packer._is_admitted = True
    return packer

"""Outcomes that senders of this process wait for, each at an address of its own."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from typing import NamedTuple

import msgspec

from jobwire.actors.transports.base import Transport
from jobwire.schemas.addresses import replies_topic
from jobwire.schemas.outcomes import Outcome

_decoder = msgspec.msgpack.Decoder(Outcome)


class PendingOutcome(NamedTuple):
    """An outcome that is waited for, and the address that it is sent to."""

    address: str
    outcome: asyncio.Future[Outcome]


class ReplyInbox:
    """
    Receives the outcomes of this process's events and hands each to its sender.

    Each sender has an address of its own: two that send different payloads under one id at the same
    moment get different outcomes.
    """

    def __init__(self) -> None:
        """Take an address that no other process has."""
        self._base = f"{replies_topic(secrets.token_hex(8))}."
        self._numbers = itertools.count()
        self._waiting: dict[str, asyncio.Future[Outcome]] = {}

    async def start(self, transport: Transport) -> None:
        """Begin to receive."""
        await transport.listen(self._base + "*", self._on_message)

    def expect(self) -> PendingOutcome:
        """Return an address and the outcome that will arrive there; `forget` it in the end."""
        address = self._base + str(next(self._numbers))
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[address] = outcome
        return PendingOutcome(address, outcome)

    def forget(self, reply: PendingOutcome) -> None:
        """Wait no longer; may be called twice."""
        self._waiting.pop(reply.address, None)

    def _on_message(self, address: str, message: bytes) -> None:
        waiting = self._waiting.get(address)
        if waiting is not None and not waiting.done():
            waiting.set_result(_decoder.decode(message))

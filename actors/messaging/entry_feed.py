"""
The entries of each commit, as they are broadcast: published once, decoded once in each process.

A follower gets the entries that are committed from then on. A follower that may have
missed some is told so, and reads the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import msgspec
import structlog

from jobwire.actors.stores.base import Positioned
from jobwire.actors.transports.base import ConsumerHandle, Transport
from jobwire.schemas.addresses import ENTRIES

_log = structlog.get_logger()
_decoder = msgspec.msgpack.Decoder(list[Positioned])
_encode = msgspec.msgpack.Encoder().encode


async def broadcast_entries(transport: Transport, entries: Sequence[Positioned]) -> None:
    """
    Broadcast what a commit has stored.

    Raises:
        Unavailable: nobody was told.

    """
    await transport.broadcast(ENTRIES, _encode(entries))


class Follower(Protocol):
    """Somebody who follows entries; called in order, must not block."""

    def wants(self, message: bytes) -> bool:
        """Return whether a message is to be decoded for this follower."""

    def on_entries(self, entries: Sequence[Positioned]) -> None:
        """Take the entries of one commit."""

    def on_missed(self) -> None:
        """Note that entries may have been missed."""


class EntryFeed:
    """Listens for all followers of a process, as long as there are any."""

    def __init__(self, transport: Transport) -> None:
        """Listen on a transport."""
        self._transport = transport
        self._followers: list[Follower] = []
        self._subscription: ConsumerHandle | None = None
        self._changing = asyncio.Lock()

    async def follow(self, follower: Follower) -> ConsumerHandle:
        """Hand entries to a follower from now on, until the handle is closed."""
        self._followers.append(follower)
        try:
            async with self._changing:
                if self._subscription is None:
                    self._subscription = await self._transport.listen(
                        ENTRIES, self._on_message, self._on_missed
                    )
        except BaseException:
            self._followers.remove(follower)
            raise
        return _Following(self, follower)

    async def leave(self, follower: Follower) -> None:
        """Hand nothing more to a follower; may be called twice."""
        if follower in self._followers:
            self._followers.remove(follower)
        async with self._changing:
            if not self._followers and self._subscription is not None:
                subscription, self._subscription = self._subscription, None
                await subscription.close()

    def _on_message(self, _topic: str, message: bytes) -> None:
        wanting = [each for each in self._followers if each.wants(message)]
        if not wanting:
            return
        try:
            entries = _decoder.decode(message)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            _log.error("entries_not_read", error=str(error))
            self._on_missed()
            return
        for follower in wanting:
            try:
                follower.on_entries(entries)
            except Exception:  # noqa: BLE001 - logged; other followers go on
                _log.exception("follower_failed", entries=len(entries))
                follower.on_missed()

    def _on_missed(self) -> None:
        for follower in self._followers:
            follower.on_missed()


class _Following:
    """One follower's part of a feed."""

    def __init__(self, feed: EntryFeed, follower: Follower) -> None:
        self._feed = feed
        self._follower = follower

    async def close(self) -> None:
        await self._feed.leave(self._follower)

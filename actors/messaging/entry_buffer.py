"""What one follower of the entries has not taken yet: at most so much of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from jobwire.actors.stores.base import Positioned

Item = TypeVar("Item")


class EntryBuffer(Generic[Item]):
    """
    Keeps for each entry what its reader needs, until it is taken.

    When too many wait, or the bus may have lost something, the buffer is emptied and marked as
    behind: its reader then reads the store, and says so with `catch_up`. One without a store to
    read is told the newest: `drops_oldest`.
    """

    def __init__(
        self,
        pick: Callable[[Positioned], Item | None],
        most: int,
        *,
        mark: bytes = b"",
        drops_oldest: bool = False,
    ) -> None:
        """
        Keep at most `most` items.

        Args:
            pick: makes an item of an entry; None: the entry is of no interest.
            most: how many items may wait.
            mark: bytes that every message with an entry of interest contains; others are not
                decoded for this buffer.
            drops_oldest: what to do when there are more: drop the oldest, or fall behind.

        """
        self.is_behind = False
        self.dropped = 0
        """Items that made room for newer ones."""
        self._pick = pick
        self._most = most
        self._mark = mark
        self._drops_oldest = drops_oldest
        self._waiting: deque[Item] = deque()
        self._filled = asyncio.Event()

    def wants(self, message: bytes) -> bool:
        """Return whether a message may hold entries of interest."""
        return self._mark in message

    def on_entries(self, entries: Sequence[Positioned]) -> None:
        """Keep what is of interest; while the reader is behind, nothing is."""
        if self.is_behind:
            return
        picked = [item for each in entries if (item := self._pick(each)) is not None]
        if not picked:
            return
        self._waiting += picked
        self._filled.set()
        if len(self._waiting) <= self._most:
            return
        if not self._drops_oldest:
            self.on_missed()
        while len(self._waiting) > self._most:
            self._waiting.popleft()
            self.dropped += 1

    def on_missed(self) -> None:
        """Make the reader read the store: entries may have been missed."""
        if self._drops_oldest:
            return
        self._waiting.clear()
        self.is_behind = True
        self._filled.set()

    def catch_up(self) -> None:
        """Keep entries again: the reader begins to read the store."""
        self.is_behind = False
        self._settle()

    async def wait(self, timeout_s: float | None = None) -> None:
        """Return when something waits or the reader is behind, or when the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._filled.wait()
        except TimeoutError:
            pass

    def take(self, most: int | None = None) -> list[Item]:
        """Take the oldest items, at most `most` of them."""
        count = len(self._waiting) if most is None else min(most, len(self._waiting))
        taken = [self._waiting.popleft() for _ in range(count)]
        self._settle()
        return taken

    def put_back(self, item: Item) -> None:
        """Let the item that was taken last wait again, before all others."""
        self._waiting.appendleft(item)
        self._filled.set()

    def _settle(self) -> None:
        if not self._waiting and not self.is_behind:
            self._filled.clear()

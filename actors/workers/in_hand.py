"""What a worker has in hand: each command once, and one step at a time for each job."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

from jobwire.schemas.commands import Command
from jobwire.schemas.identifiers import EventId, JobId

_Key = tuple[JobId, EventId, int]


class InHand:
    """The commands that a worker carries out or keeps waiting, and the locks of their jobs."""

    def __init__(self) -> None:
        """Begin with none."""
        self._keys: set[_Key] = set()
        self._locks: WeakValueDictionary[JobId, asyncio.Lock] = WeakValueDictionary()

    def __len__(self) -> int:
        """Count the commands."""
        return len(self._keys)

    def __contains__(self, command: Command) -> bool:
        """Return whether a command is in hand, however often it was published."""
        return _key(command) in self._keys

    def add(self, command: Command) -> bool:
        """Take a command into hand; False: it is in hand already."""
        is_new = command not in self
        self._keys.add(_key(command))
        return is_new

    def discard(self, command: Command) -> None:
        """Let a command go; when it is published again, it may be taken again."""
        self._keys.discard(_key(command))

    def lock(self, command: Command) -> asyncio.Lock:
        """Return the lock of a command's job; it exists as long as somebody holds it."""
        return self._locks.setdefault(command.job, asyncio.Lock())


def _key(command: Command) -> _Key:
    return command.job, command.entry, command.attempt

"""
Who starts next (pure): commands that wait for cores, and the cores that are free.

The job whose turn it is waits for its cores; smaller ones do not overtake it, or a large one would
wait for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from jobwire.actors.workers.fair_queue import FairQueue
from jobwire.schemas.commands import Command


class Slots:
    """The cores of a site; one that has a queue of its own has as many as anybody asks for."""

    def __init__(self, cores: int | None) -> None:
        """Share out `cores`; None: without limit."""
        self._free = cores
        self._waiting = FairQueue(by_priority=True)
        self._expected: set[Command] = set()

    def __len__(self) -> int:
        """Count the commands that wait."""
        return len(self._waiting)

    def wait(self, command: Command) -> None:
        """Let a command wait for its cores."""
        self._waiting.put(command)

    def expect(self, command: Command) -> None:
        """Let nothing start until it is known whether this command's job runs already."""
        self._expected.add(command)

    def settle(self, command: Command) -> None:
        """Note that this is known: the cores of what runs are taken. May be called twice."""
        self._expected.discard(command)

    def take(self, cores: int) -> None:
        """Take cores for attempts that run already, even beyond the limit."""
        if self._free is not None:
            self._free -= cores

    def give_back(self, cores: int) -> None:
        """Release cores."""
        if self._free is not None:
            self._free += cores

    def blocked(self) -> Command | None:
        """Return the command whose turn it is and whose cores are not free."""
        return self._waiting.head()

    def withdraw(self, command: Command) -> None:
        """Let the command whose turn it is go without: nobody awaits it any more."""
        if self.blocked() == command:
            self._waiting.pop()

    def late(self, now: datetime) -> list[Command]:
        """Remove and return the commands that should have started by now."""
        return self._waiting.remove(lambda each: each.start_by is not None and each.start_by < now)

    def ready(self) -> Iterator[Command]:
        """Yield the commands whose turn has come, each with its cores taken."""
        while (command := self._waiting.head()) is not None and not self._expected:
            if self._free is not None and command.cores > self._free:
                return
            self._waiting.pop()
            self.take(command.cores)
            yield command

"""
Who starts next (pure): commands that wait for cores, and the cores that are free.

Owners take turns, so nobody's thousand jobs keep another owner's one waiting. Among the jobs of an
owner the higher priority goes first, then the one that came first. The job whose turn it is waits
for its cores; smaller ones do not overtake it, or a large one would wait for ever.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from datetime import datetime

from jobwire.schemas.commands import Command


class Slots:
    """The cores of a site; one that has a queue of its own has as many as anybody asks for."""

    def __init__(self, cores: int | None) -> None:
        """Share out `cores`; None: without limit."""
        self._free = cores
        self._numbers = iter(range(2**62))
        self._waiting: dict[str, list[tuple[int, int, Command]]] = {}
        self._turns: deque[str] = deque()
        self._expected: set[Command] = set()

    def __len__(self) -> int:
        """Count the commands that wait."""
        return sum(map(len, self._waiting.values()))

    def wait(self, command: Command) -> None:
        """Let a command wait for its cores."""
        if command.owner not in self._waiting:
            self._waiting[command.owner] = []
            self._turns.append(command.owner)
        item = (-command.priority, next(self._numbers), command)
        heapq.heappush(self._waiting[command.owner], item)

    def expect(self, command: Command) -> None:
        """Let nothing start until it is known whether this command's job runs already."""
        self._expected.add(command)

    def settle(self, command: Command) -> None:
        """Say that this is known: the cores of what runs are taken. May be said more than once."""
        self._expected.discard(command)

    def take(self, cores: int) -> None:
        """Take cores for what runs already, also when there are not so many."""
        if self._free is not None:
            self._free -= cores

    def give_back(self, cores: int) -> None:
        """Give cores back."""
        if self._free is not None:
            self._free += cores

    def blocked(self) -> Command | None:
        """Return the command whose turn it is and whose cores are not free."""
        return self._waiting[self._turns[0]][0][2] if self._turns else None

    def withdraw(self, command: Command) -> None:
        """Let the command whose turn it is go without: nobody awaits it any more."""
        if self.blocked() == command:
            self._pop()

    def late(self, now: datetime) -> list[Command]:
        """Take out the commands that should have started by now, and give them."""
        late = [
            item[2]
            for waiting in self._waiting.values()
            for item in waiting
            if item[2].start_by is not None and item[2].start_by < now
        ]
        if late:
            gone = set(late)
            left = {
                owner: [item for item in waiting if item[2] not in gone]
                for owner, waiting in self._waiting.items()
            }
            self._waiting = {owner: waiting for owner, waiting in left.items() if waiting}
            self._turns = deque(owner for owner in self._turns if owner in self._waiting)
            for waiting in self._waiting.values():
                heapq.heapify(waiting)
        return late

    def ready(self) -> Iterator[Command]:
        """Yield the commands whose turn has come, each with its cores taken."""
        while self._turns and not self._expected:
            command = self._waiting[self._turns[0]][0][2]
            if self._free is not None and command.cores > self._free:
                return
            self._pop()
            self.take(command.cores)
            yield command

    def _pop(self) -> None:
        """Take the command whose turn it is out, and let the next owner have a turn."""
        owner = self._turns.popleft()
        heapq.heappop(self._waiting[owner])
        if self._waiting[owner]:
            self._turns.append(owner)
        else:
            del self._waiting[owner]

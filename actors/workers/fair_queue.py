"""
Commands that wait for a worker (pure): owners take turns.

So nobody's thousand commands keep another owner's one waiting. Among the commands of an owner the
one that came first goes first; where priorities count, the one with the highest.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from itertools import count

from jobwire.schemas.commands import Command


class FairQueue:
    """Commands that wait, each owner's in an order of their own."""

    def __init__(self, *, by_priority: bool) -> None:
        """Begin with none."""
        self._by_priority = by_priority
        self._numbers = count()
        self._waiting: dict[str, list[tuple[int, int, Command]]] = {}
        self._turns: deque[str] = deque()

    def __len__(self) -> int:
        """Count the commands that wait."""
        return sum(map(len, self._waiting.values()))

    def put(self, command: Command) -> None:
        """Add a command; an owner who has none yet comes behind the others."""
        if command.owner not in self._waiting:
            self._waiting[command.owner] = []
            self._turns.append(command.owner)
        rank = -command.priority if self._by_priority else 0
        heapq.heappush(self._waiting[command.owner], (rank, next(self._numbers), command))

    def head(self) -> Command | None:
        """Return the command whose turn it is."""
        return self._waiting[self._turns[0]][0][2] if self._turns else None

    def pop(self) -> Command:
        """
        Remove and return the command whose turn it is; the next turn is the next owner's.

        Raises:
            LookupError: none waits.

        """
        if not self._turns:
            raise LookupError("no command waits")
        owner = self._turns.popleft()
        _, _, command = heapq.heappop(self._waiting[owner])
        if self._waiting[owner]:
            self._turns.append(owner)
        else:
            del self._waiting[owner]
        return command

    def remove(self, is_meant: Callable[[Command], bool]) -> list[Command]:
        """Remove and return some commands; the others keep their order and their turns."""
        removed = []
        for owner, waiting in list(self._waiting.items()):
            found = [item for item in waiting if is_meant(item[2])]
            if not found:
                continue
            removed += [command for _, _, command in found]
            left = [item for item in waiting if not is_meant(item[2])]
            heapq.heapify(left)
            if left:
                self._waiting[owner] = left
            else:
                del self._waiting[owner]
                self._turns.remove(owner)
        return removed

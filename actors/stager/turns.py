"""
Whose command comes next (pure): owners take turns, so nobody's many keep another's one waiting.

Among the commands of an owner the one that came first goes first.
"""

from __future__ import annotations

from collections import deque

from jobwire.schemas.commands import Command


class Turns:
    """Commands that wait for a worker."""

    def __init__(self) -> None:
        """Begin with none."""
        self._waiting: dict[str, deque[Command]] = {}
        """In the order of turns: the owner whose turn is next stands first."""

    def __len__(self) -> int:
        """Count the commands that wait."""
        return sum(map(len, self._waiting.values()))

    def wait(self, command: Command) -> None:
        """Let a command wait; an owner who has none yet comes behind the others."""
        self._waiting.setdefault(command.owner, deque()).append(command)

    def take(self) -> Command:
        """
        Take the command whose turn it is; the next turn is the next owner's.

        Raises:
            LookupError: none waits.

        """
        owner = next(iter(self._waiting), None)
        if owner is None:
            raise LookupError("no command waits")
        commands = self._waiting.pop(owner)
        command = commands.popleft()
        if commands:
            self._waiting[owner] = commands
        return command

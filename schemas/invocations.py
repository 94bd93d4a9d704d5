"""
What a job runs: one record for each way to say it.

In a spec the name of a field tells which one it is: `argv` is the only one so far. Another one is a
record here, a member of `Invocation`, and a field of `Spec` that the record is made of.
"""

from __future__ import annotations

import shlex
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from jobwire.schemas.errors import Invalid
from jobwire.schemas.releases import FIRST_LEVEL

Argument = Annotated[str, Meta(max_length=131_000)]
"""One argument, at most what Linux passes as one; NUL cannot be part of it."""

ArgumentVector = Annotated[tuple[Argument, ...], Meta(min_length=1, max_length=4096)]


class Argv(Struct, frozen=True, tag="argv"):
    """A program and its arguments; they reach it byte for byte, and no shell reads them."""

    argv: ArgumentVector

    level: ClassVar[int] = FIRST_LEVEL
    """The level from which on releases can read it."""

    @property
    def program(self) -> str:
        """The program, as it is looked for."""
        return self.argv[0]

    def shown(self) -> str:
        """Return it as somebody would type it."""
        return shlex.join(self.argv)

    def size_bytes(self) -> int:
        """Return how much of the room for a process's arguments it takes."""
        return sum(len(argument.encode()) + 9 for argument in self.argv)

    def check(self, pointer: str) -> None:
        """
        Refuse what could never be started; `pointer` is that of the spec.

        Raises:
            Invalid: the pointer names the argument.

        """
        if not self.argv[0]:
            raise Invalid("the first argument must be the program", pointer=f"{pointer}/argv/0")
        for index, argument in enumerate(self.argv):
            if "\0" in argument:
                raise Invalid("an argument must not contain NUL", pointer=f"{pointer}/argv/{index}")


Invocation = Argv
"""What a job runs, whichever way it was said."""

"""One line at the bottom of a terminal that stays below what a job writes there."""

from __future__ import annotations

import asyncio
import sys
from typing import BinaryIO

from rich.console import Console
from rich.text import Text

_ERASE = b"\r\x1b[2K"


class StatusLine:
    """Draws a line, takes it away before anything else is written, and draws it again."""

    def __init__(self, *, is_wanted: bool = True) -> None:
        """Draw on standard error, where both it and standard output are a terminal."""
        self._console = Console(stderr=True, highlight=False)
        self.is_terminal = sys.stdout.isatty() and self._console.is_terminal
        self.is_shown = is_wanted and self.is_terminal and not self._console.is_dumb_terminal
        self._is_drawn = False
        #: Whether what a job wrote last ended its line; a line of its own is not broken into.
        self._is_at_start = True
        self._asides: list[str] = []
        self._lock = asyncio.Lock()

    async def write(self, stream: BinaryIO, chunk: bytes) -> None:
        """Write what a job wrote, every byte as it is; a slow reader stops nobody else."""
        async with self._lock:
            self._erase()
            await asyncio.to_thread(_write, stream, chunk)
            self._is_at_start = chunk.endswith(b"\n")

    async def say(self, text: Text) -> None:
        """Write a line of our own."""
        async with self._lock:
            self._begin_line()
            self._console.print(text, soft_wrap=True)

    def say_soon(self, text: str) -> None:
        """Write a line of our own before the line is drawn next."""
        self._asides.append(text)

    async def draw(self, text: Text) -> None:
        """Show the line, in the place of what it was before."""
        if not self.is_shown:
            return
        async with self._lock:
            self._say_asides()
            if not self._is_at_start:
                return
            self._erase()
            text.truncate(self._console.width - 1, overflow="ellipsis")
            self._console.print(text, end="", soft_wrap=True)
            sys.stderr.flush()
            self._is_drawn = True

    async def close(self) -> None:
        """Take the line away for good."""
        async with self._lock:
            self._begin_line()
            self._say_asides()
            self.is_shown = False

    def _say_asides(self) -> None:
        for each in self._asides:
            self._begin_line()
            self._console.print(Text(each, "dim"), soft_wrap=True)
        self._asides.clear()

    def _begin_line(self) -> None:
        self._erase()
        if self.is_shown and not self._is_at_start:
            self._console.print()
        self._is_at_start = True

    def _erase(self) -> None:
        if self._is_drawn:
            _write(sys.stderr.buffer, _ERASE)
            self._is_drawn = False


def _write(stream: BinaryIO, chunk: bytes) -> None:
    stream.write(chunk)
    stream.flush()

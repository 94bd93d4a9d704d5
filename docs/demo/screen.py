"""What a person sees: numbered steps, a check mark for each thing that was checked."""

from __future__ import annotations

import threading
from typing import Any

from rich.console import Console
from rich.text import Text

_NAME_WIDTH = 10
#: Of an event's data only this is shown.
_TELLING = ("status", "appId", "percent", "words", "most_frequent", "times", "cause", "detail")


class Failed(Exception):
    """A check did not hold."""


class Screen:
    """Writes calmly: colours on a terminal, plain text in a pipe."""

    def __init__(self) -> None:
        """Write to standard output."""
        self._console = Console(highlight=False, soft_wrap=True)
        self._lock = threading.Lock()
        self._steps = 0
        self.checks = 0

    def title(self, text: str) -> None:
        """Begin."""
        self._print(Text(text, "bold"))

    def step(self, text: str) -> None:
        """Begin the next step."""
        self._steps += 1
        self._print(Text.assemble("\n", (f"{self._steps}. ", "bold cyan"), (text, "bold")))

    def check(self, text: str, seen: object, expected: object) -> None:
        """
        Check one thing and say so.

        Raises:
            Failed: something else was seen.

        """
        self.claim(text, holds=seen == expected, seen=f"{seen!r}, not {expected!r}")

    def claim(self, text: str, *, holds: bool, seen: object) -> None:
        """
        Print that something was found to be so.

        Raises:
            Failed: it is not.

        """
        if not holds:
            raise Failed(f"{text}: saw {seen}")
        self.checks += 1
        self._print(Text.assemble("   ", ("✔ ", "green"), text))

    def say(self, text: str) -> None:
        """Explain."""
        self._print(Text(f"     {text}", "dim"))

    def entry(self, name: str, entry: Any) -> None:
        """Show an entry that came on the stream."""
        applied = "" if entry["applied"] else f"   kept, not applied: {entry['reason']}"
        self._print(
            Text.assemble(
                (f"   │ {entry['received'][11:23]}  ", "dim"),
                f"{name:<{_NAME_WIDTH}} {entry['name']:<8} ",
                (f"{entry['state']:<10}", _colour(entry)),
                (f"{_brief(entry['data'])}{applied}", "dim"),
            )
        )

    def block(self, text: str) -> None:
        """Show what a command printed."""
        for line in text.rstrip().splitlines():
            self._print(Text.assemble(("   │ ", "dim"), Text.from_ansi(line)))

    def failure(self, text: str) -> None:
        """Print which check failed."""
        self._print(Text.assemble("   ", ("✘ ", "bold red"), text))

    def _print(self, text: Text) -> None:
        with self._lock:
            self._console.print(text)


def _colour(entry: Any) -> str:
    return {"success": "green", "failure": "red"}.get(entry["outcome"], "cyan")


def _brief(data: Any) -> str:
    if not isinstance(data, dict):
        return ""
    return "".join(f"  {name}={data[name]}" for name in _TELLING if name in data)

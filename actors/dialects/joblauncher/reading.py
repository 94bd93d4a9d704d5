"""What was read so far of a `joblauncher.yml` that becomes settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

Verdict = Literal["taken", "changed", "refused"]
Tree = Mapping[str, Any]


class Remark(NamedTuple):
    """What became of one key."""

    key: str
    verdict: Verdict
    why: str


def table_of(value: Any) -> Tree:
    """Return the value if it is a table, else an empty table."""
    return value if isinstance(value, Mapping) else {}


class Reading:
    """The settings that were found, and what was said of each key."""

    def __init__(self) -> None:
        """Begin with nothing but the dialect itself."""
        self.remarks: list[Remark] = []
        self.top: dict[str, Any] = {}
        self.local: dict[str, Any] = {}
        self.dialect: dict[str, Any] = {"enabled": True}
        self.launchers: dict[str, str] = {}
        self.credentials: dict[str, list[dict[str, Any]]] = {"macs": [], "basic": []}

    def say(self, key: str, verdict: Verdict, why: str) -> None:
        """Note what became of a key."""
        self.remarks.append(Remark(key, verdict, why))

    def table(self, key: str, value: Any) -> Tree:
        """Return the value if it is a table; else refuse it and return an empty table."""
        if isinstance(value, Mapping):
            return value
        self.say(key, "refused", "a table of keys is expected")
        return {}

    def several(self, key: str, value: Any) -> Sequence[Any]:
        """Return the value if it is a list; else refuse it and return an empty list."""
        if isinstance(value, list | tuple):
            return value
        self.say(key, "refused", "a list is expected")
        return ()

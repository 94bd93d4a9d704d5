"""The files that one report names: as many as fit, and of the others how many they are."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

import msgspec

#: Most bytes of text that the names of one report have together; an entry of a job's history stays
#: small however long its paths are.
MOST_BYTES: Final = 32_768

Name = TypeVar("Name")


class Names(Generic[Name]):
    """What a report says of files one by one, in order, up to the first that has no room."""

    def __init__(self) -> None:
        """Begin with no name."""
        self.named: list[Name] = []
        self.more = 0
        """Files that are not named."""
        self._room = MOST_BYTES

    def add(self, name: Name) -> None:
        """Name a file, or count it if there is no room; `name` is what the report has of it."""
        if not self.more:
            size = len(msgspec.json.encode(name)) + 1
            if size <= self._room:
                self._room -= size
                self.named.append(name)
                return
        self.more += 1

"""The files that one report names: as many as fit, and of the others how many they are."""

from __future__ import annotations

from typing import Any

import msgspec

#: Most bytes of text that the names of one report have together; an entry of a job's history stays
#: small however long its paths are.
MOST_BYTES = 32_768


class Names:
    """What is said of files one by one, in their order, up to the first that has no room."""

    def __init__(self) -> None:
        """Begin with no name."""
        self.named: list[Any] = []
        self.more = 0
        """Files that are not named."""
        self._room = MOST_BYTES

    def add(self, entry: object) -> None:
        """Name a file, or count it if there is no room; `entry` is anything that JSON can say."""
        if not self.more:
            size = len(msgspec.json.encode(entry)) + 1
            if size <= self._room:
                self._room -= size
                self.named.append(entry)
                return
        self.more += 1

    def said(self, word: str) -> dict[str, Any]:
        """Return a report's data: names under `word`, the count of others under `word_more`."""
        more = {f"{word}_more": self.more} if self.more else {}
        return {word: self.named, **more}

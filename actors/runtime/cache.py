"""A cache of limited size that evicts the least recently used value."""

from __future__ import annotations

from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class BoundedCache(Generic[Key, Value]):
    """Values by their keys; reading or writing one makes it the last to be evicted."""

    def __init__(self, most: int) -> None:
        """Hold at most `most` values."""
        self._most = most
        self._values: dict[Key, Value] = {}

    def __len__(self) -> int:
        """Return how many values are held."""
        return len(self._values)

    def __contains__(self, key: Key) -> bool:
        """Return whether there is a value."""
        return key in self._values

    def __getitem__(self, key: Key) -> Value:
        """Return a value that is there."""
        value = self._values.pop(key)
        self._values[key] = value
        return value

    def __setitem__(self, key: Key, value: Value) -> None:
        """Hold a value; one that is held under the key already is replaced."""
        self._values.pop(key, None)
        if len(self._values) >= self._most:
            del self._values[next(iter(self._values))]
        self._values[key] = value

    def get(self, key: Key) -> Value | None:
        """Return a value; None: it is not there."""
        return self[key] if key in self._values else None

    def pop(self, key: Key) -> Value | None:
        """Remove a value and return it; None: it is not there."""
        return self._values.pop(key, None)

    def clear(self) -> None:
        """Forget all."""
        self._values.clear()

"""Records in which a dialect keeps its state, each of one owner."""

from __future__ import annotations

from collections.abc import Collection

from jobwire.actors.stores.base import Record, Store

__all__ = ["DialectRecords", "OwnedRecords", "Record"]


class OwnedRecords:
    """The records of one kind. What a write has returned for is on disk."""

    def __init__(self, store: Store, kind: str) -> None:
        """Keep them in a store, under the name of their kind there."""
        self._store = store
        self._kind = kind

    async def put(self, record: Record, *, fresh: bool = False) -> bool:
        """Write a record; with `fresh` only where none is, and return whether it was written."""
        return await self._store.put(self._kind, record, fresh=fresh)

    async def swap(self, record: Record, expected: bytes) -> bool:
        """Write a record if its text is still the expected one, in one step; return whether."""
        return await self._store.swap(self._kind, record, expected)

    async def fetch(self, owner: str | None, key: str) -> Record | None:
        """Return one record; `owner` None is for look-ups that find out whose it is."""
        return await self._store.fetch(self._kind, owner, key)

    async def select(self, owner: str | None, after: str, limit: int) -> list[Record]:
        """Return records with a key above `after`, in the order of keys; None: of all owners."""
        return await self._store.select(self._kind, owner, after, limit)

    async def drop(self, owner: str, key: str) -> bool:
        """Remove a record; return whether it was there."""
        return await self._store.drop(self._kind, owner, key)


class DialectRecords:
    """All records of one dialect; another dialect's are out of its reach."""

    def __init__(self, store: Store, dialect: str, unprefixed: Collection[str] = ()) -> None:
        """Put the dialect's name before every kind but the `unprefixed` ones."""
        self._store = store
        self._dialect = dialect
        self._unprefixed = frozenset(unprefixed)

    def of(self, kind: str) -> OwnedRecords:
        """Return the records of a kind; a kind is named by the dialect as it likes."""
        stored = kind if kind in self._unprefixed else f"{self._dialect}.{kind}"
        return OwnedRecords(self._store, stored)

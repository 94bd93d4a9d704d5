"""
Documents in an order without gaps, which no writer can go back in.

The next number of each order is remembered. The unique index decides: a writer that was paused and
wakes up late meets a number that is taken, looks which is the last one, and goes on behind it. So
a reader that has read up to a number never misses a smaller one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from pymongo import DESCENDING
from pymongo.read_concern import ReadConcern

from jobwire.actors.stores.mongodb.client import Collection, Document, insert
from jobwire.schemas.errors import Unavailable

#: Orders whose next number is remembered.
_MOST_REMEMBERED: Final = 100_000
#: How often other writers may be quicker before the commit is given up.
_MOST_TRIES: Final = 50

Order = tuple[object, ...]
"""The values that all documents of one order share."""


class PositionSequence:
    """Appends documents to a collection, each at the end of its order."""

    def __init__(
        self, collection: Collection, fields: Sequence[str], kept: Collection | None = None
    ) -> None:
        """
        Let `position` count within the documents that are equal in `fields`.

        Where documents are removed from the end, `kept` says up to where numbers were used.
        """
        self._collection = collection
        # Numbers are looked for among all that is written, as the unique index does.
        self._written = collection.with_options(read_concern=ReadConcern("local"))
        self._fields = tuple(fields)
        self._kept = None if kept is None else kept.with_options(read_concern=ReadConcern("local"))
        self._next: dict[Order, int] = {}
        # Two commits of one process must not be inserted in another order than numbered.
        self._turn = asyncio.Lock()

    async def append(self, documents: Sequence[Document]) -> int:
        """
        Insert documents in order, and give each its number in place.

        Returns:
            How many were stored: all, or those before the first whose id or seq is taken.

        """
        stored = 0
        async with self._turn:
            for _ in range(_MOST_TRIES):
                taken = await self._insert(documents[stored:])
                if taken is None:
                    return len(documents)
                stored += int(taken["index"])
                if "position" not in taken["keyPattern"]:
                    return stored
        detail = "other writers took the same numbers repeatedly; the rest was not stored"
        raise Unavailable(detail, code="store_unavailable", retry_after_s=1)

    async def last(self, order: Order) -> int:
        """Return the largest number that an order has ever used; 0: none."""
        newest = await self._written.find_one(
            dict(zip(self._fields, order, strict=True)),
            {"_id": 0, "position": 1},
            sort=[("position", DESCENDING)],
            hint="by_position",
        )
        used = int(newest["position"]) if newest else 0
        if self._kept is None:
            return used
        # Asked last: what is removed is noted there before.
        kept = await self._kept.find_one({"_id": order_key(order)})
        return max(used, int(kept["last"])) if kept else used

    async def _insert(self, documents: Sequence[Document]) -> Document | None:
        """Insert documents with their numbers; return the error of the first that failed."""
        orders = [tuple(each[field] for field in self._fields) for each in documents]
        if len(self._next) > _MOST_REMEMBERED:
            self._next.clear()
        await self._load({*orders} - self._next.keys())
        numbers = self._next
        for document, order in zip(documents, orders, strict=True):
            document["position"] = numbers[order]
            numbers[order] += 1
        try:
            taken = await insert(self._collection, documents, ordered=True)
        except BaseException:
            # It may have been stored, or may still be.
            self._drop(orders)
            raise
        if not taken:
            return None
        self._drop(orders)
        return taken[0]

    async def _load(self, orders: set[Order]) -> None:
        found = await asyncio.gather(*map(self.last, orders))
        self._next |= {order: last + 1 for order, last in zip(orders, found, strict=True)}

    def _drop(self, orders: Sequence[Order]) -> None:
        for order in orders:
            self._next.pop(order, None)


def order_key(order: Order) -> str:
    """Return the id under which it is kept up to where the numbers of an order were used."""
    lane, owner = order
    return f"{lane} {owner}"

"""Lists that come in pages, read one page at a time as they are needed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from jobwire.actors.client.connection import Call, Connection

Item = TypeVar("Item")


class _Page(Struct, frozen=True):
    items: tuple[Raw, ...]
    next: str | None = None


async def items(
    connection: Connection, path: str, shape: type[Item], query: Mapping[str, str]
) -> AsyncIterator[Item]:
    """Give every item of a list, page after page."""
    cursor: str | None = None
    while True:
        asked = {**query, "cursor": cursor} if cursor else query
        reply = await connection.call(Call("GET", path, query=asked))
        page = reply.read(_Page)
        for item in page.items:
            yield msgspec.json.decode(item, type=shape)
        cursor = page.next
        if cursor is None:
            return

"""Lists that come in pages, read one page at a time as they are needed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from jobwire.actors.client.connection import Call, Connection

Item = TypeVar("Item")


class _ListPage(Struct, frozen=True):
    items: tuple[Raw, ...]
    next: str | None = None


async def items(
    connection: Connection, path: str, shape: type[Item], query: Mapping[str, str]
) -> AsyncGenerator[Item, None]:
    """Yield every item of a list, page after page."""
    cursor: str | None = None
    while True:
        asked = {**query, "cursor": cursor} if cursor else query
        reply = await connection.call(Call("GET", path, query=asked))
        page = reply.read(_ListPage)
        for item in page.items:
            yield msgspec.json.decode(item, type=shape)
        cursor = page.next
        if cursor is None:
            return

"""What every group of calls of the SDK is made of: the connection, answers, and pages."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from jobwire.actors.client.connection import Call, Connection
from jobwire.actors.client.paging import items

Item = TypeVar("Item")

encode = msgspec.json.Encoder().encode


class Calls:
    """One group of calls; `Client` is all of them together on one connection."""

    _connection: Connection

    async def request(self, method: str, path: str, shape: type[Item], body: object = None) -> Item:
        """Send one request that has no call of its own here, such as to what a dialect adds."""
        call = Call(method, path, None if body is None else encode(body))
        return (await self._connection.call(call)).read(shape)

    def pages(self, path: str, shape: type[Item]) -> AsyncGenerator[Item, None]:
        """Yield all items of a list that has no call of its own here."""
        return self._pages(path, shape, {})

    async def _get(
        self, path: str, shape: type[Item], query: Mapping[str, str] | None = None
    ) -> Item:
        return (await self._connection.call(Call("GET", path, query=query))).read(shape)

    def _pages(
        self, path: str, shape: type[Item], query: Mapping[str, str]
    ) -> AsyncGenerator[Item, None]:
        return items(self._connection, path, shape, query)


def given(**fields: Any) -> dict[str, Any]:
    """Leave out what the caller did not name."""
    return {name: value for name, value in fields.items() if value is not None}


def job_path(job: str, *parts: str) -> str:
    """Return the path of a job, or of something of it; every part is quoted."""
    return "/v1/jobs/" + "/".join(quote(text, safe="") for text in (job.lower(), *parts) if text)

"""JSON answers that have no form of their own, and pages of lists."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from jobwire.actors.dialects.problems import encode

_JSON = {"Content-Type": "application/json"}


def answer(
    content: object, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """Answer JSON."""
    return web.Response(
        body=encode(content), status=status, headers={**_JSON, **headers} if headers else _JSON
    )


def page(items: Sequence[object], cursor: str | None) -> web.Response:
    """Answer a page of a list."""
    return answer({"items": items, "next": cursor})

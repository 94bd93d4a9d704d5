"""Parameters of lists."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from aiohttp import web

from jobwire.schemas.codec import invalid

Query = TypeVar("Query")


def read_query(request: web.Request, shape: type[Query]) -> Query:
    """
    Read the query; what is not known is left unread, as everywhere in this language.

    Raises:
        Invalid: what is known says something that is not so.

    """
    values = {name: request.query.getone(name) for name in request.query}
    try:
        return msgspec.convert(values, shape, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error) from error

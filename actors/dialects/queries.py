"""Query strings as records: each parameter once, none unknown, values of the right kind."""

from __future__ import annotations

import difflib
from typing import TypeVar
from urllib.parse import unquote_to_bytes

import msgspec
from aiohttp import web
from msgspec import Struct

from jobwire.schemas.codec import invalid
from jobwire.schemas.errors import Invalid, Malformed

Query = TypeVar("Query", bound=Struct)


class NoQuery(Struct, frozen=True):
    """A route that takes no parameters."""


def read_query(request: web.Request, shape: type[Query]) -> Query:
    """
    Read the query string into a record.

    Raises:
        Malformed: a parameter is given twice, so that nobody can know which one is meant; or the
            text is not UTF-8, so that two different ones would read alike.
        Invalid: a parameter is unknown, missing or of the wrong kind.

    """
    _check_encoding(request.rel_url.raw_query_string)
    query = request.query
    values: dict[str, str] = {}
    known = shape.__struct_encode_fields__
    for name, value in query.items():
        if name in values:
            raise Malformed(
                f"the parameter {name!r} is given twice",
                code="repeated_parameter",
                pointer=f"/{name}",
            )
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = (
                f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(sorted(known))}"
            )
            raise Invalid(
                f"unknown parameter {name!r}; {hint}", pointer=f"/{name}", code="unknown_field"
            )
        values[name] = value
    try:
        return msgspec.convert(values, shape, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error) from error


def _check_encoding(raw_query: str) -> None:
    try:
        unquote_to_bytes(raw_query).decode()
    except UnicodeDecodeError as error:
        detail = f"the query string is not UTF-8: byte {error.start} cannot be decoded"
        raise Malformed(detail, code="bad_request") from error

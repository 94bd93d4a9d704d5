"""
Bodies: any JSON, however it is declared.

`curl --data` declares a form; if the body is JSON it is read as JSON all the same. Otherwise
the field `message` of the form is read.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import msgspec
from aiohttp import web

from jobwire.actors.dialects.request_guard import RequestGuard
from jobwire.schemas.codec import check_json, parse_json
from jobwire.schemas.errors import Malformed

_FORM = "application/x-www-form-urlencoded"
_BINARY = "application/octet-stream"
_MOST_FIELDS = 100


class Content(NamedTuple):
    """A body: its JSON text as it was sent, and what that says."""

    text: bytes
    """Empty: there is no body."""
    value: Any  # any JSON

    def field(self, name: str) -> bytes | None:
        """Return the text of one field of an object, as it was sent."""
        fields = msgspec.json.decode(self.text, type=dict[str, msgspec.Raw])
        return bytes(fields[name]) if name in fields else None


NOTHING = Content(b"", None)


async def read_content(request: web.Request, guard: RequestGuard, limit: int) -> Content:
    """
    Read a body.

    Raises:
        Malformed: it is no JSON, and no form with a `message`.
        TooLarge: it has more than `limit` bytes.

    """
    body = await guard.body(request, limit)
    kind = request.content_type if "Content-Type" in request.headers else ""
    if kind == _BINARY:
        return written({"base64": b64encode(body).decode()}) if body else NOTHING
    if not body.strip():
        return NOTHING
    try:
        return read_json(body)
    except Malformed as error:
        message = _of_form(body) if kind == _FORM and error.code == "invalid_json" else None
        if message is None:
            raise
    return _message(message)


def read_json(text: bytes) -> Content:
    """Read JSON text within the limits of its structure."""
    check_json(text)
    return Content(text, parse_json(text))


def written(value: object) -> Content:
    """Write JSON."""
    return Content(msgspec.json.encode(value), value)


def unwrapped(content: Content) -> Content | None:
    """Return what the field `message` of an object holds, also JSON inside of a text."""
    value = content.value
    if not isinstance(value, dict) or "message" not in value:
        return None
    inner = value["message"]
    return (
        _message(inner)
        if isinstance(inner, str)
        else Content(content.field("message") or b"", inner)
    )


def _message(text: str) -> Content:
    try:
        return read_json(text.encode())
    except (Malformed, UnicodeEncodeError):
        return written(text)


def _of_form(body: bytes) -> str | None:
    try:
        fields = parse_qs(body.decode("ascii"), errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError:
        return None
    found = fields.get("message")
    return found[0] if found else None

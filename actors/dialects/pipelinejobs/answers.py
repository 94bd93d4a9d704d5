"""The envelope around every answer, and what goes wrong in it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import Struct

from jobwire.schemas.errors import Invalid, JobwireError, Unauthorized

encode = msgspec.json.Encoder().encode

_JSON: Final = {"Content-Type": "application/json", "Cache-Control": "no-store"}


def _version() -> str:
    try:
        return version("jobwire")
    except PackageNotFoundError:
        return "unknown"


class Envelope(Struct, frozen=True, kw_only=True):
    """The envelope of every result; `status` is that of the request, not of the event in it."""

    status: str
    message: str
    version: str
    result: Any  # any JSON: each route has its own


def answer(result: object, message: str = "The request was successful") -> web.Response:
    """Answer 200 with a result."""
    said = Envelope(status="success", message=message, version=_VERSION, result=result)
    return web.Response(body=encode(said), headers=_JSON)


def status_of(error: JobwireError) -> int:
    """Return the status of an error: clients of this language know 400 for whatever is wrong."""
    return 400 if isinstance(error, Invalid) else error.status


def problem(error: JobwireError, result: object = None) -> web.Response:
    """Answer what went wrong."""
    headers = dict(_JSON)
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = 'Bearer realm="jobwire"'
    details = result if result is not None else {"code": error.code}
    said = Envelope(status="error", message=error.detail, version=_VERSION, result=details)
    return web.Response(body=encode(said), status=status_of(error), headers=headers)


_VERSION: Final = _version()

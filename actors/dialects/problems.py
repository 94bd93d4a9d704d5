"""Problem documents (RFC 9457), for every dialect whose clients expect no form of their own."""

from __future__ import annotations

import secrets

import msgspec
from aiohttp import web

from jobwire.schemas.errors import JobwireError, Unauthorized
from jobwire.schemas.views import Problem

encode = msgspec.json.Encoder().encode


def problem(error: JobwireError) -> web.Response:
    """Answer a problem document."""
    headers = {"Content-Type": "application/problem+json"}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = 'Bearer realm="jobwire"'
    return web.Response(body=encode(problem_document(error)), status=error.status, headers=headers)


def problem_document(error: JobwireError) -> Problem:
    """Write a problem document."""
    return Problem(
        type=f"urn:jobwire:problem:{error.code}",
        title=str(type(error).__doc__).strip().splitlines()[0].rstrip("."),
        status=error.status,
        detail=error.detail,
        code=error.code,
        request_id=secrets.token_hex(8),
        pointer=error.pointer,
        limit=error.limit,
    )

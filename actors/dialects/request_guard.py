"""What lets requests in: callers with keys, bodies within limits."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from aiohttp import web

from jobwire.actors.dialects.packing import check_coding, too_large, unpacked
from jobwire.actors.operations import Operations
from jobwire.actors.operations.keys import require
from jobwire.actors.runtime.quota import Quota
from jobwire.schemas.codec import check_json
from jobwire.schemas.errors import (
    Invalid,
    JobwireError,
    Malformed,
    Timeout,
    TooManyRequests,
    Unauthorized,
    UnsupportedMedia,
)
from jobwire.schemas.principals import Principal, Scope

#: In lower case: the scheme has no case (RFC 9110, 11.1).
_BEARER = "bearer "
_KEY_PREFIX = "jwk_"
#: Room is left in an event id (255) for what is put before the key.
_MOST_KEY_CHARACTERS = 200


class Credentials(NamedTuple):
    """What a request carries: an API key, or a job token, or neither."""

    api_key: str | None
    token: str | None


class RequestGuard:
    """Lets requests in: authenticates their callers and reads their bodies within the limits."""

    def __init__(self, operations: Operations, failures: Quota, request_s: float) -> None:
        """Look keys up through the operations; slow down addresses that keep failing."""
        self._keys = operations.keys
        self._failures = failures
        self._request_s = request_s

    async def caller(self, request: web.Request, scope: Scope) -> Principal:
        """
        Authenticate the caller by API key and check the scope.

        Raises:
            Unauthorized: no key, or not a valid one.
            Forbidden: the key lacks the scope.
            TooManyRequests: too many failed tries from this address.

        """
        api_key = credentials(request).api_key
        if api_key is None:
            raise self.failed(
                request,
                Unauthorized(
                    "send an API key as Authorization: Bearer jwk_...", code="key_missing"
                ),
            )
        principal = await self.principal(request, api_key)
        require(principal, scope)
        return principal

    async def principal(self, request: web.Request, api_key: str) -> Principal:
        """Authenticate an API key, whatever it may do."""
        self.slow_down(request)
        try:
            return await self._keys.authenticate(api_key)
        except Unauthorized as error:
            raise self.failed(request, error) from error

    def failed(self, request: web.Request, error: Unauthorized) -> JobwireError:
        """Count a failed try of an address; return the error to answer."""
        if self._failures.admit(request.remote or ""):
            return error
        return self._too_many()

    def slow_down(self, request: web.Request) -> None:
        """Refuse an address whose failed tries have used up their quota."""
        if self._failures.is_spent(request.remote or ""):
            raise self._too_many()

    def _too_many(self) -> TooManyRequests:
        detail = "too many requests with a wrong key or token from this address"
        return TooManyRequests(
            detail, code="too_many_failures", retry_after_s=self._failures.retry_after_s
        )

    async def body(self, request: web.Request, limit: int) -> bytes:
        """
        Read a whole body, inflated, of at most `limit` bytes.

        Raises:
            TooLarge: it is larger.
            Malformed: it cannot be unpacked.
            Timeout: it did not arrive in time.
            UnsupportedMedia: its content encoding is not supported.

        """
        coding = request.headers.get("Content-Encoding", "")
        check_coding(coding)
        if (request.content_length or 0) > limit:
            raise too_large(limit)
        try:
            if request.content.is_eof():
                body = await request.read()
            else:
                async with asyncio.timeout(self._request_s):
                    body = await request.read()
        except TimeoutError as error:
            raise Timeout(f"the body did not arrive within {self._request_s:g} s") from error
        except web.HTTPRequestEntityTooLarge as error:
            raise too_large(limit) from error
        except web.RequestPayloadError as error:
            detail = "the body does not match its chunked encoding"
            raise Malformed(detail, code="bad_request") from error
        if len(body) > limit:
            raise too_large(limit)
        return unpacked(body, coding, limit)

    async def json(self, request: web.Request, limit: int) -> bytes:
        """Read a JSON body: right content type, right size, within the structural limits."""
        if not is_json(request):
            detail = (
                "send the body as application/json, not "
                f"{request.headers.get('Content-Type') or 'without a type'!r}"
            )
            raise UnsupportedMedia(detail)
        body = await self.body(request, limit)
        check_json(body)
        return body


def credentials(request: web.Request) -> Credentials:
    """Read the Authorization header; an API key differs from a job token by its prefix."""
    header = request.headers.get("Authorization", "")
    if header[: len(_BEARER)].lower() != _BEARER:
        return Credentials(None, None)
    presented = header[len(_BEARER) :].strip()
    return (
        Credentials(presented, None)
        if presented.startswith(_KEY_PREFIX)
        else Credentials(None, presented)
    )


def is_json(request: web.Request) -> bool:
    """Return whether a body is declared as JSON."""
    kind = request.content_type if "Content-Type" in request.headers else ""
    return kind == "application/json" or kind.endswith("+json")


def idempotency_key_of(request: web.Request) -> str | None:
    """
    Read the Idempotency-Key header; None: it is missing.

    Quotes around it (a structured field) do not belong to it.

    Raises:
        Invalid: it is empty, too long, or not printable.

    """
    text = request.headers.get("Idempotency-Key")
    if text is None:
        return None
    key = text[1:-1] if len(text) > 1 and text.startswith('"') and text.endswith('"') else text
    if not 1 <= len(key) <= _MOST_KEY_CHARACTERS or not key.isprintable():
        raise Invalid(
            "an Idempotency-Key has 1 to 200 printable characters",
            pointer="Idempotency-Key",
            limit=_MOST_KEY_CHARACTERS,
        )
    return key

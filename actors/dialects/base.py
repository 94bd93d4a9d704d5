"""
The contract of a dialect, and what all of them share.

The door: bodies within limits, callers with keys. The mount: where a dialect answers.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Literal, NamedTuple, Protocol

from aiohttp import web
from yarl import URL

from jobwire.actors.dialects.packing import check_coding, too_large, unpacked
from jobwire.actors.operations import Operations
from jobwire.actors.operations.keys import require
from jobwire.actors.runtime.quota import Quota
from jobwire.schemas.codec import check_json
from jobwire.schemas.deliveries import Subscription
from jobwire.schemas.errors import (
    Invalid,
    JobwireError,
    Malformed,
    Timeout,
    TooManyRequests,
    Unauthorized,
    UnsupportedMedia,
)
from jobwire.schemas.jobs import Entry, Job
from jobwire.schemas.principals import Principal, Scope

#: In lower case: the scheme has no case (RFC 9110, 11.1).
_BEARER = "bearer "
_KEY_PREFIX = "jwk_"
#: Room is left in an event id (255) for what is put before the key.
_MOST_KEY_CHARACTERS = 200
#: A host and perhaps a port, as a URL has them.
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")


Missing = Callable[[], Awaitable[Sequence[str]]]
"""Names the parts that the service lacks now."""


class Notice(NamedTuple):
    """What a receiver is told of an entry, in the form that it expects."""

    body: bytes
    """Sent byte for byte with every try."""
    method: Literal["POST", "PUT"] = "POST"
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    """Sent beside those of Standard Webhooks, which every callback has."""
    signer: str = ""
    """The name of the `Signer` whose `Authorization` every try carries; empty: nobody's."""
    in_order: bool = False
    """Whether it waits for what came before it, unless the next try of that is far."""
    lenient: bool = False
    """
    Whether receivers never learned to answer well: then each answer counts as taken that does not
    ask for another try, which 401, 408, 425, 429 and all from 500 on do.
    """


class Signer(Protocol):
    """Gives callbacks the `Authorization` that their receivers ask for."""

    def authorization(self, method: str, url: URL, challenges: Sequence[str]) -> str | None:
        """
        Return the header for one request; None: it goes without.

        Args:
            method: of the request.
            url: where it goes.
            challenges: the `WWW-Authenticate` of the answer 401 that a request just got; none of
                them for the first request of a try.

        """


class Mount(NamedTuple):
    """Where the routes of a dialect stand."""

    prefix: str = ""
    """What their paths begin with; empty: nothing."""
    public_url: str = ""
    """Base of the URLs that are handed out there; empty: the address that the client used."""


#: What stands before the name of a dialect in the paths of its routes.
COMPAT = "/compat/"

#: Where the application that a request has reached is mounted.
MOUNT: web.AppKey[Mount] = web.AppKey("mount", Mount)


class Dialect(Protocol):
    """One HTTP language: its routes, and how it says that something went wrong."""

    name: str

    def routes(self) -> Iterable[web.RouteDef]:
        """Return the routes, relative to where the dialect is mounted."""

    def problem(self, error: JobwireError) -> web.Response:
        """Return what went wrong in the form that this dialect's clients expect."""


class ForeignDialect(Dialect, Protocol):
    """
    The HTTP language of another system, so that its clients move by changing a base URL.

    The gateway mounts it under `/compat/<name>` and, if the settings say so, alone at the root of
    a port of its own; its routes are the same at both. URLs that it hands out begin with
    `base_url(request)`.
    """

    async def callback(self, job: Job, entry: Entry, subscription: Subscription) -> Notice | None:
        """
        Return what a receiver is told of an entry; None: it is told nothing of this one.

        It is asked once for each entry and subscription of a job that was made in this dialect
        (`Jobs.create(..., dialect=name)`), also while the dialect is not enabled any more: what
        was promised is kept. The job may be later than the entry.
        """


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
        """Count a failed try of an address; give the error to answer."""
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
            UnsupportedMedia: its content encoding is none that can be read here.

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
    """Read the Authorization header; an API key is told from a job token by its head."""
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


def base_url(request: web.Request) -> str:
    """
    Return the base of the URLs that are handed out: below it the dialect's routes begin.

    Raises:
        Malformed: no public URL is set, and the Host header names no host.

    """
    mount = request.app[MOUNT]
    if mount.public_url:
        return mount.public_url
    if _HOST.fullmatch(request.host) is None:
        raise Malformed("the Host header does not name a host", code="bad_request", pointer="Host")
    return f"{request.scheme}://{request.host}{mount.prefix}"


def idempotency_key_of(request: web.Request) -> str | None:
    """
    Read the Idempotency-Key header; None: there is none.

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

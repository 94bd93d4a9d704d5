"""Authentication: by a key; and, where an owner is set, without one from this machine."""

from __future__ import annotations

import base64
from ipaddress import ip_address
from typing import Final

from aiohttp import web
from yarl import URL

from jobwire.actors.dialects.request_guard import RequestGuard
from jobwire.actors.operations.keys import require
from jobwire.schemas.errors import Forbidden, NotAcceptable, Unauthorized
from jobwire.schemas.principals import Principal, Scope

_BASIC: Final = "basic "
#: Scopes of a request without a key, where an owner is set: this dialect needs no others.
_OPEN: Final[frozenset[Scope]] = frozenset({"read", "jobs", "events"})
#: Weights by which a client says that it does not take something (RFC 9110, 12.4.2).
_NONE: Final = ("q=0", "q=0.0", "q=0.00", "q=0.000")
_ACCEPTED: Final = ("*/*", "application/*", "application/json")


class LauncherAuthenticator:
    """Authenticates requests."""

    def __init__(self, guard: RequestGuard, owner: str | None) -> None:
        """Require keys; a request without one counts as the `owner`'s, or is refused if None."""
        self._guard = guard
        self._owner = Principal(owner, _OPEN) if owner else None

    async def caller(self, request: web.Request, scope: Scope) -> Principal:
        """
        Return the principal of a request.

        A key is sent as Bearer, or as the password of Basic with any user name.

        Raises:
            Unauthorized: no key, or no valid one.
            Forbidden: the key lacks the scope, or the request comes from another site's page.
            TooManyRequests: too many failed tries from this address.

        """
        header = request.headers.get("Authorization")
        if header is None and self._owner is not None:
            _check_own(request)
            return self._owner
        if header is None or not header.lower().startswith(_BASIC):
            return await self._guard.caller(request, scope)
        principal = await self._guard.principal(request, _password(header))
        require(principal, scope)
        return principal


def check_accept(request: web.Request) -> None:
    """
    Make sure that the client takes JSON.

    Raises:
        NotAcceptable: its `Accept` excludes it.

    """
    header = ",".join(request.headers.getall("Accept", ()))
    ranges = [each.partition(";") for each in header.lower().split(",") if each.strip()]
    wanted = [kind.strip() for kind, _, rest in ranges if rest.replace(" ", "") not in _NONE]
    if ranges and not any(kind in _ACCEPTED for kind in wanted):
        raise NotAcceptable(f"this route answers application/json; Accept is {header[:200]!r}")


def _check_own(request: web.Request) -> None:
    """
    Refuse what a page of another site can make a browser send to this machine.

    A name that leads here and is not this machine's own is such a page's trick.
    """
    host = _host_of(f"//{request.host}")
    origin = request.headers.get("Origin")
    if not _is_loopback(host) or (origin is not None and not _is_loopback(_host_of(origin))):
        detail = (
            "without a key only requests of this machine are taken, to localhost or 127.0.0.1 and"
            " from no other site; send an API key"
        )
        raise Forbidden(detail, code="foreign_origin")


def _host_of(text: str) -> str:
    try:
        return URL(text).host or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _password(header: str) -> str:
    try:
        pair = base64.b64decode(header[len(_BASIC) :].strip(), validate=True).decode()
    except ValueError as error:  # no base-64, or no text
        detail = "the Authorization is no Basic one: it is base-64 of user:password"
        raise Unauthorized(detail, code="wrong_api_key") from error
    return pair.partition(":")[2]

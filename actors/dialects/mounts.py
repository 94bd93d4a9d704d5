"""Where the routes of a dialect stand, and the URLs that are handed out there."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from aiohttp import web

from jobwire.schemas.errors import Malformed

#: A host and perhaps a port, as a URL has them.
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")


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

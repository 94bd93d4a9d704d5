"""
The user and the password in an address of callbacks (pure), as clients of 2015 wrote them.

They are taken out before anything is kept: an address stands in lists, answers, events and logs.
"""

from __future__ import annotations

import base64
import re
from typing import Final
from urllib.parse import unquote_to_bytes

from msgspec.structs import replace

from jobwire.actors.dialects.joblauncher.requests import LaunchRequest
from jobwire.schemas.errors import Invalid

#: An address up to the end of its login; what is behind the last `@` is the host.
_LOGIN: Final = re.compile(r"(?P<scheme>[^/?#]*//)(?P<login>[^/?#]*)@(?P<rest>.*)", re.DOTALL)
#: What a login cannot hold (RFC 7617, section 2).
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")


def without_login(request: LaunchRequest) -> tuple[LaunchRequest, str]:
    """
    Return a request as it may be shown, and the `Authorization` that its callbacks carry.

    The latter is empty where the address names no user.

    Raises:
        Invalid: Basic cannot carry the user or the password.

    """
    found = _LOGIN.match(request.status_callback_url or "")
    if found is None:
        return request, ""
    shown = replace(request, status_callback_url=found["scheme"] + found["rest"])
    return shown, _basic(found["login"]) if found["login"] else ""


def _basic(login: str) -> str:
    """Write a login as Basic, byte for byte as its percent-encoding says."""
    user, _, password = login.partition(":")
    name = unquote_to_bytes(user)
    pair = name + b":" + unquote_to_bytes(password)
    if b":" in name or _CONTROL.search(pair):
        detail = "the user holds a colon, or the password a control character: Basic has neither"
        raise Invalid(detail, pointer="/status_callback_url", code="bad_url")
    return f"Basic {base64.b64encode(pair).decode()}"

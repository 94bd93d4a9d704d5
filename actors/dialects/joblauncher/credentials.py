"""Which credential a callback carries: MAC at once or on a challenge, Basic at once."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, NamedTuple, TypeVar

from yarl import URL

from jobwire.actors.dialects.joblauncher.mac import NONCE_BYTES, authorization, nonce_of, target_of
from jobwire.actors.dialects.joblauncher.settings import BasicCredential, MacCredential
from jobwire.schemas.errors import Misconfigured

_MAC: Final = re.compile(r"(?:^|,)\s*MAC(?:\s|,|$)", re.IGNORECASE)

Credential = TypeVar("Credential", MacCredential, BasicCredential)


class _Scoped(NamedTuple):
    url: URL
    path: str


class ReceiverKeys:
    """The credentials of one service for the receivers of its callbacks."""

    def __init__(
        self,
        macs: Sequence[MacCredential],
        basic: Sequence[BasicCredential],
        *,
        challenge_only: bool,
        clock: Callable[[], datetime],
        entropy: Callable[[int], bytes],
    ) -> None:
        """
        Send a credential where its scope is, and nowhere else.

        Raises:
            Misconfigured: a scope is no URL.

        """
        self._macs = [(_scope(each.scope), each) for each in macs]
        self._basic = [(_scope(each.scope), each) for each in basic]
        self._challenge_only = challenge_only
        self._clock = clock
        self._entropy = entropy

    def authorization(self, method: str, url: URL, challenges: Sequence[str]) -> str | None:
        """
        Return the header for one request; None: it goes without.

        A time stamp and a nonce are made for each request, so a challenge is answered anew.
        """
        if challenges:
            is_asked = any(_MAC.search(each) for each in challenges)
            return self._mac(method, url) if is_asked else None
        at_once = None if self._challenge_only else self._mac(method, url)
        return at_once or self._password(url)

    def _mac(self, method: str, url: URL) -> str | None:
        found = _nearest(self._macs, url)
        if found is None:
            return None
        ts, nonce = int(self._clock().timestamp()), nonce_of(self._entropy(NONCE_BYTES))
        target = target_of(method, url)
        return authorization(found.id, found.key, found.algorithm, target, ts=ts, nonce=nonce)

    def _password(self, url: URL) -> str | None:
        """Return a password only over the scheme of its scope: over plain http it can be read."""
        same = [(scope, each) for scope, each in self._basic if scope.url.scheme == url.scheme]
        found = _nearest(same, url)
        if found is None:
            return None
        pair = f"{found.username}:{found.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


def check_scope(text: str) -> None:
    """
    Make sure that a text can be the scope of a credential.

    Raises:
        Misconfigured: it is no URL.

    """
    _scope(text)


def _scope(text: str) -> _Scoped:
    try:
        url = URL(text)
        is_good = url.scheme in ("http", "https") and bool(url.host and url.port)
    except ValueError:
        is_good = False
    if not is_good:
        detail = f"setting: the scope {text!r} of a credential is no URL such as http://host:8099/"
        raise Misconfigured(detail)
    return _Scoped(url, url.raw_path.rstrip("/"))


def _nearest(scoped: Sequence[tuple[_Scoped, Credential]], url: URL) -> Credential | None:
    """Return the credential whose scope holds a URL most closely; the first of equals."""
    path = url.raw_path
    fitting = [
        (len(scope.path), each)
        for scope, each in scoped
        if (scope.url.host, scope.url.port) == (url.host, url.port)
        and (path == scope.path or path.startswith(f"{scope.path}/"))
    ]
    return max(fitting, key=lambda each: each[0])[1] if fitting else None

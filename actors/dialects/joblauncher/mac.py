"""
MAC Access Authentication of HTTP requests (pure), as draft-ietf-oauth-v2-http-mac-01 has it.

The original signed the path alone; here the whole request-URI is signed, as the draft says and as
receivers check it. The two agree for every address that has a path and no query.
"""

from __future__ import annotations

import base64
import hmac
from typing import Final, Literal, NamedTuple

from yarl import URL

Algorithm = Literal["hmac-sha-1", "hmac-sha-256"]

_DIGESTS: Final = {"hmac-sha-1": "sha1", "hmac-sha-256": "sha256"}
#: Random bytes of a nonce, of which 130 bits are used, as in the original.
NONCE_BYTES: Final = 17
_NONCE_CHARACTERS: Final = 26


class MacRequest(NamedTuple):
    """The request that is signed, as it goes over the wire."""

    method: str
    uri: str
    """Path and query."""
    host: str
    port: int


def target_of(method: str, url: URL) -> MacRequest:
    """Return what is signed of a request to a URL."""
    host = (url.raw_host or "").lower()
    return MacRequest(
        method.upper(), url.raw_path_qs, f"[{host}]" if ":" in host else host, url.port or 0
    )


def nonce_of(entropy: bytes) -> str:
    """Write random bytes as a nonce: text that was never used before."""
    return base64.b32encode(entropy)[:_NONCE_CHARACTERS].decode().lower()


def normalized(ts: int, nonce: str, target: MacRequest, ext: str = "") -> str:
    """Return the normalized request string: seven lines, each with its line end."""
    lines = (str(ts), nonce, target.method, target.uri, target.host, str(target.port), ext)
    return "".join(f"{line}\n" for line in lines)


def mac_of(key: str, algorithm: Algorithm, text: str) -> str:
    """Return the MAC of a normalized string; the key is used as text, even if it looks encoded."""
    return base64.b64encode(hmac.digest(key.encode(), text.encode(), _DIGESTS[algorithm])).decode()


def authorization(
    key_id: str, key: str, algorithm: Algorithm, target: MacRequest, *, ts: int, nonce: str
) -> str:
    """Return the value of the `Authorization` header."""
    mac = mac_of(key, algorithm, normalized(ts, nonce, target))
    return f'MAC id="{key_id}",ts="{ts}",nonce="{nonce}",mac="{mac}"'

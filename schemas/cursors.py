"""
Opaque cursors: where a list goes on, bound to that very list, signed and masked.

Masked, because a place in the order of all entries would tell one owner how busy the others are.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import shake_256
from typing import TypeVar

import msgspec

from jobwire.schemas.errors import Invalid

Place = TypeVar("Place")

_SIGNATURE_BYTES = 12


class Cursors:
    """
    Writes and reads cursors.

    One of another list, another owner or another service is refused.
    """

    def __init__(self, secret: bytes) -> None:
        """Sign with a secret of the service."""
        self._secret = secret

    def write(self, place: object, listed: str) -> str:
        """Write where the list `listed` goes on."""
        body = msgspec.msgpack.encode(place)
        signature = self._sign(body, listed)
        return urlsafe_b64encode(signature + self._mask(body, signature)).decode().rstrip("=")

    def read(self, cursor: str, listed: str, kind: type[Place]) -> Place:
        """
        Read where the list goes on.

        Raises:
            Invalid: it was not written for this list.

        """
        try:
            packed = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            signature = packed[:_SIGNATURE_BYTES]
            body = self._mask(packed[_SIGNATURE_BYTES:], signature)
            if hmac.compare_digest(signature, self._sign(body, listed)):
                return msgspec.msgpack.decode(body, type=kind)
        except ValueError:
            pass  # not base 64, or not ASCII: answered like any other foreign text
        detail = (
            "the cursor does not belong to this list; start "
            "again without one, and keep the same filters"
        )
        raise Invalid(detail, pointer="/cursor", code="wrong_cursor")

    def _mask(self, body: bytes, signature: bytes) -> bytes:
        """Mask or unmask; equal places of two lists differ, as their signatures do."""
        stream = shake_256(self._secret + signature).digest(len(body))
        return (int.from_bytes(body) ^ int.from_bytes(stream)).to_bytes(len(body))

    def _sign(self, body: bytes, listed: str) -> bytes:
        return hmac.digest(self._secret, f"cursor {listed} ".encode() + body, "sha256")[
            :_SIGNATURE_BYTES
        ]

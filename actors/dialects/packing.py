"""Bodies that are packed for their way, as `Content-Encoding` says (RFC 9110, 8.4)."""

from __future__ import annotations

import zlib
from typing import Final

from jobwire.schemas.errors import Malformed, TooLarge, UnsupportedMedia

_NOT_PACKED: Final = frozenset({"", "identity"})
_KNOWN: Final = _NOT_PACKED | {"gzip", "x-gzip", "deflate"}
#: Members of one gzip body.
_MOST_MEMBERS: Final = 64
#: Window bits by which zlib tells its formats apart: gzip; zlib; deflate without any head.
_GZIP, _ZLIB, _BARE = 31, 15, -15
#: Of the first byte of zlib's format: the low half names the method, which is 8.
_METHOD, _DEFLATE = 0x0F, 8


def check_coding(coding: str) -> None:
    """
    Refuse what cannot be unpacked, before anything is read of it.

    Raises:
        UnsupportedMedia: the coding is another one.

    """
    if coding.lower() not in _KNOWN:
        detail = "the content encoding is not gzip, deflate or identity"
        raise UnsupportedMedia(detail, code="unknown_encoding")


def unpacked(body: bytes, coding: str, limit: int) -> bytes:
    """
    Return a body as it was before it was packed: all of it, and nothing but it.

    Raises:
        Malformed: it is not what the coding says, or is cut off.
        TooLarge: it has more than `limit` bytes.

    """
    name = coding.lower()
    if name in _NOT_PACKED or not body:
        return body
    window = _GZIP
    if name == "deflate":  # some senders leave the head away
        window = _ZLIB if body[0] & _METHOD == _DEFLATE else _BARE
    found, rest = b"", body
    for _ in range(_MOST_MEMBERS):  # of gzip there may be several, one behind the other
        more, rest = _member(rest, window, limit + 1 - len(found))
        found += more
        if len(found) > limit:
            raise too_large(limit)
        if not rest:
            return found
    raise _not_packed_so()


def too_large(limit: int) -> TooLarge:
    """Return how large a body may be."""
    return TooLarge(f"the body has more than {limit} bytes", limit=limit)


def _member(packed: bytes, window: int, most: int) -> tuple[bytes, bytes]:
    """Unpack up to `most` bytes of one member; return what stands behind it too."""
    decoder = zlib.decompressobj(window)
    try:
        found = decoder.decompress(packed, most)
    except zlib.error as error:
        raise _not_packed_so() from error
    if len(found) < most and not decoder.eof:
        raise _not_packed_so()
    return found, decoder.unused_data


def _not_packed_so() -> Malformed:
    detail = "the body does not match its content encoding, or is truncated"
    return Malformed(detail, code="bad_request")

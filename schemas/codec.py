"""
JSON and packets, in and out.

A body is looked at once, at the edge: the limits first, then one decode into a record. `data`
stays the text that was sent; nothing between the edge and the reader parses it again.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

import msgspec

from jobwire.schemas.errors import Invalid, JobwireError, Malformed
from jobwire.schemas.events import PACKET_VERSION, Packet

#: Levels of arrays and objects.
MAX_DEPTH: Final = 32
#: Values in all arrays and objects of one document together.
MAX_ELEMENTS: Final = 10_000
#: Characters of one string.
MAX_STRING: Final = 65_536

#: Digits in a row from which on a number may be beyond 64 bit.
_LONG_NUMBER = b"0" * 19
_DIGITS_TO_ZERO = bytes.maketrans(b"0123456789", b"0000000000")

Record = TypeVar("Record")

#: What the decoder says of a text that does not match a pattern which begins with a comment.
_PATTERN = re.compile(r"Expected `str` matching regex '\(\?#([^)]*)\).*'")

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_packet_decoder = msgspec.msgpack.Decoder(Packet)
_packet_encoder = msgspec.msgpack.Encoder()
_canonical_encoder = msgspec.json.Encoder(order="deterministic")


def check_json(body: bytes) -> None:
    """
    Refuse text that is not UTF-8, or that no store could keep, before it is decoded.

    Cheap counts bound the depth and the size of nearly every document; only one that passes a
    bound is walked. Syntax itself is the decoder's to check.

    Raises:
        Malformed: `invalid_json` or `json_limits`.

    """
    if body.startswith(_BYTE_ORDER_MARK):
        raise Malformed("the body starts with a byte order mark; send plain UTF-8 without one")
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise Malformed(
                f"the body is not UTF-8: byte {error.start} cannot be decoded"
            ) from error
    opened = body.count(b"{") + body.count(b"[")
    if (
        opened > MAX_DEPTH
        or opened + body.count(b",") >= MAX_ELEMENTS
        or len(body) > MAX_STRING
        or _LONG_NUMBER in body.translate(_DIGITS_TO_ZERO)
    ):
        _walk(parse_json(body))


def parse_json(body: bytes) -> Any:
    """Decode a whole document into plain values; refuse what is not JSON."""
    try:
        return msgspec.json.decode(body)
    except RecursionError as error:
        raise _too_deep() from error
    except msgspec.ValidationError as error:
        detail = "a number is beyond the range of a double"
        raise Malformed(detail, code="json_limits", limit=64) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _malformed(error) from error


def canonical(data: bytes) -> bytes:
    """Write a document in its one canonical form, for comparing; `data` has passed `check_json`."""
    return _canonical_encoder.encode(parse_json(data))


def decode(decoder: msgspec.json.Decoder[Record], body: bytes) -> Record:
    """
    Decode a checked body into a record.

    Raises:
        Malformed: it is not JSON.
        Invalid: it is JSON of another shape; the pointer names the field.

    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        parse_json(body)  # the shape is looked at first: what is no JSON at all is said to be none
        raise invalid(error) from error
    except RecursionError as error:
        raise _too_deep() from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _malformed(error) from error


def invalid(error: msgspec.ValidationError, prefix: str = "") -> Invalid:
    """Turn a shape error into one that names the field as a JSON pointer (RFC 6901)."""
    text, _, path = in_words(error).partition(" - at `")
    keys = re.findall(r"\.([^.\[\]`]+)|\[(\d+|\.\.\.)\]", path.removesuffix("`"))
    pointer = prefix + "".join("/" + (name or index) for name, index in keys)
    field = re.search(r"field `([^`]+)`", text)
    if field is not None:
        pointer += "/" + field[1]
    return Invalid(f"{text} at {pointer}" if pointer else text, pointer=pointer or None)


def in_words(error: msgspec.ValidationError) -> str:
    """Describe what is wrong; a pattern that begins with a comment is put as that says."""
    return _PATTERN.sub(r"Expected \1", str(error))


def encode_packet(packet: Packet) -> bytes:
    """Write a packet for the bus."""
    return _packet_encoder.encode(packet)


def decode_packet(body: bytes) -> Packet:
    """
    Read a packet from the bus.

    Raises:
        Malformed: it is invalid, or a newer release wrote it; then its fields must not be guessed.

    """
    try:
        packet = _packet_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"not a packet: {error}", code="invalid_packet") from error
    if packet.version > PACKET_VERSION:
        detail = f"a packet of version {packet.version}; this release reads up to {PACKET_VERSION}"
        raise Malformed(detail, code="invalid_packet")
    return packet


def _malformed(error: Exception) -> JobwireError:
    return Malformed(f"the body is not JSON: {error}")


def _too_deep() -> Malformed:
    return Malformed(
        f"the document is nested more than {MAX_DEPTH} levels deep",
        code="json_limits",
        limit=MAX_DEPTH,
    )


def _walk(document: object) -> None:
    elements = 0
    pending = [(document, 0)]
    while pending:
        value, depth = pending.pop()
        if isinstance(value, dict | list):
            if depth >= MAX_DEPTH:
                raise _too_deep()
            elements += len(value)
            if elements > MAX_ELEMENTS:
                detail = f"the document has more than {MAX_ELEMENTS} elements"
                raise Malformed(detail, code="json_limits", limit=MAX_ELEMENTS)
            if isinstance(value, dict):
                for key in value:
                    _check_scalar(key)
            pending.extend(
                (child, depth + 1)
                for child in (value.values() if isinstance(value, dict) else value)
            )
        else:
            _check_scalar(value)


def _check_scalar(value: object) -> None:
    # Halves of surrogate pairs and numbers beyond a double have not passed the decoder.
    match value:
        case str() if len(value) > MAX_STRING:
            raise Malformed(
                f"a string has more than {MAX_STRING} characters",
                code="json_limits",
                limit=MAX_STRING,
            )
        case bool():
            pass
        case int() if not -(2**63) <= value < 2**64:
            raise Malformed(
                "a number is beyond 64 bits; send it as a string", code="json_limits", limit=64
            )
        case _:
            pass

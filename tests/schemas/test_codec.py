"""JSON at the edge: what is refused, what passes, and that what passes is not changed."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, Struct

from jobwire.schemas.codec import (
    MAX_DEPTH,
    MAX_ELEMENTS,
    MAX_STRING,
    canonical,
    check_json,
    decode,
    decode_packet,
    encode_packet,
    parse_json,
)
from jobwire.schemas.errors import Invalid, JobwireError, Malformed
from jobwire.schemas.events import PACKET_VERSION, Packet
from tests.support.factories import make_create, make_event


def _accept(body: bytes) -> Any:
    """Do what the edge does: limits, then syntax."""
    check_json(body)
    return parse_json(body)


def _array(depth: int, inner: bytes = b"") -> bytes:
    return b"[" * depth + inner + b"]" * depth


_GOOD: dict[str, bytes] = {
    "depth at the limit": _array(MAX_DEPTH),
    "depth at the limit in objects": b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH,
    "elements at the limit": b"[" + b",".join([b"1"] * MAX_ELEMENTS) + b"]",
    "many brackets side by side": b"[" + b",".join([b"[]"] * 100) + b"]",
    "brackets in a string": b'"' + b"[" * 1000 + b'"',
    "largest unsigned 64 bit": b"18446744073709551615",
    "smallest signed 64 bit": b"-9223372036854775808",
    "largest double": b"1.7976931348623157e308",
    "smallest double": b"5e-324",
    "a number that rounds to zero": b"1e-400",
    "a pair of surrogates": b'"\\ud83d\\ude00"',
    "an escaped backslash before u": b'"\\\\ud800"',
    "any plane in UTF-8": '"\U0001f600\u00e9\uffff"'.encode(),
    "NUL in a string": b'"\\u0000"',
    "keys of databases": b'{"$where":1,"a.b":2,"":3}',
    "longest string": b'"' + b"x" * MAX_STRING + b'"',
    "whitespace around": b" \r\n\t1 \r\n\t",
    "every kind of value, looked at one by one": b'[true,false,null,1.5,"x",1e5,1234567890123456]',
    "one key twice": b'{"a":1,"a":2}',
}

_INVALID: dict[str, bytes] = {
    "nothing": b"",
    "only blanks": b"  ",
    "no JSON": b"hello",
    "cut off": b'{"a":1',
    "trailing bytes": b"{} {}",
    "trailing comma": b"[1,]",
    "a comment": b"1 // one",
    "single quotes": b"{'a':1}",
    "byte order mark": b"\xef\xbb\xbf{}",
    "bad UTF-8": b'"\xff"',
    "UTF-8 of a surrogate": b'"\xed\xa0\x80"',
    "overlong UTF-8": b'"\xc0\xaf"',
    "cut UTF-8": b'"\xe2\x82"',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "NaN": b"NaN",
    "Infinity": b"[Infinity]",
    "minus infinity": b"-Infinity",
    "half a pair, first": b'"\\ud83d"',
    "half a pair, second": b'"\\ude00"',
    "half a pair in a key": b'{"\\ud800":1}',
    "half a pair deep inside": b'{"a":[{"b":"\\uDFFF"}]}',
    "control character in a string": b'"\n"',
    "leading zero": b"01",
}

_OVER: dict[str, bytes] = {
    "one level too deep": _array(MAX_DEPTH + 1),
    "one level too deep in objects": b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1),
    "far too deep": _array(100_000),
    "one element too many": b"[" + b",".join([b"1"] * (MAX_ELEMENTS + 1)) + b"]",
    "one element too many in all": b"["
    + b",".join([_array(1, b",".join([b"1"] * 99))] * 101)
    + b"]",
    "one too many for 64 bit": b"18446744073709551616",
    "one too few for 64 bit": b"-9223372036854775809",
    "many digits": b'{"a":1' + b"0" * 100 + b"}",
    "beyond a double": b"1e400",
    "beyond a double, below": b"[-1e400]",
    "string too long": b'"' + b"x" * (MAX_STRING + 1) + b'"',
    "key too long": b'{"' + b"x" * (MAX_STRING + 1) + b'":1}',
}


def test_the_limits_are_those_that_are_documented() -> None:
    assert (MAX_DEPTH, MAX_ELEMENTS, MAX_STRING) == (32, 10_000, 65_536)


def test_a_byte_order_mark_is_called_by_its_name() -> None:
    with pytest.raises(Malformed, match="byte order mark"):
        check_json(b"\xef\xbb\xbf{}")


@pytest.mark.parametrize("body", _GOOD.values(), ids=_GOOD.keys())
def test_a_document_within_the_limits_passes(body: bytes) -> None:
    _accept(body)

    assert parse_json(body) == msgspec.json.decode(body)


@pytest.mark.parametrize("body", _INVALID.values(), ids=_INVALID.keys())
def test_what_is_not_json_is_refused_as_invalid(body: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        _accept(body)

    assert caught.value.code == "invalid_json"


@pytest.mark.parametrize("body", _OVER.values(), ids=_OVER.keys())
def test_a_document_over_a_limit_is_refused_with_the_limit(body: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        _accept(body)

    assert caught.value.code == "json_limits"
    assert caught.value.limit in (MAX_DEPTH, MAX_ELEMENTS, MAX_STRING, 64)


_TEXTS = st.text(max_size=20)
_DOCUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(_TEXTS, inner, max_size=5),
    max_leaves=20,
)


@given(_DOCUMENTS)
def test_an_accepted_document_survives_unchanged(document: Any) -> None:
    body = msgspec.json.encode(document)

    assert _accept(body) == document
    assert parse_json(canonical(body)) == document


@given(_DOCUMENTS)
def test_the_canonical_form_depends_on_neither_blanks_nor_the_order_of_keys(document: Any) -> None:
    plain = msgspec.json.encode(document)
    spread = msgspec.json.format(msgspec.json.encode(_reversed(document)), indent=3)

    assert canonical(plain) == canonical(spread)
    assert canonical(canonical(plain)) == canonical(plain)


def _reversed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _reversed(value[key]) for key in reversed(value)}
    if isinstance(value, list):
        return [_reversed(item) for item in value]
    return value


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:0e+-\\ud8 \n', max_size=60))
def test_any_bytes_are_either_decoded_or_refused_and_nothing_else(body: bytes | str) -> None:
    raw = body if isinstance(body, bytes) else body.encode()
    try:
        value = _accept(raw)
    except JobwireError as error:
        value = error

    if isinstance(value, JobwireError):
        assert value.status == 400
        return
    assert _holds_no_infinity(value)
    msgspec.json.encode(value)


def _holds_no_infinity(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_holds_no_infinity, value.values()))
    if isinstance(value, list):
        return all(map(_holds_no_infinity, value))
    return not (isinstance(value, float) and math.isinf(value))


class _Inner(Struct, frozen=True, forbid_unknown_fields=True):
    number: int = 0


class _Shape(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    inner: _Inner = _Inner()
    many: tuple[_Inner, ...] = ()
    data: Raw = Raw()


_SHAPES: dict[str, tuple[bytes, str | None]] = {
    "an array": (b"[]", None),
    "a string": (b'"x"', None),
    "null": (b"null", None),
    "a missing field": (b"{}", "/name"),
    "an unknown field": (b'{"name":"a","nam":1}', "/nam"),
    "a field of the wrong kind": (b'{"name":1}', "/name"),
    "a field inside of the wrong kind": (b'{"name":"a","inner":{"number":"1"}}', "/inner/number"),
    "an unknown field inside": (b'{"name":"a","inner":{"x":1}}', "/inner/x"),
    "an item of the wrong kind": (b'{"name":"a","many":[{"number":1},[]]}', "/many/1"),
}


@pytest.mark.parametrize(("body", "pointer"), _SHAPES.values(), ids=_SHAPES.keys())
def test_json_of_another_shape_is_refused_with_a_pointer_to_the_field(
    body: bytes, pointer: str | None
) -> None:
    with pytest.raises(Invalid) as caught:
        decode(msgspec.json.Decoder(_Shape), body)

    assert caught.value.pointer == pointer


@pytest.mark.parametrize("body", [b'{"name":', b'{"name":"\xff"}', b'{"name":"a"}}'])
def test_a_body_that_is_no_json_is_refused_by_the_record_decoder_too(body: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        decode(msgspec.json.Decoder(_Shape), body)

    assert caught.value.code == "invalid_json"


def test_a_record_nested_beyond_the_decoder_is_refused_as_over_the_limit() -> None:
    body = b'{"name":"a","data":' + _array(100_000) + b"}"

    with pytest.raises(Malformed) as caught:
        decode(msgspec.json.Decoder(_Shape), body)

    assert caught.value.code == "json_limits"


def test_a_raw_field_keeps_the_text_as_it_was_sent() -> None:
    shape = decode(msgspec.json.Decoder(_Shape), b'{"name":"a","data":{"b" : 1.50}}')

    assert bytes(shape.data) == b'{"b" : 1.50}'


def test_a_packet_survives_the_bus() -> None:
    packet = Packet(PACKET_VERSION, (make_create(), make_event(data=b'{"a": 1}', attempt=2)))

    assert decode_packet(encode_packet(packet)) == packet


@pytest.mark.parametrize(
    "body", [b"{}x", b'{"oops":NaN}', b'{"name":1', b'{"name":1,"oops":1e400}']
)
def test_what_is_no_json_is_not_called_a_wrong_shape(body: bytes) -> None:
    with pytest.raises(Malformed):
        decode(msgspec.json.Decoder(_Shape), body)


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x92\x01\xc0", b'{"version":1}'])
def test_what_is_no_packet_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed) as refused:
        decode_packet(body)

    assert refused.value.code == "invalid_packet"


def test_a_packet_of_a_newer_release_is_not_guessed_at() -> None:
    newer = encode_packet(Packet(PACKET_VERSION + 1, ()))

    with pytest.raises(Malformed, match=f"reads up to {PACKET_VERSION}"):
        decode_packet(newer)

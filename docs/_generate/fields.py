"""Fields of a record as a page shows them: their type in words, their default, their meaning."""

from __future__ import annotations

import ast
import inspect
import math
import textwrap
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import NODEFAULT, Raw, Struct
from msgspec.inspect import (
    AnyType,
    BoolType,
    DateTimeType,
    DictType,
    EnumType,
    Field,
    FloatType,
    IntType,
    LiteralType,
    Metadata,
    NoneType,
    RawType,
    StrType,
    StructType,
    Type,
    UnionType,
    VarTupleType,
)

#: From so many on, the words of a choice are told in a table of their own.
_MANY = 5


def fields(record: type[Struct]) -> tuple[Field, ...]:
    """Return the fields of a record."""
    info = msgspec.inspect.type_info(record)
    assert isinstance(info, StructType)
    return info.fields


def meanings(record: type[Struct]) -> Iterator[tuple[str, str]]:
    """Yield each field that has a text below it, with that text; those of its bases first."""
    for base in record.__bases__:
        if base is not Struct:
            yield from meanings(base)
    body = ast.parse(textwrap.dedent(inspect.getsource(record))).body[0]
    assert isinstance(body, ast.ClassDef)
    for field, text in zip(body.body, body.body[1:], strict=False):
        match field, text:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(value=ast.Constant(str(words))):
                yield name, " ".join(words.split())


def default(field: Field) -> str:
    """Write the default, as JSON where it is no text; nothing where there is none."""
    if field.default in (None, NODEFAULT) or isinstance(field.default, Raw | Struct):
        return ""
    text = field.default if isinstance(field.default, str) else _json(field.default)
    return f"`{text}`"


def kind(of: Type) -> str:  # noqa: C901, PLR0911, PLR0912 - one line for each type
    """Write a type in words, with what bounds it."""
    match of:
        case IntType():
            return "integer" + _range(of)
        case FloatType():
            return "number" + _range(of)
        case StrType():
            return "text" + _length(of, "characters")
        case BoolType():
            return "true or false"
        case DateTimeType():
            return "time, RFC 3339"
        case Metadata(type=of_type, extra_json_schema=extra):
            return "a word" if extra else kind(of_type)
        case AnyType() | RawType():
            return "any JSON"
        case LiteralType(values) | EnumType(cls=values):
            words = [f"`{each}`" for each in values]
            return _one_of(words) if len(words) < _MANY else "a word"
        case StructType():
            return "object"
        case UnionType(types):
            return " or ".join(kind(each) for each in types if not isinstance(each, NoneType))
        case VarTupleType(item_type=item):
            return f"list of {_several(item)}" + _length(of, "of them")
        case DictType(value_type=value):
            return f"object of {_several(value)}" + _length(of, "of them")
        case _:
            message = f"the page does not know how to write the type {of!r}"
            raise TypeError(message)


def _several(of: Type) -> str:
    match of:
        case StrType():
            return "texts" + (f" of at most {of.max_length:,}" if of.max_length else "")
        case IntType() | FloatType():
            return "numbers" + _range(of)
        case StructType():
            return "objects"
        case UnionType(types):
            return " or ".join(_several(each) for each in types)
        case _:
            return kind(of).replace("a word", "words")


def _one_of(words: list[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def _range(of: IntType | FloatType) -> str:
    match of.ge, of.gt, of.le:
        case None, None, None:
            return ""
        case None, None, most:
            return f", at most {most:,.0f}"
        case None, bound, None:
            return f", over {bound:,g}"
        case None, bound, most:
            return f", over {bound:,g}, at most {most:,.0f}"
        case least, _, None:
            return f", at least {least:,.10g}"
        case least, _, most:
            return f", {least:,.10g} to {most:,.0f}"


def _length(of: StrType | VarTupleType | DictType, what: str) -> str:
    match of.min_length, of.max_length:
        case None | 0, None:
            return ""
        case None | 0, most:
            return f", at most {most:,} {what}"
        case least, None:
            return f", at least {least:,} {what}"
        case least, most:
            return f", {least:,} to {most:,} {what}"


def _json(value: Any) -> str:  # any JSON
    if isinstance(value, float) and not math.isinf(value) and value == int(value):
        value = int(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(_json(each) for each in value) + "]"
    return msgspec.json.encode(value).decode()

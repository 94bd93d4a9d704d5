"""JSON Schemas of records, for the documents that describe the interfaces."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import NODEFAULT, Raw, Struct

REFERENCE = "#/components/schemas/{name}"
"""Where a document keeps the schema of a record."""


def described(
    shapes: list[type[Struct]],
) -> tuple[tuple[dict[str, Any], ...], dict[str, dict[str, Any]]]:
    """Describe records; give a reference to each, and the schemas of all that they are made of."""
    references, components = msgspec.json.schema_components(
        [_without_raw_defaults(shape) for shape in shapes], ref_template=REFERENCE
    )
    return references, _without_comments(components)


def _without_comments(value: Any) -> Any:  # any JSON
    """Return schemas whose patterns have no comments: JSON Schema knows none."""
    if isinstance(value, dict):
        plain = {name: _without_comments(each) for name, each in value.items()}
        if isinstance(plain.get("pattern"), str):
            plain["pattern"] = re.sub(r"\(\?#[^)]*\)", "", plain["pattern"])
        return plain
    return [_without_comments(each) for each in value] if isinstance(value, list) else value


def _without_raw_defaults(shape: type[Struct]) -> type[Struct]:
    """Return the record with `data` as any JSON: a Raw default cannot be shown in a schema."""
    fields = msgspec.structs.fields(shape)
    if not any(isinstance(field.default, Raw) for field in fields):
        return shape
    plain: list[Any] = []
    for field in fields:
        if isinstance(field.default, Raw):
            plain.append((field.encode_name, Any, None))
        elif field.default is NODEFAULT:
            plain.append((field.encode_name, field.type))
        else:
            plain.append((field.encode_name, field.type, field.default))
    return msgspec.defstruct(
        shape.__name__,
        plain,
        kw_only=True,
        forbid_unknown_fields=shape.__struct_config__.forbid_unknown_fields,
        namespace={"__doc__": shape.__doc__},
    )

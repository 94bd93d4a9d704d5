"""Settings written as TOML (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

Block = tuple[str, Mapping[str, Any]]
"""The head of a table, empty for the keys before all tables, and what is in it."""

#: A key that needs no quotes.
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def written(blocks: Iterable[Block]) -> str:
    """Write tables, with an empty line behind each."""
    return "".join(_written(head, values) for head, values in blocks)


def _written(head: str, values: Mapping[str, Any]) -> str:
    lines = [head] if head else []
    lines += [
        f"{name if _BARE.fullmatch(name) else _value(name)} = {_value(value)}"
        for name, value in values.items()
    ]
    return "".join(f"{line}\n" for line in [*lines, ""]) if lines else ""


def _value(value: Any) -> str:
    """Write a text, number or boolean: TOML's are JSON's, but for one sign."""
    whole = isinstance(value, float) and value.is_integer()
    text = json.dumps(int(value) if whole else value, ensure_ascii=False)
    return text.replace("\x7f", "\\u007f")

"""The source of the product, as the tests of its shape look at it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

#: The folder of the project.
ROOT = Path(__file__).parents[2]

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Module(NamedTuple):
    """One module."""

    path: str
    text: str
    tree: ast.Module

    @property
    def functions(self) -> Iterator[Function]:
        """Every function and method, wherever it stands."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node

    @property
    def imports(self) -> set[str]:
        """The names of the modules that it imports."""
        names: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module)
        return names


@cache
def modules(*folders: str) -> list[Module]:
    """Read all modules below some folders of the project."""
    return [
        Module(str(file.relative_to(ROOT)), text, ast.parse(text))
        for folder in folders
        for file in sorted((ROOT / folder).rglob("*.py"))
        for text in (file.read_text(),)
    ]


def lines_of(function: Function) -> int:
    """Count a function's lines, its docstring aside."""
    first = function.body[0]
    docstring = (
        (first.end_lineno or 0) - first.lineno + 1 if ast.get_docstring(function) is not None else 0
    )
    return (function.end_lineno or 0) - function.lineno + 1 - docstring

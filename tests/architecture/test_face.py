"""The Python interface: exactly the names of `jobwire.__all__`, loaded when they are used."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from typing import Final

import pytest

import jobwire
from tests.architecture.sources import ROOT

_TREE = ast.parse((ROOT / "src" / "jobwire" / "__init__.py").read_text())
#: What type checkers see: each name and its module.
_TYPED: Final = {
    alias.name: node.module
    for node in ast.walk(_TREE)
    if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("jobwire.")
    for alias in node.names
}


def _loaded_by(code: str) -> set[str]:
    """Return the top-level names of all modules that some code loads."""
    report = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return set(done.stdout.split())


def test_the_public_names_are_exactly_those_that_type_checkers_see() -> None:
    assert sorted(_TYPED) == jobwire.__all__
    assert len(set(jobwire.__all__)) == len(jobwire.__all__)


@pytest.mark.parametrize("name", jobwire.__all__)
def test_a_public_name_is_the_thing_that_type_checkers_see(name: str) -> None:
    assert getattr(jobwire, name) is getattr(import_module(_TYPED[name] or ""), name)


def test_every_error_is_public() -> None:
    errors = import_module("jobwire.schemas.errors")
    kinds = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, Exception)
    }

    assert kinds <= set(jobwire.__all__)


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = jobwire.Nothing  # type: ignore[attr-defined]


def test_the_import_of_jobwire_alone_loads_nothing_but_the_standard_library() -> None:
    loaded = _loaded_by("import jobwire")

    assert loaded - _loaded_by("") - set(sys.stdlib_module_names) == {"jobwire"}


def test_records_and_errors_load_no_http_client() -> None:
    loaded = _loaded_by("from jobwire import JobView, NotFound, Spec")

    assert "aiohttp" not in loaded
    assert "msgspec" in loaded


def test_completion_offers_the_public_names() -> None:
    assert set(jobwire.__all__) <= set(dir(jobwire))

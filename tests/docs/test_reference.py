"""The reference names every route, setting, command and code, and says what the code says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from jobwire.actors.cli.main import COMMANDS
from jobwire.actors.dialects import native
from jobwire.actors.gateway.actor import Gateway
from jobwire.actors.runtime.folder import DataFolder
from jobwire.actors.runtime.settings import Settings
from jobwire.actors.system import System

from .page import ROOT, pages

REFERENCE = ROOT / "docs" / "reference"
OPENAPI: dict[str, Any] = json.loads((files(native) / "openapi.json").read_text())
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


@cache
def _routes() -> frozenset[tuple[str, str]]:
    """Return the routes that a service really has."""
    with TemporaryDirectory() as home:
        folder = DataFolder(Path(home) / "data")
        folder.claim()
        gateway = System(Settings(port=0), folder)._front
        assert isinstance(gateway, Gateway)
        routes = gateway._main._runner.app.router.routes()
        folder.release()
    return frozenset(
        (route.method.lower(), route.resource.canonical)
        for route in routes
        if route.resource is not None and route.method != "HEAD"
    )


def _operations() -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, path): operation
        for path, operations in OPENAPI["paths"].items()
        for method, operation in operations.items()
    }


def _references(document: object) -> Iterator[str]:
    match document:
        case dict():
            if isinstance(document.get("$ref"), str):
                yield document["$ref"]
            for value in document.values():
                yield from _references(value)
        case list():
            for value in document:
                yield from _references(value)


def test_generated_files_are_what_the_code_says() -> None:
    check = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert check.returncode == 0, check.stderr


def test_openapi_describes_exactly_the_routes_of_the_service() -> None:
    assert _operations().keys() == _routes()


def test_every_route_has_a_section_in_the_http_page() -> None:
    page = (REFERENCE / "http.md").read_text()

    missing = [
        f"{method.upper()} {path}"
        for method, path in sorted(_routes())
        if f"`{method.upper()} {path}`" not in page
    ]

    assert missing == []


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_a_section_in_the_page_of_the_command_line(command: str) -> None:
    page = (REFERENCE / "cli.md").read_text()

    assert f"### `jobwire {command}`" in page


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_is_shown_at_work_somewhere(command: str) -> None:
    shown = re.compile(rf"^(\$ )?jobwire {command}\b", re.MULTILINE)

    blocks = [block.text for page in pages() for block in page.blocks() if block.kind != "text"]

    assert any(shown.search(text) for text in blocks)


def test_every_make_target_that_the_pages_name_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    named = {
        target
        for page in pages()
        for words in re.findall(r"(?:^|`)make ([a-z ]+)(?:`|$)", page.text, re.MULTILINE)
        for target in words.split()
    }

    assert named - targets == set()


def test_openapi_has_the_parts_that_version_3_1_asks_for() -> None:
    assert OPENAPI["openapi"].startswith("3.1.")
    assert {"title", "version"} <= OPENAPI["info"].keys()
    assert all(path.startswith("/") for path in OPENAPI["paths"])
    assert all(methods.keys() <= METHODS for methods in OPENAPI["paths"].values())


@pytest.mark.parametrize(("method", "path"), sorted(_operations()))
def test_an_operation_of_openapi_is_whole(method: str, path: str) -> None:
    operation = _operations()[method, path]
    named = [(each["in"], each["name"]) for each in operation["parameters"]]

    assert operation["summary"]
    assert len(named) == len(set(named))
    assert {name for place, name in named if place == "path"} == {
        part.strip("{}") for part in path.split("/") if part.startswith("{")
    }
    assert all(each["required"] for each in operation["parameters"] if each["in"] == "path")
    assert all("schema" in each for each in operation["parameters"])
    assert all(answer["description"] for answer in operation["responses"].values())
    assert any(status.startswith("2") for status in operation["responses"])
    assert all(
        scheme in OPENAPI["components"]["securitySchemes"]
        for requirement in operation["security"]
        for scheme in requirement
    )


def test_operation_ids_are_unique() -> None:
    ids = [operation["operationId"] for operation in _operations().values()]

    assert len(ids) == len(set(ids))


def test_every_reference_of_openapi_leads_to_a_schema() -> None:
    schemas = {f"#/components/schemas/{name}" for name in OPENAPI["components"]["schemas"]}

    assert set(_references(OPENAPI)) <= schemas
    assert set(_references(OPENAPI)), "there are none at all"

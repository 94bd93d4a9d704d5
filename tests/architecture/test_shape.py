"""The shape of the source: sizes, directions of imports, words on everything public."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

import pytest

from jobwire.actors.dialects.registry import foreign_names
from tests.architecture.sources import ROOT, Module, lines_of, modules

_PRODUCT = modules("actors", "schemas")
#: A guide: the noun decides where a module is cut.
_MOST_LINES = 340
_MOST_FUNCTION_LINES = 60

#: Modules that may be longer, each with its reason. None is wanted.
_LONGER: Final[dict[str, str]] = {}


def test_imports_go_the_ways_that_the_contracts_allow() -> None:
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"

    done = subprocess.run(
        [sys.executable, "-c", command, "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("module", _PRODUCT, ids=lambda module: module.path)
def test_a_module_can_be_read_at_one_sitting(module: Module) -> None:
    lines = len(module.text.splitlines())

    assert lines <= _MOST_LINES or module.path in _LONGER


@pytest.mark.parametrize("module", _PRODUCT, ids=lambda module: module.path)
def test_a_function_can_be_seen_at_one_glance(module: Module) -> None:
    long = {
        function.name: lines_of(function)
        for function in module.functions
        if lines_of(function) > _MOST_FUNCTION_LINES
    }

    assert long == {}


def test_exceptions_for_long_modules_are_still_needed() -> None:
    long = {m.path for m in _PRODUCT if len(m.text.splitlines()) > _MOST_LINES}

    assert set(_LONGER) <= long


def _public(module: Module) -> Iterator[tuple[str, ast.AST]]:
    """Yield everything public that a docstring can stand on: by its name, with its node."""
    yield module.path, module.tree
    pending: list[tuple[str, ast.AST]] = [(module.path, module.tree)]
    while pending:
        where, node = pending.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                if child.name.startswith("_"):
                    continue
                name = f"{where}:{child.name}"
                yield name, child
                if isinstance(child, ast.ClassDef):
                    pending.append((name, child))


@pytest.mark.parametrize("module", _PRODUCT, ids=lambda module: module.path)
def test_everything_public_has_a_word_on_what_it_is(module: Module) -> None:
    silent = [name for name, node in _public(module) if not ast.get_docstring(node)]  # type: ignore[arg-type]

    assert silent == [] or (module.text == "" and silent == [module.path])


#: Libraries of servers and files, and the one place where each may be known.
_PLACES: Final = {
    "sqlite3": "actors/stores/sqlite/",
    "pymongo": "actors/stores/mongodb/",
    "motor": "actors/stores/mongodb/client.py",
    "aio_pika": "actors/transports/rabbitmq/",
    "aiormq": "actors/transports/rabbitmq/",
    "pamqp": "actors/transports/rabbitmq/",
}


@pytest.mark.parametrize("library", sorted(_PLACES))
def test_a_library_of_a_bus_or_a_store_is_known_in_one_place_only(library: str) -> None:
    users = {
        module.path
        for module in _PRODUCT
        if any(name.partition(".")[0] == library for name in module.imports)
    }

    assert users
    assert all(path.startswith(_PLACES[library]) for path in users), users


def test_the_core_needs_the_standard_library_and_msgspec_only() -> None:
    allowed = {*sys.stdlib_module_names, "msgspec"}

    strangers = {
        (module.path, name)
        for module in modules("schemas")
        for name in module.imports
        if name.partition(".")[0] not in allowed and not name.startswith("jobwire.schemas")
    }

    assert strangers == set()


def test_the_core_reads_no_clock_and_throws_no_dice() -> None:
    forbidden = re.compile(r"\.now\(|\.utcnow\(|\btime\(\)|urandom|\brandom\.|token_bytes|open\(")

    found = [
        (module.path, match[0])
        for module in modules("schemas")
        for match in forbidden.finditer(module.text)
    ]

    assert found == []


@pytest.mark.parametrize("module", _PRODUCT, ids=lambda module: module.path)
def test_a_file_is_named_after_its_noun(module: Module) -> None:
    vague = {"utils", "util", "common", "helpers", "misc", "core", "manager", "base_utils"}

    assert not vague & set(re.split(r"[/.]", module.path))


@pytest.mark.parametrize("dialect", foreign_names())
def test_nothing_of_a_dialect_lies_outside_of_its_folder(dialect: str) -> None:
    folder = f"actors/dialects/{dialect}/"

    elsewhere = [
        module.path
        for module in _PRODUCT
        if dialect in module.text.lower() and not module.path.startswith(folder)
    ]

    assert elsewhere == []


def test_tests_use_no_mocks() -> None:
    users = [module.path for module in modules("tests") if "unittest.mock" in module.imports]

    assert users == []


def _written_files() -> list[str]:
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


#: Written in pieces, so that this file is not found by itself.
_MACHINE_WORDS: Final = (
    "/" + r"(?:work|root)/",
    "/" + r"tmp/(?!\.|\w+\.)\w+/\w",
    "/" + r"Users/\w",
    r"index" + "-url",
    r"https?://[^\s\"']+/" + r"(?:simple\b|packages/|\S+\.whl)",
)


def test_no_file_tells_of_the_machine_on_which_it_was_written() -> None:
    told = re.compile("|".join(rf"(?<![\w.-]){word}" for word in _MACHINE_WORDS))
    found = []
    for name in _written_files():
        try:
            text = (ROOT / name).read_text()
        except UnicodeDecodeError:
            continue
        found += [(name, match[0]) for match in told.finditer(text)]

    allowed = {("Makefile", "index" + "-url")}
    assert set(found) - allowed == set()


def test_a_class_name_has_one_meaning() -> None:
    homes: dict[str, set[str]] = {}
    for module in _PRODUCT:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name.lstrip("_"), set()).add(module.path)

    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


@pytest.mark.parametrize("module", _PRODUCT, ids=lambda module: module.path)
def test_a_docstring_opens_as_the_field_writes_it(module: Module) -> None:
    openings = {
        name: (ast.get_docstring(node) or "").split(maxsplit=1)[:1]  # type: ignore[arg-type]
        for name, node in _public(module)
    }

    assert [name for name, opening in openings.items() if opening in (["Give"], ["Say"])] == []

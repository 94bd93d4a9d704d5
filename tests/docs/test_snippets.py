"""Every block of code in the documentation does what it says, from the top of a page to its end."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from .likeness import is_like
from .page import RUNNING, Block, Page, pages, steps
from .shell import Shell

#: Kinds of blocks that a test knows what to do with; `text` is for what only people read.
KINDS = RUNNING | {"json", "toml", "ini", "mermaid", "nginx", "text"}

#: Pages whose blocks take more than a service: a test of their own runs them.
_ELSEWHERE = {"docs/how-to/bus.md"}

#: Programs that are shown beside others that do the same, and that a machine may lack.
_OPTIONAL = ("node",)


def _with(*kinds: str) -> list[Page]:
    return [page for page in pages() if any(block.kind in kinds for block in page.blocks())]


def _followed() -> list[Any]:
    """Return the pages with commands; those that name servers carry their marker."""
    return [
        pytest.param(page, marks=[pytest.mark.servers] if page.servers() else [], id=repr(page))
        for page in _with(*RUNNING)
        if page.name not in _ELSEWHERE
    ]


@pytest.fixture
def shell(page: Page, request: pytest.FixtureRequest) -> Iterator[Shell]:
    servers = {url: request.getfixturevalue(name) for url, name in page.servers().items()}
    # Not pytest's own folder: its path is so long that tables with it are cut.
    with TemporaryDirectory(prefix="docs-") as home:
        opened = Shell(Path(home), servers)
        try:
            yield opened
        finally:
            opened.close()


@pytest.mark.parametrize("page", pages(), ids=repr)
def test_every_block_is_of_a_kind_that_is_tested(page: Page) -> None:
    kinds = {block.kind for block in page.blocks()}

    assert kinds <= KINDS


@pytest.mark.parametrize("page", _followed())
def test_commands_print_what_the_page_shows(page: Page, shell: Shell) -> None:
    shell.begin(page)

    for block in page.blocks():
        match block.kind:
            case "console":
                _follow(shell, page, block)
            case "sh":
                _must_succeed(page, block, shell.run(block.text))
            case "python":
                _must_succeed(page, block, shell.run_python(block.text))
    if missing := [name for name in _OPTIONAL if _is_missing(name) and _calls(page, name)]:
        pytest.skip(f"ALL BUT {', '.join(missing).upper()} WAS TRIED: install it")


def _must_succeed(page: Page, block: Block, ran: tuple[str, int]) -> None:
    printed, status = ran
    assert status == 0, f"{page} line {block.line}: {printed}"


def _follow(shell: Shell, page: Page, block: Block) -> None:
    for step in steps(block):
        if _is_missing(step.command.partition(" ")[0]):
            continue
        printed, _ = shell.run(step.command)
        assert is_like(step.shown, printed), (
            f"{page} line {block.line}: {step.command}\n--- shown\n{step.shown}\n"
            f"--- printed\n{printed}"
        )


def _is_missing(program: str) -> bool:
    return program in _OPTIONAL and shutil.which(program) is None


def _calls(page: Page, program: str) -> bool:
    return any(f"$ {program} " in block.text for block in page.blocks())


@pytest.mark.parametrize("page", _with("json"), ids=repr)
def test_json_is_json(page: Page) -> None:
    for block in page.blocks():
        if block.kind == "json":
            json.loads(block.text)


@pytest.mark.parametrize("page", _with("toml"), ids=repr)
def test_toml_is_toml(page: Page) -> None:
    for block in page.blocks():
        if block.kind == "toml":
            tomllib.loads(block.text)


@pytest.mark.parametrize("page", _with("ini"), ids=repr)
def test_a_unit_of_systemd_starts_what_there_is_and_leaves_jobs_alone(page: Page) -> None:
    for block in page.blocks():
        if block.kind == "ini":
            unit = configparser.ConfigParser(strict=False, interpolation=None)
            unit.optionxform = str  # type: ignore[assignment, method-assign]
            unit.read_string(block.text)

            assert re.fullmatch(r"/\S+/jobwire (up|serve)( \S+)*", unit["Service"]["ExecStart"])
            # With any other mode the jobs of a submitter end with it.
            assert unit["Service"]["KillMode"] == "process"

"""One import name: the folders at the top are never imported by their own names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from jobwire.actors.cli.main import COMMANDS
from tests.architecture.sources import ROOT

_BARE = (
    "import actors.cli",
    "import schemas",
    "from actors import client",
    "from schemas.errors import Invalid",
)

#: Loads every command, and runs one; then names every file that is loaded under two names.
_PROGRAM = """
import sys
from pathlib import Path

import click

from jobwire.actors.cli.main import COMMANDS, cli, run

assert all(cli.get_command(click.Context(cli), name) for name in COMMANDS)
assert run(["up", "--help"]) == 0
names = {}
for name, module in list(sys.modules.items()):
    file = getattr(module, "__file__", None)
    if file and name != "__main__":
        names.setdefault(Path(file).resolve(), set()).add(name)
print("loaded:", sum(name.startswith("jobwire.") for name in sys.modules))
for file, several in names.items():
    if len(several) > 1 and Path.cwd() in file.parents:
        print("twice:", *sorted(several))
"""


@pytest.mark.parametrize(
    "folder", ["actors/cli", "schemas", "tests/cli", "docs/demo", "benchmarks"]
)
@pytest.mark.parametrize("line", _BARE)
def test_the_linter_refuses_a_bare_import(folder: str, line: str) -> None:
    ruff = Path(sys.executable).parent / "ruff"

    done = subprocess.run(
        (ruff, "check", "--stdin-filename", f"{folder}/probe.py", "-"),
        cwd=ROOT,
        input=line,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert done.returncode == 1
    assert "TID251" in done.stdout
    assert "import jobwire." in done.stdout


def test_no_module_is_loaded_under_two_names() -> None:
    """Also where the folders could be found by their own names: in the tree itself."""
    done = subprocess.run(
        (sys.executable, "-c", _PROGRAM),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    loaded = int(done.stdout.partition("loaded: ")[2].split()[0])
    assert loaded > len(COMMANDS)
    assert "twice:" not in done.stdout

"""The Dockerfile: linted, from the lock, and without anything that an image must not hold."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from jobwire.actors.cli.main import COMMANDS
from tests.architecture.sources import ROOT

_TEXT: Final = (ROOT / "Dockerfile").read_text()
#: Instructions, each on one line.
_LINES: Final = [
    line for line in _TEXT.replace("\\\n", " ").splitlines() if line and not line.startswith("#")
]


def _all(instruction: str) -> list[str]:
    return [
        line.removeprefix(f"{instruction} ")
        for line in _LINES
        if line.startswith(f"{instruction} ")
    ]


def test_the_linter_finds_nothing() -> None:
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert linter, "hadolint is missing: make setup"

    done = subprocess.run(
        [linter, ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, "")


def test_it_is_built_on_one_release_of_python() -> None:
    (release,) = _all("ARG")

    assert re.fullmatch(r"PYTHON=3\.\d+-slim-\w+", release)
    assert _all("FROM") == ["python:${PYTHON} AS build", "python:${PYTHON}"]


def test_it_runs_as_nobody_known() -> None:
    assert _all("USER") == ["10001:10001"]


def test_the_command_chooses_the_actor() -> None:
    assert _all("ENTRYPOINT") == ['["jobwire"]']
    assert _all("CMD") == ['["up"]']
    assert "up" in COMMANDS


def test_it_says_by_itself_whether_it_lives() -> None:
    (check,) = _all("HEALTHCHECK")

    assert check.endswith('CMD ["python", "/opt/jobwire/probe.py", "/health/live"]')
    assert "deploy/probe.py /opt/jobwire/probe.py" in _all("COPY")


def test_the_installer_is_taken_from_the_lock_with_its_hashes() -> None:
    (install,) = (line for line in _all("RUN") if "installer.txt" in line)
    command = install.partition(" > installer.txt")[0]

    taken = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout

    requirements = [line for line in taken.splitlines() if re.match(r"\w", line)]
    assert [line.partition("==")[0] for line in requirements] == ["uv"]
    assert "--hash=sha256:" in taken
    assert "--require-hashes" in install


def test_everything_is_installed_from_the_lock() -> None:
    installs = [line for line in _all("RUN") if "pip install" in line]

    assert len(installs) == 3
    assert all("requirements.lock" in line or "--require-hashes" in line for line in installs)


def test_the_builder_gets_what_is_copied_and_nothing_else() -> None:
    ignored, *kept = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    copied = {
        source
        for line in _all("COPY")
        if not line.startswith("--from")
        for source in line.split()[:-1]
    }

    assert ignored == "*"
    assert {line.removeprefix("!") for line in kept if line.startswith("!")} == copied
    assert all((ROOT / source).exists() for source in copied)

"""Environments of Python that hold what was built, what it declares to need, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Iterable
from email.message import Message
from email.parser import Parser
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.architecture.sources import ROOT

#: Longest time for one program.
PATIENCE_S = 60.0


def build(project: Path, target: str, folder: Path) -> Path:
    """Build a wheel or an sdist of a project; return the file."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", folder],
        cwd=project,
        check=True,
        capture_output=True,
        timeout=PATIENCE_S,
    )
    (built,) = folder.iterdir()
    return built


@cache
def metadata_of(wheel: Path) -> Message:
    """Read what an installer reads of a wheel."""
    with ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def files_of(wheel: Path) -> dict[str, bytes]:
    """Read the files that a wheel installs, its metadata aside."""
    with ZipFile(wheel) as archive:
        return {
            name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name
        }


def needs_of(wheel: Path) -> set[str]:
    """Return the names of all distributions that a wheel needs, and those need in turn."""
    found: set[str] = set()
    frontier = _needed(metadata_of(wheel).get_all("Requires-Dist", []), set())
    while frontier:
        name, extras = frontier.pop()
        if name not in found:
            found.add(name)
            frontier += _needed(distribution(name).requires or [], extras)
    return found


def _needed(requirements: Iterable[str], extras: set[str]) -> list[tuple[str, set[str]]]:
    return [
        (canonicalize_name(requirement.name), requirement.extras)
        for requirement in map(Requirement, requirements)
        if requirement.marker is None
        or any(requirement.marker.evaluate({"extra": extra}) for extra in extras or {""})
    ]


class Environment:
    """
    A new environment without pip.

    What a wheel needs is linked from the environment of the tests, so no index is asked, and what
    the wheel does not declare is not there.
    """

    def __init__(self, folder: Path) -> None:
        """Make it in a folder."""
        venv.create(folder, with_pip=False, symlinks=True)
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.command = folder / "bin" / "jobwire"
        (self._packages,) = folder.glob("lib/python*/site-packages")

    def install(self, wheel: Path) -> None:
        """Install a wheel with a real installer, and what it needs as links."""
        uv = str(Path(sys.executable).parent / "uv")
        options = ("--no-cache", "--no-index", "--no-deps", "--quiet")
        subprocess.run(
            (uv, "pip", "install", *options, "--python", str(self.python), str(wheel)),
            check=True,
            cwd=ROOT,
            timeout=PATIENCE_S,
        )
        for name in needs_of(wheel):
            self._link(name)

    def _link(self, name: str) -> None:
        needed = distribution(name)
        tops = {file.parts[0] for file in needed.files or () if file.suffix != ".pth"}
        for top in tops - {"..", "__pycache__"}:
            link = self._packages / top
            if not link.is_symlink():
                link.symlink_to(str(needed.locate_file(top)))

    def run(self, *arguments: str | Path, cwd: Path, **variables: str) -> str:
        """Run a program of the environment to its end; return what it printed."""
        done = subprocess.run(
            arguments,
            cwd=cwd,
            env={"PATH": f"{self.folder / 'bin'}:/usr/bin:/bin", "LANG": "C.UTF-8", **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

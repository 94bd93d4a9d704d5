"""The lock: whole, and installed as it is, whatever an index has besides."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, distribution, version
from pathlib import Path
from typing import Final
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.architecture.sources import ROOT

_LOCK: Final = (ROOT / "requirements.lock").read_text()
_NEWER: Final = "9999"
#: The kinds of lines that say what a distribution needs.
_NEEDS: Final = ("Requires-Dist", "Provides-Extra")


def _applies(requirement: Requirement, *extras: str) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


def _locked(lock: str) -> dict[str, Requirement]:
    """Return what a lock installs here, by name."""
    lines = (line.removesuffix("\\") for line in lock.splitlines() if re.match(r"\w", line))
    found = (Requirement(line.partition(" --hash")[0]) for line in lines)
    return {canonicalize_name(each.name): each for each in found if _applies(each)}


_LOCKED: Final = _locked(_LOCK)


def _needed(project: Distribution, extras: Sequence[str]) -> Iterator[Requirement]:
    """Yield what a distribution needs here, with some of its extras."""
    needed = (Requirement(text) for text in project.requires or ())
    return (each for each in needed if _applies(each, *extras))


def _lacks(locked: dict[str, Requirement]) -> list[str]:
    """Name what is needed with extras, and is locked without one of them."""
    asking = [(name, sorted(each.extras)) for name, each in locked.items()]
    return [
        f"{name} needs {needed.name}[{','.join(sorted(needed.extras))}]"
        for name, extras in [*asking, ("jobwire", ["dev"])]
        for needed in _needed(distribution(name), extras)
        if not needed.extras <= locked[canonicalize_name(needed.name)].extras
    ]


def test_whatever_is_needed_with_extras_is_locked_with_them() -> None:
    assert _lacks(_LOCKED) == []


def test_a_lock_without_extras_is_found_out() -> None:
    bare = _LOCK.replace("coverage[toml]==", "coverage==")

    assert _lacks(_locked(bare)) == ["pytest-cov needs coverage[toml]"]


def test_whatever_is_needed_is_locked() -> None:
    missing = [
        f"{name} needs {needed}"
        for name, locked in _LOCKED.items()
        for needed in _needed(distribution(name), sorted(locked.extras))
        if canonicalize_name(needed.name) not in _LOCKED
    ]

    assert missing == []


# --- an index with newer versions -----------------------------------------------------------------


def _wheel(folder: Path, name: str, version: str, needs: Sequence[str] = ()) -> str:
    """Make a wheel with nothing in it but what it needs; return its hash."""
    stem = f"{name.replace('-', '_')}-{version}"
    head = ("Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}")
    kind = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    file = folder / f"{stem}-py3-none-any.whl"
    with ZipFile(file, "w") as archive:
        archive.writestr(f"{stem}.dist-info/METADATA", "\n".join((*head, *needs)) + "\n")
        archive.writestr(f"{stem}.dist-info/WHEEL", kind)
        archive.writestr(f"{stem}.dist-info/RECORD", "")
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture(name="lock", scope="module")
def _lock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the lock with the hashes of the wheels beside it; each has a newer one."""
    folder = tmp_path_factory.mktemp("index")
    lines = []
    for name, locked in _LOCKED.items():
        (pinned,) = locked.specifier
        metadata = distribution(name).metadata
        needs = [f"{key}: {line}" for key in _NEEDS for line in metadata.get_all(key) or ()]
        digest = _wheel(folder, name, pinned.version, needs)
        _wheel(folder, name, _NEWER)
        lines.append(f"{str(locked).partition(';')[0].strip()} --hash=sha256:{digest}")
    lock = folder / "requirements.lock"
    lock.write_text("\n".join(lines) + "\n")
    return lock


@pytest.fixture(name="bare_lock")
def _bare_lock(lock: Path, tmp_path: Path) -> Path:
    """Return that lock without the extra that pytest-cov asks for."""
    bare = tmp_path / "requirements.lock"
    bare.write_text(lock.read_text().replace("coverage[toml]==", "coverage=="))
    assert bare.read_text() != lock.read_text()
    return bare


def _install(*options: str, lock: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """See whether pip would install a lock from a folder alone."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    pip = (sys.executable, "-m", "pip", "install", "--disable-pip-version-check")
    dry = ("--dry-run", "--ignore-installed", "--no-index", "--find-links", str(folder))
    return subprocess.run(
        [*pip, *dry, *options, "-r", str(lock)],
        env=kept | {"PIP_CONFIG_FILE": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )


def _options_of_the_makefile() -> list[str]:
    """Return the options with which `make setup` installs the lock."""
    shown = subprocess.run(
        ["make", "--dry-run", "--always-make", "setup"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = (line for line in shown.stdout.splitlines() if line.endswith("requirements.lock"))
    return [word for word in shlex.split(line) if word.startswith("--") and word != "--quiet"]


def test_the_lock_stands_on_its_own_while_an_index_has_newer_versions(lock: Path) -> None:
    done = _install("--require-hashes", lock=lock, folder=lock.parent)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"-{_NEWER}") == 0
    assert len(done.stdout.splitlines()[-1].split()) == len(_LOCKED) + len(["Would", "install"])


def test_setup_installs_the_lock_while_an_index_has_newer_versions(lock: Path) -> None:
    done = _install(*_options_of_the_makefile(), lock=lock, folder=lock.parent)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"-{_NEWER}") == 0


@pytest.mark.skipif(int(version("pip").partition(".")[0]) >= 24, reason="pip 24 bears it")
def test_a_lock_without_extras_is_refused_by_who_resolves_it(lock: Path, bare_lock: Path) -> None:
    done = _install("--require-hashes", lock=bare_lock, folder=lock.parent)

    assert done.returncode != 0
    assert "coverage[toml]" in done.stderr


def test_setup_resolves_nothing(lock: Path, bare_lock: Path) -> None:
    options = _options_of_the_makefile()

    done = _install(*options, lock=bare_lock, folder=lock.parent)

    assert "--require-hashes" in options
    assert done.returncode == 0, done.stderr

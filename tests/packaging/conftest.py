"""What is built, installed and started once for all tests of the packages."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.architecture.sources import ROOT
from tests.packaging.environment import PATIENCE_S, Environment, build
from tests.support.leftovers import end_jobs


class Service(NamedTuple):
    """The service of a wheel, started by its command."""

    url: str
    data: Path

    @property
    def variables(self) -> dict[str, str]:
        """Where commands and programs find it."""
        key = (self.data / "api-key").read_text().strip()
        return {"JOBWIRE_DATA": str(self.data), "URL": self.url, "KEY": key}


@pytest.fixture(scope="package")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the source distribution, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    archive = build(ROOT, "sdist", folder / "built")
    # Not `tarfile`, whose safe way of doing this has another spelling in each release of Python.
    subprocess.run(("tar", "-xzf", archive, "-C", folder), check=True, timeout=PATIENCE_S)
    (unpacked,) = folder.glob("jobwire-*")
    return unpacked


@pytest.fixture(scope="package")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel of the source distribution, as installers make it."""
    return build(sdist, "wheel", tmp_path_factory.mktemp("wheel") / "built")


@pytest.fixture(scope="package")
def client_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of the client alone."""
    folder = tmp_path_factory.mktemp("client-wheel") / "built"
    return build(ROOT / "src" / "jobwire-client", "wheel", folder)


@pytest.fixture(scope="package")
def whole(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Return an environment with `jobwire`."""
    environment = Environment(tmp_path_factory.mktemp("whole"))
    environment.install(wheel)
    return environment


@pytest.fixture(scope="package")
def client_only(client_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Return an environment with `jobwire-client`."""
    environment = Environment(tmp_path_factory.mktemp("client-only"))
    environment.install(client_wheel)
    return environment


@pytest.fixture(scope="package")
def service(whole: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Yield a service that `jobwire up` of the wheel runs."""
    data = tmp_path_factory.mktemp("service") / "data"
    process = subprocess.Popen(
        [whole.command, "up", "--port", "0"],
        env={"JOBWIRE_DATA": str(data), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        cwd=data.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = ""
    while not (ready := re.search(r"is ready at (\S+)", said)):
        line = process.stdout.readline()
        assert line, said
        said += line
    yield Service(ready[1], data)
    process.terminate()
    process.communicate(timeout=PATIENCE_S)
    end_jobs(data)

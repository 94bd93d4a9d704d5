"""The wheel of the whole service, in an environment that holds what it declares and no more."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT
from tests.packaging.conftest import Service
from tests.packaging.environment import PATIENCE_S, Environment, build, files_of, metadata_of

#: A program as a user writes it, in a project whose own modules have the names of our folders.
_PROGRAM = """
import os

import actors
import schemas
from jobwire import SyncClient


def main() -> None:
    with SyncClient(os.environ["URL"], os.environ["KEY"]) as jobwire:
        job = jobwire.create_job(name=schemas.NAME, spec={"argv": ["/bin/true"]})
        for entry in jobwire.stream(job.id):
            if entry.outcome is not None:
                print(actors.GREETING, entry.outcome)
                break


if __name__ == "__main__":
    main()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return the folder of a program that has its own `schemas` and `actors`."""
    (tmp_path / "program.py").write_text(_PROGRAM)
    (tmp_path / "schemas.py").write_text('NAME = "ours"\n')
    (tmp_path / "actors.py").write_text('GREETING = "it was a"\n')
    return tmp_path


def _type_check(environment: Environment, program: Path, cache: Path) -> tuple[int, str]:
    options = ("--strict", "--cache-dir", str(cache), "--config-file", "/dev/null")
    python = ("--python-executable", str(environment.python))
    done = subprocess.run(
        (sys.executable, "-m", "mypy", *options, *python, str(program)),
        cwd=program.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_wheel_of_the_sdist_is_the_wheel_of_the_tree(wheel: Path, tmp_path: Path) -> None:
    direct = files_of(build(ROOT, "wheel", tmp_path / "built"))

    assert files_of(wheel) == direct
    assert {name.partition("/")[0] for name in direct} == {"jobwire"}
    assert "jobwire/py.typed" in direct


def test_its_metadata_say_what_an_index_shows(wheel: Path) -> None:
    metadata = metadata_of(wheel)

    assert str(metadata.get_payload()).startswith("# Jobwire")
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])


def test_the_service_runs_a_job_to_its_end(whole: Environment, service: Service) -> None:
    whole.run(whole.command, "run", "/bin/true", cwd=service.data, **service.variables)

    listed = whole.run(whole.command, "ls", "--json", cwd=service.data, **service.variables)
    assert json.loads(listed.splitlines()[0])["state"] == "FINISHED"


def test_a_project_with_modules_named_as_our_folders_uses_both(
    whole: Environment, service: Service, project: Path
) -> None:
    said = whole.run(whole.python, "program.py", cwd=project, **service.variables)
    version = whole.run(
        whole.python,
        "-m",
        "jobwire.actors.cli.main",
        "--version",
        cwd=project,
        PYTHONPATH=str(project),
    )

    assert said == "it was a success\n"
    assert version.startswith("jobwire ")


def test_a_type_checker_sees_the_types(whole: Environment, project: Path, tmp_path: Path) -> None:
    wrong = project / "wrong.py"
    wrong.write_text(
        textwrap.dedent(
            """
            from jobwire import Nothing, SyncClient

            def main(jobwire: SyncClient) -> int:
                jobwire.cancel(1)
                return jobwire.stats()
            """
        )
    )

    right = _type_check(whole, project / "program.py", tmp_path / "cache")
    code, said = _type_check(whole, wrong, tmp_path / "cache")

    assert right[0] == 0, right[1]
    assert code == 1
    assert 'has no attribute "Nothing"' in said
    assert 'has incompatible type "int"; expected "str"' in said
    assert 'got "StatsView", expected "int"' in said


@pytest.mark.parametrize(("name", "version"), [("openapi", "3.1.0"), ("asyncapi", "3.0.0")])
def test_the_descriptions_for_programs_are_inside(
    whole: Environment, tmp_path: Path, name: str, version: str
) -> None:
    code = f"""
from importlib.resources import files
print((files("jobwire.actors.dialects.native") / "{name}.json").read_text())
"""

    document = json.loads(whole.run(whole.python, "-c", code, cwd=tmp_path))

    assert document[name] == version

"""The client alone: a second distribution of the same files, that needs next to nothing."""

from __future__ import annotations

import tomllib
from pathlib import Path

from tests.architecture.sources import ROOT
from tests.packaging.conftest import Service
from tests.packaging.environment import Environment, files_of, metadata_of, needs_of

#: aiohttp and msgspec, and what aiohttp needs in turn.
_NEEDS = {
    "aiohappyeyeballs",
    "aiohttp",
    "aiosignal",
    "attrs",
    "frozenlist",
    "idna",
    "msgspec",
    "multidict",
    "propcache",
    "typing-extensions",
    "yarl",
}

#: One call to a service; then every public name, and what of Jobwire has been loaded.
_PROGRAM = """
import os, sys
import jobwire
from jobwire import *
from jobwire import SyncClient

with SyncClient(os.environ["URL"], os.environ["KEY"]) as client:
    made = client.create_job(name="from the client alone")
    print(client.job(made.id).name)
print(*sorted(jobwire.__all__))
print(*sorted(name for name in sys.modules if name.startswith("jobwire.")))
"""


def test_it_calls_a_running_service_and_loads_nothing_beyond(
    client_only: Environment, service: Service, tmp_path: Path
) -> None:
    said = client_only.run(
        client_only.python, "-c", _PROGRAM, cwd=tmp_path, **service.variables
    ).splitlines()

    name, public, own = said
    assert name == "from the client alone"
    assert {"Client", "SyncClient", "verify_webhook"} <= set(public.split())
    assert all(
        module.startswith(("jobwire.schemas", "jobwire.actors.client"))
        for module in own.split()
        if module != "jobwire.actors"
    )


def test_it_needs_aiohttp_and_msgspec_as_the_service_does(client_wheel: Path, wheel: Path) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    of_client = metadata_of(client_wheel).get_all("Requires-Dist", [])

    assert needs_of(client_wheel) <= _NEEDS
    assert len(of_client) == 2
    assert set(of_client) <= set(metadata_of(wheel).get_all("Requires-Dist", []))
    assert metadata_of(client_wheel)["Version"] == declared["version"]


def test_it_holds_the_same_files_and_only_those_of_the_client(
    client_wheel: Path, wheel: Path
) -> None:
    of_client, of_all = files_of(client_wheel), files_of(wheel)

    assert of_client.items() <= of_all.items()
    assert of_client.keys() == {
        name
        for name in of_all
        if name.startswith(("jobwire/schemas/", "jobwire/actors/client/"))
        or name in ("jobwire/__init__.py", "jobwire/py.typed", "jobwire/actors/__init__.py")
    }


def test_the_whole_installed_over_it_still_works(
    client_wheel: Path, wheel: Path, tmp_path: Path
) -> None:
    both = Environment(tmp_path / "both")
    both.install(wheel)
    both.install(client_wheel)

    said = both.run(both.command, "--version", cwd=tmp_path)

    assert said == f"jobwire {metadata_of(wheel)['Version']}\n"

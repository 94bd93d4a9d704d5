"""compose.yaml is what the compose specification, the command line and the settings expect."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import click
import pytest

from jobwire.actors.cli.main import cli
from jobwire.actors.cli.release import release
from jobwire.actors.runtime.configuration import load_settings
from tests.architecture.sources import ROOT
from tests.deploy.compose import FILE, SECRETS, actors, document, processes, services

_ACTORS: Final = {"gateway", "state-manager", "submitter", "stager", "notifier"}

#: Makes something once and ends.
_ONCE: Final = {"mongo-init"}

_SERVICES: Final = services()


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Return a folder of secrets, each readable and harmless, and a data folder."""
    secrets, data = tmp_path / "secrets", tmp_path / "data"
    secrets.mkdir()
    data.mkdir()
    for name in document()["secrets"]:
        (secrets / name).write_text(f"a-made-up-{name}")
    (secrets / "broker-url").write_text("amqp://jobwire:made-up@rabbitmq:5672/")
    (secrets / "database-url").write_text("mongodb://jobwire:made-up@mongo:27017/jobwire")
    return secrets, data


def parse(arguments: list[str]) -> click.Context:
    """Let the command line parse arguments, without running anything."""
    context = cli.make_context("jobwire", list(arguments))
    name, command, rest = cli.resolve_command(context, [*context._protected_args, *context.args])
    assert command is not None
    return command.make_context(name, rest, parent=context)


def test_it_fulfils_the_compose_specification() -> None:
    check = [sys.executable, "-m", "check_jsonschema"]

    done = subprocess.run(
        [*check, "--builtin-schema", "vendor.compose-spec", FILE],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_there_is_one_container_for_each_actor() -> None:
    assert {name: actor["command"] for name, actor in actors().items()} == {
        name: ["serve", name] for name in _ACTORS
    }


@pytest.mark.parametrize("name", sorted(_ACTORS))
def test_the_command_of_an_actor_is_one_of_the_command_line(name: str) -> None:
    context = parse(actors()[name]["command"])

    assert context.info_name == "serve"


def test_an_actor_that_is_none_would_be_noticed() -> None:
    with pytest.raises(click.UsageError):
        parse(["serve", "gatekeeper"])


@pytest.mark.parametrize("name", sorted(_ACTORS))
def test_the_environment_of_an_actor_is_made_of_known_settings(
    name: str, folders: tuple[Path, Path]
) -> None:
    process = processes(*folders)[name]

    settings = load_settings(None, process.environment)

    assert settings.host == "0.0.0.0"
    assert not settings.runs_jobs


def test_the_paths_of_a_container_become_those_of_the_machine(folders: tuple[Path, Path]) -> None:
    secrets, data = folders

    environment = processes(secrets, data)["gateway"].environment

    assert environment["JOBWIRE_BROKER__URL_FILE"] == str(secrets / "broker-url")
    assert environment["JOBWIRE_DATA"] == str(data)
    assert environment["JOBWIRE_PUBLIC_URL"] == "http://127.0.0.1:8640"


@pytest.mark.parametrize("name", sorted(_ACTORS))
def test_an_actor_is_given_every_secret_that_its_environment_names(name: str) -> None:
    actor = actors()[name]

    named = {
        value.removeprefix(SECRETS)
        for value in actor["environment"].values()
        if str(value).startswith(SECRETS)
    }

    assert named == set(actor["secrets"])


def test_the_api_key_is_the_gateways_alone() -> None:
    holders = {name for name, each in _SERVICES.items() if "api-key" in _secrets(each)}

    assert holders == {"gateway"}


def _secrets(service: Any) -> set[str]:
    """Return the names of a service's secrets, written shortly or at length."""
    return {
        secret if isinstance(secret, str) else secret["source"]
        for secret in service.get("secrets", ())
    }


def test_every_secret_is_a_file_that_git_ignores_and_somebody_reads() -> None:
    secrets = document()["secrets"]

    ignored = subprocess.run(
        ["git", "check-ignore", *(each["file"] for each in secrets.values())],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert len(ignored.stdout.split()) == len(secrets)
    assert {name for each in _SERVICES.values() for name in _secrets(each)} == set(secrets)


def test_every_configuration_is_a_file_that_somebody_reads() -> None:
    configs = document()["configs"]

    used = {each["source"] for service in _SERVICES.values() for each in service.get("configs", ())}

    assert used == set(configs)
    assert all((ROOT / each["file"]).is_file() for each in configs.values())


def test_no_password_is_written_down() -> None:
    in_url = re.compile(r"://[^\s/@:]+:[^\s@]+@")
    in_field = re.compile(r"(?i)(?:pass|password|pwd)[ \t]*[:=][ \t]*(?!secret\()[^\s]")

    for file in (FILE, *(ROOT / each["file"] for each in document()["configs"].values())):
        text = file.read_text()

        assert not in_url.search(text), file
        assert not in_field.search(text), file


@pytest.mark.parametrize("name", sorted(_SERVICES))
def test_an_image_has_a_release(name: str) -> None:
    _, _, tag = _SERVICES[name]["image"].partition(":")

    assert re.match(r"\d", tag)


def test_the_image_is_this_release_wherever_it_is_named() -> None:
    image = f"jobwire:{release()}"

    assert {actor["image"] for actor in actors().values()} == {image}
    assert f"image={image}\n" in (ROOT / "deploy" / "make-secrets.sh").read_text()


@pytest.mark.parametrize("name", sorted(set(_SERVICES) - _ONCE))
def test_a_service_says_how_it_is_and_comes_back_after_a_fault(name: str) -> None:
    service = _SERVICES[name]

    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"
    assert service["stop_grace_period"] in ("30s", "60s")


@pytest.mark.parametrize("name", sorted(_ONCE))
def test_a_service_that_makes_something_once_tries_until_it_is_made(name: str) -> None:
    service = _SERVICES[name]

    assert service["restart"] == "on-failure"


def test_any_service_may_start_first() -> None:
    assert [name for name, each in _SERVICES.items() if "depends_on" in each] == []


def test_only_the_gateway_is_reachable_and_from_this_machine_only() -> None:
    published = {name: each["ports"] for name, each in _SERVICES.items() if "ports" in each}

    assert published == {"gateway": ["127.0.0.1:8640:8640"]}


def test_the_broker_and_the_database_have_no_way_out() -> None:
    assert document()["networks"]["inside"] == {"internal": True}
    assert _SERVICES["rabbitmq"]["networks"] == _SERVICES["mongo"]["networks"] == ["inside"]


@pytest.mark.parametrize("name", sorted(_ACTORS))
def test_an_actor_can_change_nothing_but_its_data(name: str) -> None:
    actor = actors()[name]

    assert actor["read_only"] is True
    assert actor["init"] is True
    assert actor["cap_drop"] == ["ALL"]
    assert actor["volumes"] == ["data:/data"]


def test_the_broker_finds_its_data_again_in_a_new_container() -> None:
    broker = _SERVICES["rabbitmq"]

    assert broker["hostname"] == "rabbitmq"
    assert broker["volumes"] == ["broker:/var/lib/rabbitmq"]


def test_every_volume_is_used() -> None:
    used = {
        volume.partition(":")[0]
        for service in _SERVICES.values()
        for volume in service.get("volumes", ())
    }

    assert used == set(document()["volumes"])

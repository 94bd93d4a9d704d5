"""The script that makes the secrets of compose.yaml."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.architecture.sources import ROOT
from tests.deploy.compose import document


def _make(folder: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run the script with this source's command line in place of the image's."""
    jobwire = tmp_path / "jobwire"
    jobwire.write_text(f'#!/bin/sh\nexec {sys.executable} -m jobwire.actors.cli.main "$@"\n')
    jobwire.chmod(0o755)
    return subprocess.run(
        [ROOT / "deploy" / "make-secrets.sh", folder],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "JOBWIRE": str(jobwire)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """Return a folder of fresh secrets."""
    folder = tmp_path / "secrets"
    done = _make(folder, tmp_path)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_secret_of_the_compose_file_is_made(secrets: Path) -> None:
    assert set(document()["secrets"]) <= {file.name for file in secrets.iterdir()}


def test_only_the_owner_reaches_what_the_containers_can_read(secrets: Path) -> None:
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in secrets.iterdir()} == {0o444}


def test_each_url_has_the_password_that_its_server_is_given(secrets: Path) -> None:
    broker = urlsplit((secrets / "broker-url").read_text().strip())
    database = urlsplit((secrets / "database-url").read_text().strip())

    assert broker.hostname == "rabbitmq"
    assert f"default_pass = {broker.password}\n" in (secrets / "rabbitmq-account").read_text()
    assert database.hostname == "mongo"
    assert (secrets / "mongo-password").read_text().strip() == database.password


def test_no_two_secrets_are_the_same(secrets: Path) -> None:
    texts = [(secrets / name).read_text() for name in ("mongo-key", "mongo-root-password")]
    texts.append((secrets / "mongo-password").read_text())

    assert len(set(texts)) == 3
    assert all(len(text.strip()) == 64 for text in texts)


def test_secrets_that_are_there_are_left_alone(secrets: Path, tmp_path: Path) -> None:
    before = {file.name: file.read_bytes() for file in secrets.iterdir()}

    again = _make(secrets, tmp_path)

    assert again.returncode == 1
    assert "nothing was changed" in again.stderr
    assert {file.name: file.read_bytes() for file in secrets.iterdir()} == before

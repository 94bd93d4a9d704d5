"""`jobwire serve` and `jobwire secrets`, as an operator meets them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobwire.actors.stores.mongodb import MongoStore
from jobwire.actors.system.bootstrap import fix_shards
from tests.cli.console import Console
from tests.support.ports import free_port

_ROOT = Path(__file__).parents[2]
#: Nothing listens there.
_NOWHERE = {
    "JOBWIRE_BROKER__URL": "amqp://guest:sesame@127.0.0.1:1/",
    "JOBWIRE_DATABASE__URL": "mongodb://svc:sesame@127.0.0.1:1/jobs?replicaSet=x",
}


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """Return a folder with secrets."""
    console = Console(tmp_path / "unused")
    made = console.run("secrets", "make", str(tmp_path / "secrets"))
    assert made.code == 0, made.err
    return tmp_path / "secrets"


class Process:
    """A process of `jobwire serve`."""

    def __init__(self, folder: Path, *actors: str, **settings: str) -> None:
        """Start."""
        self.port = free_port()
        self.log = folder.parent / "log"
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("JOBWIRE_")
        }
        environment |= {
            "PYTHONPATH": str(_ROOT),
            "JOBWIRE_DATA": str(folder),
            "JOBWIRE_PORT": str(self.port),
            "JOBWIRE_HEALTH__PORT": str(self.port),
            **settings,
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jobwire.actors.cli.main", "serve", *actors],
                env=environment,
                stdout=log,
                stderr=log,
            )

    def health(self, which: str) -> tuple[int, Any]:
        """Ask how it is, as soon as it listens."""
        deadline = time.monotonic() + 90
        while True:
            try:
                url = f"http://127.0.0.1:{self.port}/health/{which}"
                with urllib.request.urlopen(url, timeout=30) as answer:
                    return answer.status, json.load(answer)
            except urllib.error.HTTPError as error:
                return error.code, json.load(error)
            except OSError:
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.05)

    def close(self) -> int:
        """Stop; return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(90)


@pytest.fixture(params=["gateway", "state-manager", "submitter", "stager", "notifier"])
def alone(request: pytest.FixtureRequest, secrets: Path) -> Iterator[Process]:
    """Yield each actor in turn, the first one of its service, with neither broker nor database."""
    process = Process(secrets, request.param, **_NOWHERE)
    yield process
    if process.process.poll() is None:
        process.close()


def test_any_actor_may_be_the_first_and_says_what_is_missing(alone: Process) -> None:
    live, _ = alone.health("live")
    ready, body = alone.health("ready")
    code = alone.close()

    assert (live, ready, code) == (200, 503, 0)
    assert any(each.startswith("broker:") for each in body["missing"]), body
    assert any(each.startswith("store:") for each in body["missing"]), body
    assert "sesame" not in json.dumps(body) + alone.log.read_text()


def test_secrets_are_made_once_and_for_nobody_else(secrets: Path, tmp_path: Path) -> None:
    again = Console(tmp_path / "unused").run("secrets", "make", str(secrets))

    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in secrets.iterdir()}
    assert modes == {"service-keys": 0o600, "api-key": 0o600}
    assert re.fullmatch(r"jwk_\w+_[\w-]+\n", (secrets / "api-key").read_text())
    assert again.code == 1
    assert "exist already" in again.err


_WRONG = {
    "no broker": ({}, "set [broker] url"),
    "no database": ({"JOBWIRE_BROKER__URL": "amqp://x/"}, "set [database] url"),
    "a typing error": (
        {**_NOWHERE, "JOBWIRE_BROKER__ULR": "x"},
        "unknown setting broker.ulr; did you mean broker.url?",
    ),
    "a database without a name": (
        {**_NOWHERE, "JOBWIRE_DATABASE__URL": "mongodb://127.0.0.1:1/"},
        "must name a database",
    ),
}


@pytest.mark.parametrize("wrong", _WRONG)
def test_what_cannot_work_is_refused_in_one_sentence(secrets: Path, wrong: str) -> None:
    settings, words = _WRONG[wrong]
    process = Process(secrets, "gateway", **settings)

    code = process.process.wait(90)

    said = process.log.read_text()
    assert code == 1
    assert words in said
    assert "Traceback" not in said


async def _make(database_url: str, shards: int) -> None:
    store = MongoStore(database_url, shards=shards)
    await store.open()
    await fix_shards(store, shards)
    await store.close()


@pytest.mark.parametrize("actor", ["gateway", "state-manager"])
def test_another_number_of_shards_than_that_of_the_data_ends_the_process(
    secrets: Path, broker_url: str, database_url: str, actor: str
) -> None:
    asyncio.run(_make(database_url, 4))
    settings = {"JOBWIRE_BROKER__URL": broker_url, "JOBWIRE_DATABASE__URL": database_url}
    process = Process(secrets, actor, JOBWIRE_SHARDS="3", **settings)

    code = process.process.wait(90)

    last = process.log.read_text().splitlines()[-1]
    assert code == 1
    assert last == "jobwire: this data was created with shards = 4, the settings have 3"


def test_without_service_keys_nothing_starts(tmp_path: Path) -> None:
    process = Process(tmp_path / "empty", "notifier", **_NOWHERE)

    assert process.process.wait(90) == 1
    assert "jobwire secrets make" in process.log.read_text()


def test_an_actor_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    process = Process(tmp_path / "empty", "gatewey", **_NOWHERE)

    assert process.process.wait(90) == 2
    assert "state-manager" in process.log.read_text()

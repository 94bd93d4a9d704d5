"""Submissions of the joblauncher's clients while a broker takes in what nobody stores."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from http_launcher import Launcher, config_of

from tests.support.deadlines import until
from tests.support.fleet import Fleet
from tests.support.receiver import receiving

pytestmark = [pytest.mark.fault, pytest.mark.servers]

_STEP_S = 20.0
#: How long a creation waits for its outcome before it is known to be behind.
_COMMIT_S = 5.0


@pytest_asyncio.fixture(name="fleet")
async def _fleet(tmp_path: Path, broker_url: str, database_url: str) -> AsyncIterator[Fleet]:
    (tmp_path / "jobs").mkdir()
    config = tmp_path / "jobwire.toml"
    config.write_text(config_of(tmp_path / "jobs", stored_within_s=4))
    fleet = Fleet(tmp_path / "data", broker_url, database_url, {"JOBWIRE_CONFIG": str(config)})
    await fleet.start()
    yield fleet
    await fleet.close()


@pytest_asyncio.fixture(name="launcher")
async def _launcher(fleet: Fleet, tmp_path: Path) -> AsyncIterator[Launcher]:
    async with aiohttp.ClientSession() as session:
        yield Launcher(fleet.url, tmp_path / "jobs", session)


async def test_a_submission_that_is_stored_late_is_answered_late_and_runs_once(
    fleet: Fleet, launcher: Launcher
) -> None:
    fleet["state-manager"].pause()
    asked = asyncio.create_task(launcher.submit())
    await asyncio.sleep(_COMMIT_S + 1)
    assert not asked.done()
    fleet["state-manager"].resume()

    status, said = await asked
    (url,) = await launcher.get(launcher.base)
    await until(lambda: launcher.is_done(url), _STEP_S)

    assert status == 201, said
    assert launcher.runs == 1


async def test_a_submission_that_was_not_stored_in_time_never_runs_and_is_safe_to_repeat(
    fleet: Fleet, launcher: Launcher
) -> None:
    async with receiving() as receiver:
        fleet["state-manager"].pause()
        status, said = await launcher.submit(status_callback_url=receiver.url)
        fleet["state-manager"].resume()
        await until(launcher.has_jobs, _STEP_S)
        (withdrawn,) = await launcher.get(launcher.base)
        await until(lambda: launcher.is_done(withdrawn), _STEP_S)
        again, answer = await launcher.submit(status_callback_url=receiver.url)
        (url,) = set(await launcher.get(launcher.base)) - {withdrawn}
        await until(lambda: launcher.is_done(url), _STEP_S)
        await receiver.wait(3, _STEP_S)

    assert (status, json.loads(said)["code"]) == (503, "withdrawn"), said
    assert (await launcher.get(withdrawn))["status"]["state"] == "KILLED"
    assert again == 201, answer
    assert launcher.runs == 1
    # Of the one that never was a job nobody is told, so the other's receiver is not misled.
    told = [json.loads(each.body)["state"] for each in receiver.received]
    assert told == ["PENDING", "RUNNING", "DONE"]

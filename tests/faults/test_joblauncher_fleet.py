"""Submissions of the joblauncher's clients while a broker takes in what nobody stores."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from http_launcher import Launcher, config_of

from tests.support.deadlines import until
from tests.support.fleet import Fleet
from tests.support.rabbitmq import RabbitServer
from tests.support.receiver import receiving

pytestmark = [pytest.mark.fault, pytest.mark.servers]

_STEP_S = 90.0
#: How long a creation waits for its outcome before it is known to be behind.
_COMMIT_S = 5.0
#: How long the broker may take to confirm.
_CONFIRM_S = 3.0


@asynccontextmanager
async def _serving(
    folder: Path, broker: str, database: str, stored_within_s: int
) -> AsyncIterator[tuple[Fleet, Launcher]]:
    """Run a fleet that speaks the dialect, and give a client of it."""
    (folder / "jobs").mkdir()
    config = folder / "jobwire.toml"
    config.write_text(config_of(folder / "jobs", stored_within_s=stored_within_s))
    # One queue, which the first submission declares: so a later one is sent at once.
    settings = {"JOBWIRE_CONFIG": str(config), "JOBWIRE_SHARDS": "1"}
    fleet = Fleet(folder / "data", broker, database, settings)
    try:
        await fleet.start()
        async with aiohttp.ClientSession() as session:
            yield fleet, Launcher(fleet.url, folder / "jobs", session)
    finally:
        await fleet.close()


async def test_a_submission_that_is_stored_late_is_answered_late_and_runs_once(
    tmp_path: Path, broker_url: str, database_url: str
) -> None:
    async with _serving(tmp_path, broker_url, database_url, 30) as (fleet, launcher):
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
    tmp_path: Path, broker_url: str, database_url: str
) -> None:
    async with (
        receiving() as receiver,
        _serving(tmp_path, broker_url, database_url, 2) as (fleet, launcher),
    ):
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
        killed = await launcher.get(withdrawn)

    assert (status, json.loads(said)["code"]) == (503, "withdrawn"), said
    assert killed["status"]["state"] == "KILLED"
    assert again == 201, answer
    assert launcher.runs == 1
    # Of the one that never was a job nobody is told, so the other's receiver is not misled.
    told = [json.loads(each.body)["state"] for each in receiver.received]
    assert told == ["PENDING", "RUNNING", "DONE"]


async def test_a_submission_that_the_broker_did_not_confirm_is_made_sure_of_and_runs_once(
    tmp_path: Path, own_rabbit: RabbitServer, database_url: str
) -> None:
    async with _serving(tmp_path, own_rabbit.url, database_url, 30) as (_, launcher):
        assert (await launcher.submit())[0] == 201
        own_rabbit.pause()
        asked = asyncio.create_task(launcher.submit())
        await asyncio.sleep(_CONFIRM_S + 1)
        assert not asked.done()
        own_rabbit.resume()

        status, said = await asked
        urls = await launcher.get(launcher.base)
        for url in urls:
            await until(lambda url=url: launcher.is_done(url), _STEP_S)  # type: ignore[misc]

    assert status == 201, said
    assert (len(urls), launcher.runs) == (2, 2)

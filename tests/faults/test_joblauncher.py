"""Submissions of the joblauncher's clients whose service ends before it has answered."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from http_launcher import Launcher, config_of
from http_service import Service

from tests.support.deadlines import until

pytestmark = pytest.mark.fault

_STEP_S = 90.0


@pytest_asyncio.fixture(name="service")
async def _service(tmp_path: Path) -> AsyncIterator[Service]:
    (tmp_path / "jobs").mkdir()
    config = tmp_path / "jobwire.toml"
    config.write_text(config_of(tmp_path / "jobs"))
    service = Service(tmp_path / "data", settings={"JOBWIRE_CONFIG": str(config)})
    yield service
    await service.close()


@pytest_asyncio.fixture(name="launcher")
async def _launcher(service: Service, tmp_path: Path) -> AsyncIterator[Launcher]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield Launcher(service.url, tmp_path / "jobs", session)


async def test_a_job_whose_service_was_killed_before_the_201_is_found_and_runs_once(
    service: Service, launcher: Launcher
) -> None:
    (launcher.jobdir / "input").write_text("x")
    await service.start("stager.before_staged=kill@1")

    with suppress(aiohttp.ClientError):
        assert not await launcher.submit(prestaged=["input"]), "it was answered"
    assert await service.ended(_STEP_S) == -signal.SIGKILL
    await service.start()
    (url,) = await launcher.get(launcher.base)

    await until(lambda: launcher.is_done(url), _STEP_S)
    assert (await launcher.get(url))["status"]["state"] == "DONE"
    assert launcher.runs == 1


async def test_a_submission_whose_service_is_stopped_is_refused_and_its_job_never_runs(
    service: Service, launcher: Launcher
) -> None:
    (launcher.jobdir / "many").mkdir()
    for number in range(4_000):
        (launcher.jobdir / "many" / str(number)).write_text("x")
    await service.start()

    async def is_staging() -> bool:
        jobs = await launcher.get(launcher.base)
        return bool(jobs) and any((service.folder / "sandboxes").glob("*/*/*/many/1*"))

    asked = asyncio.create_task(launcher.submit(prestaged=["many"]))
    await until(is_staging, _STEP_S)
    service.send(signal.SIGTERM)
    status, said = await asked
    code = await service.ended(_STEP_S)
    await service.start()
    (url,) = await launcher.get(launcher.base)

    await until(lambda: launcher.is_done(url), _STEP_S)
    assert (status, code) == (503, 0), said
    assert (await launcher.get(url))["status"]["state"] == "KILLED"
    assert launcher.runs == 0

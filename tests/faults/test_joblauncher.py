"""Submissions of the joblauncher's clients whose service ends before it has answered."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from http_service import Service

from tests.support.deadlines import until

pytestmark = pytest.mark.fault

_STEP_S = 20.0


class Launcher:
    """A service that speaks the dialect, and a client of it."""

    def __init__(self, service: Service, jobdir: Path, session: aiohttp.ClientSession) -> None:
        self.service = service
        self.jobdir = jobdir
        self.session = session
        self.base = f"{service.url}/compat/joblauncher/job"

    async def submit(self, **request: object) -> tuple[int, Any]:
        """Submit a job that writes a line each time that it runs."""
        text = f"echo ran >> {self.jobdir}/runs"
        asked = {"jobdir": str(self.jobdir), "executable": "sh", "arguments": ["-c", text]}
        async with self.session.post(self.base, json=asked | request) as answer:
            return answer.status, await answer.text()

    async def get(self, url: str) -> Any:
        async with self.session.get(url) as answer:
            return await answer.json()


@pytest.fixture
async def launcher(tmp_path: Path) -> AsyncIterator[Launcher]:
    jobdir = tmp_path / "jobs"
    jobdir.mkdir()
    config = tmp_path / "jobwire.toml"
    config.write_text(
        f"""
        [dialects.joblauncher]
        enabled = true
        owner = "launcher"
        [staging]
        roots = ["{jobdir}"]
        """
    )
    service = Service(tmp_path / "data", settings={"JOBWIRE_CONFIG": str(config)})
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield Launcher(service, jobdir, session)
    await service.close()


async def test_a_job_whose_service_was_killed_before_the_201_is_found_and_runs_once(
    launcher: Launcher,
) -> None:
    (launcher.jobdir / "input").write_text("x")
    await launcher.service.start("stager.before_staged=kill@1")

    with suppress(aiohttp.ClientError):
        assert not await launcher.submit(prestaged=["input"]), "it was answered"
    assert await launcher.service.ended(_STEP_S) == -signal.SIGKILL
    await launcher.service.start()
    (url,) = await launcher.get(launcher.base)

    async def is_done() -> bool:
        return bool((await launcher.get(url))["status"]["done"])

    await until(is_done, _STEP_S)
    assert (await launcher.get(url))["status"]["state"] == "DONE"
    assert (launcher.jobdir / "runs").read_text() == "ran\n"


async def test_a_submission_whose_service_is_stopped_is_refused_and_its_job_never_runs(
    launcher: Launcher,
) -> None:
    (launcher.jobdir / "many").mkdir()
    for number in range(4_000):
        (launcher.jobdir / "many" / str(number)).write_text("x")
    await launcher.service.start()

    async def is_staging() -> bool:
        jobs = await launcher.get(launcher.base)
        return bool(jobs) and any((launcher.service.folder / "sandboxes").glob("*/*/*/many/1*"))

    asked = asyncio.create_task(launcher.submit(prestaged=["many"]))
    await until(is_staging, _STEP_S)
    launcher.service.send(signal.SIGTERM)
    status, said = await asked
    code = await launcher.service.ended(_STEP_S)
    await launcher.service.start()
    (url,) = await launcher.get(launcher.base)

    async def is_done() -> bool:
        return bool((await launcher.get(url))["status"]["done"])

    await until(is_done, _STEP_S)
    assert (status, code) == (503, 0), said
    assert (await launcher.get(url))["status"]["state"] == "KILLED"
    assert not (launcher.jobdir / "runs").exists()

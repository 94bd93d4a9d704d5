"""
The three walks over real processes, the same on both pairs of bus and store.

Embedded bus and SQLite are one process of `jobwire up`; RabbitMQ and MongoDB serve one process for
each actor. Whoever speaks HTTP sees no difference.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
import pytest
import pytest_asyncio

from tests.support.deadlines import until
from tests.support.pairs import PAIRS, serving_pair
from tests.support.receiver import receiving
from tests.support.service import Caller

# A fleet takes seconds to start, so the walks share one.
pytestmark = pytest.mark.asyncio(loop_scope="module")

#: Longest time for a step of a walk, on a machine that is busy.
_STEP_S: Final = 90.0


class Service(NamedTuple):
    """A running service: who speaks to it, and a folder that it may stage from and to."""

    admin: Caller
    project: Path


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=PAIRS,
)
async def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    """Yield a service on each pair, in processes of its own."""
    folder = tmp_path_factory.mktemp("pair")
    data, project = folder / "data", folder / "project"
    project.mkdir()
    settings = {"JOBWIRE_STAGING__ROOTS": str(project)}
    async with (
        serving_pair(request, data, settings) as (url, key),
        aiohttp.ClientSession() as session,
    ):
        yield Service(Caller(session, url, key), project)


async def _ended(service: Service, job: Any) -> Any:
    """Wait until a job has an outcome; return it as it is then."""
    shown: Any = {}

    async def has_ended() -> bool:
        nonlocal shown
        shown = (await service.admin.get(job["job"])).json
        return shown["outcome"] is not None

    await until(has_ended, _STEP_S)
    return shown


async def test_a_job_is_reported_followed_and_read_back(service: Service) -> None:
    admin = service.admin
    job = await admin.make_job(name="align sample 7", tags=["rna"])
    webhook = job["webhook"]
    async with admin.follow(f"/v1/jobs/{job['id']}/stream") as feed:
        posted = [
            await admin.post(f"{webhook}&name=run&id=1"),
            await admin.post(f"{webhook}&name=update&id=2", body=b'{"percent": 40}'),
            await admin.post(f"{webhook}&name=finish&id=3"),
            await admin.post(f"{webhook}&name=finish&id=3"),
        ]
        late = await admin.report(job, "run", id="4")
        followed = await feed.entries(5)

    history = (await admin.get(job["history"])).json["items"]
    listed = (await admin.get("/v1/jobs?tag=rna&state=FINISHED")).json["items"]

    assert [answer.status for answer in posted] == [202] * 4
    assert late["code"] == "wrong_state"
    assert [
        (entry["seq"], entry["name"], entry["state"], entry["applied"]) for entry in history
    ] == [
        (1, "create", "CREATED", True),
        (2, "run", "RUNNING", True),
        (3, "update", "RUNNING", True),
        (4, "finish", "FINISHED", True),
        (5, "run", "FINISHED", False),
    ]
    assert followed == history
    assert [(each["id"], each["outcome"]) for each in listed] == [(job["id"], "success")]


async def test_a_job_runs_here_with_its_files_and_tells_its_receiver(service: Service) -> None:
    (service.project / "in.txt").write_text("12\n30\n")
    async with receiving() as receiver:
        job = await service.admin.make_job(
            callbacks=[{"url": receiver.url, "outcomes": ["success"]}],
            spec={
                "argv": ["awk", '{ sum += $1 } END { print sum > "sum"; print "done" }', "in.txt"],
                "directory": f"file://{service.project}",
                "stage_in": [{"from": "in.txt"}],
                "stage_out": [{"from": "sum", "to": "results/sum.txt"}],
            },
        )
        (told,) = await receiver.wait(1, _STEP_S)

    result = (service.project / "results" / "sum.txt").read_text()
    shown = await _ended(service, job)
    printed = await service.admin.get(f"{job['job']}/files/stdout")
    (callback,) = job["callbacks"]

    # Told only when the files are in their place.
    assert result == "42\n"
    assert told.verified(callback["secret"])["data"]["outcome"] == "success"
    assert (shown["state"], shown["exit_code"], shown["attempt"]) == ("FINISHED", 0, 1)
    assert (printed.status, printed.body) == (200, b"done\n")


async def test_a_running_job_is_cancelled_and_nothing_of_it_is_left(service: Service) -> None:
    mark = service.project / "began"
    script = 'echo $$ > "$1"; exec sleep 600'
    job = await service.admin.make_job(spec={"argv": ["sh", "-c", script, "sh", str(mark)]})
    await until(lambda: mark.exists() and mark.read_text().endswith("\n"), _STEP_S)
    process = Path("/proc") / mark.read_text().strip()
    assert process.exists()

    answer = await service.admin.post(f"{job['job']}/cancel")
    shown = await _ended(service, job)
    again = await service.admin.post(f"{job['job']}/cancel")

    assert answer.status in (200, 202)
    assert (shown["state"], shown["outcome"]) == ("CANCELLED", "cancelled")
    assert not process.exists()
    assert (again.status, again.json["code"]) == (409, "already_ended")

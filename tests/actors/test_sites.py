"""A site with a queue, and one whose host is away, in a whole service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from jobwire.actors.runtime.settings import LocalSite, Settings, SiteSettings
from jobwire.actors.system.bootstrap import FIRST_PRINCIPAL
from jobwire.schemas.errors import Misconfigured
from jobwire.schemas.jobs import Job
from tests.support.deadlines import until
from tests.support.leftovers import end_jobs
from tests.support.parts import register
from tests.support.queue_batch import Queue
from tests.support.service import Service, running

_ENDS = {"FINISHED", "FAILED", "CANCELLED", "LOST"}
_INTERVAL_S = 0.25


class Cluster:
    """A service with a site that has a queue."""

    def __init__(self, service: Service, queue: Queue, folder: Path) -> None:
        """Ask a service, and look after the queue of its site."""
        self.service = service
        self.queue = queue
        self.folder = folder

    async def submit(self, script: str, site: str = "cluster", **fields: Any) -> str:
        """Make a job of a shell script."""
        spec = {"argv": ["/bin/sh", "-c", script], "site": site, **fields.pop("spec", {})}
        return str((await self.service.admin.make_job(spec=spec, **fields))["id"])

    async def job(self, job: str) -> Any:
        """Return a job."""
        return (await self.service.admin.get(f"/v1/jobs/{job}")).json

    async def wait(self, job: str, *states: str) -> Any:
        """Wait for one of the states, or for any end; return the job."""

        async def reached() -> bool:
            return (await self.job(job))["state"] in (states or _ENDS)

        await until(reached, 15)
        return await self.job(job)

    async def names(self, job: str) -> list[str]:
        """Name what happened and was applied."""
        page = (await self.service.admin.get(f"/v1/jobs/{job}/history")).json
        return [each["name"] for each in page["items"] if each["applied"]]

    async def stored(self, job: str) -> Job:
        """Return the record of a job."""
        found = await self.service.system._container.store.get(FIRST_PRINCIPAL, job)  # type: ignore[arg-type]
        assert found is not None
        return found


@pytest.fixture(autouse=True)
def _parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    register(
        monkeypatch,
        tmp_path / "parts",
        batch_systems="test_queue = tests.support.queue_batch:QueueBatch",
        hosts="away = tests.support.away_host:AwayHost",
    )


@asynccontextmanager
async def _cluster(folder: Path, **fields: Any) -> AsyncIterator[Cluster]:
    """Run a service over the data of a test; a second one goes on with it."""
    there = folder / "cluster"
    given = {"grace_s": 0.5, "lost_after_s": 0.5, "interval_s": _INTERVAL_S, **fields}
    site = SiteSettings(name="cluster", batch="test_queue", folder=str(there), **given)
    settings = Settings(port=0, local=LocalSite(slots=2), sites=(site,), reaper_interval_s=0.1)
    try:
        async with running(folder / "data", settings) as service:
            yield Cluster(service, Queue(there), there)
    finally:
        if there.exists():
            end_jobs(there)


@pytest.fixture(name="cluster")
async def _one_cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with _cluster(tmp_path) as cluster:
        yield cluster


async def test_a_job_that_only_waits_in_a_queue_is_queued_and_keeps_being_it(
    cluster: Cluster,
) -> None:
    job = await cluster.submit("exit 0")

    queued = await cluster.wait(job, "QUEUED", *_ENDS)
    await asyncio.sleep(3 * _INTERVAL_S)  # time for polls that find it still waiting
    later = await cluster.job(job)

    assert (queued["state"], queued["native"], later["state"]) == ("QUEUED", "1", "QUEUED")
    assert await cluster.names(job) == ["create", "submit", "queued"]
    assert (await cluster.stored(job)).native == "1"


async def test_a_job_of_a_queue_starts_and_ends_as_the_polls_find_it(cluster: Cluster) -> None:
    job = await cluster.submit("sleep 0.5; exit 4")
    await cluster.wait(job, "QUEUED")

    cluster.queue.start()
    running_ = await cluster.wait(job, "RUNNING", *_ENDS)
    ended = await cluster.wait(job)

    assert (running_["state"], ended["state"], ended["exit_code"]) == ("RUNNING", "FAILED", 4)
    assert await cluster.names(job) == ["create", "submit", "queued", "run", "fail"]


async def test_what_the_queue_does_not_take_fails_with_its_words(cluster: Cluster) -> None:
    cluster.queue.close()

    ended = await cluster.wait(await cluster.submit("true"))

    assert (ended["state"], ended["cause"]) == ("FAILED", "could_not_start")
    assert "closed for maintenance" in ended["detail"]


async def test_all_jobs_of_a_queue_are_looked_up_with_one_command_in_each_interval(
    cluster: Cluster,
) -> None:
    jobs = [await cluster.submit("true") for _ in range(8)]
    for job in jobs:
        await cluster.wait(job, "QUEUED")

    before = len(cluster.queue.asked("status"))
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(4 * _INTERVAL_S)
    asked = cluster.queue.asked("status")[before:]
    passed_s = asyncio.get_running_loop().time() - began

    assert 1 <= len(asked) <= passed_s / _INTERVAL_S + 1
    assert set(asked) == {1 + 2 * len(jobs)}  # each of them is about all jobs


@pytest.mark.parametrize("starts", [False, True])
async def test_a_cancel_asks_for_the_end_and_looks_until_nothing_is_alive(
    cluster: Cluster, starts: bool
) -> None:
    job = await cluster.submit("trap 'sleep 0.2; exit 0' TERM; touch ready; sleep 1000 & wait")
    await cluster.wait(job, "QUEUED")
    if starts:
        cluster.queue.start()
        await until((cluster.folder / job / "1" / "work" / "ready").exists)

    await cluster.service.admin.post(f"/v1/jobs/{job}/cancel")
    ended = await cluster.wait(job)
    cluster.queue.start()

    assert ended["state"] == "CANCELLED"
    assert (await cluster.names(job)).count("cancelled") == 1
    assert len(cluster.queue.asked("cancel")) == 1


async def test_a_restart_finds_what_waits_in_the_queue_and_doubts_nothing(tmp_path: Path) -> None:
    async with _cluster(tmp_path) as cluster:
        job = await cluster.submit("echo run >> ledger; exit 3")
        await cluster.wait(job, "QUEUED")

    async with _cluster(tmp_path) as cluster:
        await asyncio.sleep(3 * _INTERVAL_S)
        waiting = await cluster.job(job)
        cluster.queue.start()
        ended = await cluster.wait(job)

        assert (waiting["state"], ended["exit_code"]) == ("QUEUED", 3)
        assert "suspect" not in await cluster.names(job)
        assert len(cluster.queue.asked("submit")) == 1


async def test_no_more_jobs_are_handed_to_a_queue_at_a_time_than_are_set(tmp_path: Path) -> None:
    async with _cluster(tmp_path, starts=2) as cluster:
        host = cluster.service.system._container.sites["cluster"].host
        now = most = 0
        run = host.run

        async def counted(argv: Any, **rest: Any) -> Any:
            nonlocal now, most
            if "submit" not in argv:
                return await run(argv, **rest)
            now += 1
            most = max(most, now)
            try:
                return await run(argv, **rest)
            finally:
                now -= 1

        host.run = counted  # type: ignore[method-assign]
        jobs = [await cluster.submit("true") for _ in range(8)]
        for job in jobs:
            await cluster.wait(job, "QUEUED")

    assert most == 2


async def test_a_hook_that_is_quicker_than_the_submitter_loses_neither_the_id_nor_the_watch(
    cluster: Cluster,
) -> None:
    made = await cluster.service.admin.make_job(
        spec={"argv": ["/bin/true"], "site": "cluster"}, hold=True
    )
    job = str(made["id"])
    host = cluster.service.system._container.sites["cluster"].host
    run = host.run

    async def with_a_hook(argv: Any, **rest: Any) -> Any:
        done = await run(argv, **rest)
        if "submit" in argv:
            await cluster.service.admin.report(made, "run", attempt=1)
        return done

    host.run = with_a_hook  # type: ignore[method-assign]
    await cluster.service.admin.post(f"/v1/jobs/{job}/release")

    async def is_watched() -> bool:
        awaited = (await cluster.stored(job)).outstanding
        return awaited is not None and awaited.kind == "Watch"

    await until(is_watched)
    shown = await cluster.job(job)
    cluster.queue.start()
    ended = await cluster.wait(job)

    assert (shown["state"], shown["native"], ended["state"]) == ("RUNNING", "1", "FINISHED")


async def test_files_of_a_queued_job_come_in_and_out(cluster: Cluster) -> None:
    files = cluster.service.folder.path / "files" / FIRST_PRINCIPAL
    files.mkdir(parents=True)
    (files / "in").write_text("data")
    spec = {"stage_in": [{"from": "in"}], "stage_out": [{"from": "out", "to": "out"}]}
    job = await cluster.submit("tr a-z A-Z < in > out", spec=spec)
    await cluster.wait(job, "QUEUED")

    cluster.queue.start()
    ended = await cluster.wait(job)

    assert ended["state"] == "FINISHED"
    assert (files / "out").read_text() == "DATA"


# --- a host that is away --------------------------------------------------------------------------


async def test_a_site_that_is_away_keeps_only_its_own_jobs_waiting(tmp_path: Path) -> None:
    folder = tmp_path / "far"
    away = SiteSettings(name="far", address="away://far", folder=str(folder), grace_s=0.5)
    settings = Settings(port=0, sites=(away,), reaper_interval_s=0.1)
    async with running(tmp_path / "data", settings) as service:
        cluster = Cluster(service, Queue(folder), folder)
        files = service.folder.path / "files" / FIRST_PRINCIPAL
        files.mkdir(parents=True)
        (files / "in").write_text("data")
        plain = await cluster.submit("exit 0", site="far")
        stage_in = {"stage_in": [{"from": "in"}]}
        staged = [await cluster.submit("cat in", site="far", spec=stage_in) for _ in range(6)]
        near = await cluster.submit("cat in", site="local", spec=stage_in)

        ready = await service.nobody.get("/health/ready")
        near_ended = await cluster.wait(near)
        states = [(await cluster.job(job))["state"] for job in (plain, *staged)]
        trouble = service.system._container.sites["far"].trouble
        tmp_path.joinpath("far.back").touch()
        ended = [(await cluster.wait(job))["state"] for job in (plain, *staged)]

    assert (ready.status, near_ended["state"]) == (200, "FINISHED")
    assert (set(states), trouble) == ({"CREATED"}, "connection refused")
    assert set(ended) == {"FINISHED"}


# --- settings -------------------------------------------------------------------------------------


async def test_each_site_has_its_own_limits_and_says_where_its_jobs_report(tmp_path: Path) -> None:
    odd = SiteSettings(name="odd", callback_url="http://gate:1", file_bytes=512, open_files=33)
    settings = Settings(port=0, sites=(odd,))
    async with running(tmp_path / "data", settings) as service:
        cluster = Cluster(service, Queue(tmp_path / "none"), tmp_path / "data" / "sandboxes-odd")
        script = 'echo "$JOBWIRE_URL $(ulimit -f) $(ulimit -n)"'
        for site in ("odd", "local"):
            job = await cluster.submit(script, site=site)
            assert (await cluster.wait(job))["state"] == "FINISHED"
            folder = service.folder.path / ("sandboxes-odd" if site == "odd" else "sandboxes")
            text = (folder / job / "1" / "work" / "stdout").read_text()
            limits = "1 33" if site == "odd" else "unlimited 4096"
            url = "http://gate:1" if site == "odd" else service.url
            assert text == f"{url} {limits}\n"


@pytest.mark.parametrize(
    ("sites", "words"),
    [
        ((SiteSettings(name="a"), SiteSettings(name="a")), "two sites are called 'a'"),
        ((SiteSettings(name="local"),), "two sites are called 'local'"),
        ((SiteSettings(name="a", batch="lsf"),), "'lsf' in the family batch_systems; known: local"),
        ((SiteSettings(name="a", address="carrier://b"),), "'carrier' in the family hosts"),
    ],
)
async def test_a_site_that_cannot_be_stops_the_start_with_a_word_on_it(
    tmp_path: Path, sites: tuple[SiteSettings, ...], words: str
) -> None:
    with pytest.raises(Misconfigured, match=words):
        async with running(tmp_path / "data", Settings(port=0, sites=sites)):
            pass

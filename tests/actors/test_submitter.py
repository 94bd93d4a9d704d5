"""The submitter in a whole service: real processes, a real store, restarts."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from jobwire.actors.batch_systems.base import RunStatus
from jobwire.actors.runtime import failpoints
from jobwire.actors.runtime.settings import LocalSite, Settings
from jobwire.actors.submitter.actor import Submitter
from jobwire.actors.system.bootstrap import FIRST_PRINCIPAL
from jobwire.actors.workers.gateway import Assignment
from jobwire.schemas.commands import Command
from jobwire.schemas.errors import Unavailable
from jobwire.schemas.identifiers import EventId
from jobwire.schemas.jobs import Job
from tests.support.deadlines import PATIENCE_S, until
from tests.support.service import Service, running

_ENDS = {"FINISHED", "FAILED", "CANCELLED", "LOST"}


#: Fields of a request beside its spec.
_OF_JOB = ("priority", "hold", "tags", "start_within_s")


class Yard:
    """A service that runs jobs."""

    def __init__(self, service: Service, folder: Path) -> None:
        """Ask a service; jobs write in a folder that all of them know."""
        self.service = service
        self.folder = folder

    async def submit(self, *argv: str, **rest: Any) -> str:
        """Make a job of a command; return its id."""
        fields = {name: rest.pop(name) for name in _OF_JOB if name in rest}
        made = await self.service.admin.make_job(spec={"argv": argv, **rest}, **fields)
        return str(made["id"])

    async def script(self, text: str, **rest: Any) -> str:
        """Make a job of a shell script, which is started in the common folder."""
        return await self.submit("/bin/sh", "-c", f"cd '{self.folder}' && {text}", **rest)

    async def job(self, job: str) -> Any:
        """Return a job."""
        return (await self.service.admin.get(f"/v1/jobs/{job}")).json

    async def wait(self, job: str, *states: str, within_s: float = PATIENCE_S) -> Any:
        """Wait for one of the states, or for any end; return the job."""

        async def reached() -> bool:
            return (await self.job(job))["state"] in (states or _ENDS)

        await until(reached, within_s)
        return await self.job(job)

    async def history(self, job: str) -> list[Any]:
        """Return what happened, without what was not applied."""
        page = (await self.service.admin.get(f"/v1/jobs/{job}/history")).json
        return [each for each in page["items"] if each["applied"]]

    async def names(self, job: str) -> list[str]:
        """Name what happened."""
        return [each["name"] for each in await self.history(job)]

    async def cancel(self, job: str) -> None:
        """Ask for a cancel."""
        answer = await self.service.admin.post(f"/v1/jobs/{job}/cancel")
        assert answer.status in (200, 202), answer.body

    async def stored(self, job: str) -> Job:
        """Return the record of a job."""
        found = await self.service.system._container.store.get(FIRST_PRINCIPAL, job)  # type: ignore[arg-type]
        assert found is not None
        return found

    async def publish(self, job: str) -> Command | None:
        """Publish what the job awaits once more, as the reaper does in time."""
        command = (await self.stored(job)).command()
        if command is not None and command.queue is not None:
            await self.service.system._container.transport.send(
                command.queue, [msgspec.msgpack.encode(command)]
            )
        return command

    def go(self) -> None:
        """Let the jobs that wait for it go on."""
        (self.folder / "go").touch()

    def lines(self, name: str) -> list[str]:
        """Return the lines of a file in the common folder."""
        file = self.folder / name
        return file.read_text().splitlines() if file.exists() else []

    def output(self, job: str, name: str = "stdout") -> str:
        """Return what the first attempt of a job wrote."""
        return (self.sandbox(job) / "1" / "work" / name).read_text()

    def attempts(self, job: str) -> list[str]:
        """Name the sandboxes of a job."""
        return sorted(each.name for each in self.sandbox(job).iterdir())

    def written(self, job: str) -> bytes:
        """Return everything that the shim wrote about the first attempt."""
        control = self.sandbox(job) / "1" / "control"
        return b"".join(each.read_bytes() for each in control.iterdir() if each.is_file())

    def make_secret(self, name: str, value: str) -> Path:
        """Make a secret; return its file."""
        folder = self.service.folder.path / "secrets" / FIRST_PRINCIPAL
        folder.mkdir(parents=True)
        file = folder / name
        file.write_text(value)
        return file

    def sandbox(self, job: str) -> Path:
        """Return the place of a job's files."""
        return self.service.folder.path / "sandboxes" / job


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


@asynccontextmanager
async def _yard(tmp_path: Path, *, leaves_jobs: bool = False, **site: Any) -> AsyncIterator[Yard]:
    """Run a service over the data of a test; with `leaves_jobs` a second one goes on with it."""
    folder = _made(tmp_path / "common")
    local = LocalSite(**{"slots": 2, "grace_s": 0.5, "lost_after_s": 0.3, **site})
    settings = Settings(port=0, local=local, reaper_interval_s=0.1)
    async with running(tmp_path / "data", settings, leaves_jobs=leaves_jobs) as service:
        yield Yard(service, folder)


@pytest.fixture(name="yard")
async def _one_yard(tmp_path: Path) -> AsyncIterator[Yard]:
    async with _yard(tmp_path) as yard:
        yield yard


def _is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b") ")[2][:1] not in (b"Z", b"X")


# --- how jobs end


async def test_a_job_runs_to_its_end(yard: Yard) -> None:
    job = await yard.submit("/bin/sh", "-c", "echo out; echo err >&2")

    ended = await yard.wait(job)

    assert ended["state"] == "FINISHED"
    assert await yard.names(job) == ["create", "submit", "run", "finish"]
    assert yard.output(job) == "out\n"
    assert yard.output(job, "stderr") == "err\n"


@pytest.mark.parametrize(
    ("argv", "cause"),
    [
        (["/bin/sh", "-c", "exit 7"], "exit_code"),
        (["/bin/sh", "-c", "kill -SEGV $$"], "signal"),
        (["no-such-program"], "could_not_start"),
        (["/etc/passwd"], "could_not_start"),
    ],
)
async def test_why_a_job_failed_is_told(yard: Yard, argv: list[str], cause: str) -> None:
    job = await yard.submit(*argv)

    ended = await yard.wait(job)

    assert (ended["state"], ended["cause"]) == ("FAILED", cause)
    last = (await yard.history(job))[-1]
    assert last["name"] == "fail"
    if cause == "exit_code":
        assert last["data"]["exit_code"] == 7
    elif cause == "signal":
        assert (last["data"]["exit_code"], last["data"]["signal"]) == (139, "SIGSEGV")
    else:
        assert argv[0] in last["data"]["detail"]


@pytest.mark.parametrize(
    ("resources", "cause"), [({"walltime_s": 0.2}, "walltime"), ({"memory_mb": 30}, "memory")]
)
async def test_a_job_that_takes_too_much_is_ended(
    yard: Yard, resources: dict[str, Any], cause: str
) -> None:
    code = "import time; x = b'x' * (60 << 20); time.sleep(1000)"
    job = await yard.submit("python3", "-c", code, resources=resources)

    ended = await yard.wait(job)

    assert (ended["state"], ended["cause"]) == ("FAILED", cause)


async def test_a_failed_job_is_tried_again_in_a_sandbox_of_its_own(yard: Yard) -> None:
    retries = {"max": 2, "backoff_s": 0}
    job = await yard.script("echo $JOBWIRE_ATTEMPT >> tries; exit 3", retries=retries)

    ended = await yard.wait(job)

    assert ended["state"] == "FAILED"
    assert yard.lines("tries") == ["1", "2", "3"]
    assert yard.attempts(job) == ["1", "2", "3"]


async def test_a_job_knows_who_it_is_and_nothing_of_the_service(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SERVICE", "1")
    job = await yard.submit("/usr/bin/env", "-0", env={"MINE": "a\nb'c"})

    await yard.wait(job)

    found = dict(each.split("=", 1) for each in yard.output(job).split("\0")[:-1])
    assert set(found) == {
        *("PATH", "LANG", "HOME", "USER", "LOGNAME", "MINE"),
        *("JOBWIRE_JOB", "JOBWIRE_ATTEMPT", "JOBWIRE_RUN", "JOBWIRE_URL", "JOBWIRE_TOKEN"),
    }
    assert found["MINE"] == "a\nb'c"
    assert found["JOBWIRE_JOB"] == job
    assert found["JOBWIRE_RUN"] == f"{job}.1"
    assert found["JOBWIRE_URL"] == yard.service.url
    said = await yard.service.nobody.post(
        "/v1/events?wait=5", json={"uuid": job, "name": "update", "token": found["JOBWIRE_TOKEN"]}
    )
    assert said.status in (200, 409)


async def test_a_secret_reaches_the_job_and_nobody_else(yard: Yard) -> None:
    yard.make_secret("key", "s3cr3t-value\n")
    job = await yard.script(
        'printf %s "$KEY" > got; tr "\\0" "\\n" < /proc/$PPID/cmdline > line; sleep 0.2',
        env={"KEY": {"secret": "key"}},
    )

    await yard.wait(job)

    assert yard.lines("got") == ["s3cr3t-value"]
    assert "s3cr3t" not in "".join(yard.lines("line"))
    assert b"s3cr3t" not in yard.written(job)
    assert b"s3cr3t" not in msgspec.json.encode(await yard.history(job))


async def test_a_missing_secret_is_named(yard: Yard) -> None:
    secret = yard.make_secret("key", "s3cr3t-value\n")
    job = await yard.script("true", env={"KEY": {"secret": "key"}}, hold=True)
    secret.unlink()
    await yard.service.admin.post(f"/v1/jobs/{job}/release")

    ended = await yard.wait(job)

    assert (ended["state"], ended["cause"]) == ("FAILED", "could_not_start")
    assert "'key'" in (await yard.history(job))[-1]["data"]["detail"]


# --- cancel


async def test_a_running_job_is_cancelled_with_all_that_it_started(yard: Yard) -> None:
    job = await yard.script(
        "(setsid sleep 1000 & echo $! >> pids); sleep 1000 & echo $! >> pids; echo $$ >> pids; wait"
    )
    await until(lambda: len(yard.lines("pids")) == 3)

    await yard.cancel(job)
    ended = await yard.wait(job)

    assert ended["state"] == "CANCELLED"
    assert [pid for pid in map(int, yard.lines("pids")) if _is_alive(pid)] == []


async def test_a_waiting_job_is_cancelled_and_never_runs(yard: Yard) -> None:
    busy = [await yard.submit("sleep", "1000") for _ in range(2)]
    for each in busy:
        await yard.wait(each, "RUNNING")
    waiting = await yard.script("echo run >> ledger")

    await yard.cancel(waiting)
    ended = await yard.wait(waiting)
    for each in busy:
        await yard.cancel(each)
        await yard.wait(each)

    assert ended["state"] == "CANCELLED"
    assert await yard.names(waiting) == ["create", "cancel"]
    assert yard.lines("ledger") == []


async def test_a_cancel_in_the_gap_before_the_start_wins(yard: Yard) -> None:
    asked: list[asyncio.Task[None]] = []
    jobs: list[str] = []
    failpoints.arm(
        "submitter.after_intent", lambda: asked.append(asyncio.ensure_future(yard.cancel(jobs[0])))
    )
    jobs.append(await yard.script("echo run >> ledger; sleep 1000", hold=True))
    await yard.service.admin.post(f"/v1/jobs/{jobs[0]}/release")

    ended = await yard.wait(jobs[0])
    await asyncio.gather(*asked)

    assert asked
    assert ended["state"] == "CANCELLED"
    assert len(yard.lines("ledger")) <= 1


async def test_a_cancel_that_comes_twice_is_one(yard: Yard) -> None:
    job = await yard.submit("sleep", "1000")
    await yard.wait(job, "RUNNING")

    await yard.cancel(job)
    await yard.publish(job)
    await yard.publish(job)
    await yard.wait(job)

    assert (await yard.names(job)).count("cancelled") == 1


async def test_the_end_of_a_cancelled_job_is_reported_once(tmp_path: Path) -> None:
    async with _yard(tmp_path, slots=50) as yard:
        jobs = [await yard.submit("sleep", "1000") for _ in range(50)]
        for job in jobs:
            await yard.wait(job, "RUNNING")

        await asyncio.gather(*(yard.cancel(job) for job in jobs))
        for job in jobs:
            await yard.wait(job, within_s=30)
        submitter = _submitter(yard)
        await until(lambda: not submitter._tasks)  # nobody watches any more

        text = (await yard.service.nobody.get("/metrics")).body.decode()
        pages = [
            (await yard.service.admin.get(f"/v1/jobs/{job}/history")).json["items"] for job in jobs
        ]

    counts = dict(line.split() for line in text.splitlines() if line.startswith("jobwire_events"))
    assert (counts["jobwire_events_conflict_total"], counts["jobwire_events_duplicate_total"]) == (
        "0.0",
        "0.0",
    )
    assert all([each["name"] for each in page].count("cancelled") == 1 for page in pages)


# --- slots


async def test_no_more_jobs_run_than_there_are_slots_and_a_wide_one_takes_several(
    yard: Yard,
) -> None:
    script = "echo + >> log; sleep 0.1; echo - >> log"
    jobs = [await yard.script(script) for _ in range(5)]
    wide = await yard.script(
        "echo wide >> log; sleep 0.05; echo ediw >> log", resources={"cores": 2}
    )

    for job in (*jobs, wide):
        assert (await yard.wait(job))["state"] == "FINISHED"

    log = yard.lines("log")
    depth = list(accumulate({"+": 1, "-": -1}.get(each, 0) for each in log))
    assert max(depth) <= 2
    assert depth[log.index("wide")] == depth[log.index("ediw")] == 0


async def test_the_higher_priority_starts_first(tmp_path: Path) -> None:
    async with _yard(tmp_path, slots=1) as yard:
        busy = await yard.submit("sleep", "1000")
        await yard.wait(busy, "RUNNING")
        jobs = [await yard.script(f"echo {n} >> log", priority=n) for n in (-5, 9, 0)]

        await yard.cancel(busy)
        for job in jobs:
            await yard.wait(job)

        assert yard.lines("log") == ["9", "0", "-5"]


async def test_commands_that_come_again_and_again_start_nothing_twice(yard: Yard) -> None:
    jobs = [await yard.script("echo $JOBWIRE_JOB >> ledger; sleep 0.05") for _ in range(6)]

    async def all_ended() -> bool:
        for job in jobs:
            await yard.publish(job)
        return all([(await yard.job(job))["state"] in _ENDS for job in jobs])

    await until(all_ended)
    assert sorted(yard.lines("ledger")) == sorted(jobs)


async def test_a_command_that_is_none_stops_nothing(yard: Yard) -> None:
    await yard.service.system._container.transport.send("commands.site.local", [b"no command"])

    assert (await yard.wait(await yard.submit("true")))["state"] == "FINISHED"


# --- restarts


async def test_a_restart_leaves_jobs_running_and_finds_their_ends(tmp_path: Path) -> None:
    async with _yard(tmp_path, leaves_jobs=True) as yard:
        during = await yard.script("echo $$ >> pids; sleep 0.2; exit 5")
        after = await yard.script("echo $$ >> pids; until [ -e go ]; do sleep 0.02; done; exit 6")
        await until(lambda: len(yard.lines("pids")) == 2)
        first, second = map(int, yard.lines("pids"))
    await until(lambda: not (_is_alive(first) and _is_alive(second)))

    async with _yard(tmp_path) as yard:
        one = await yard.wait(during)
        state = (await yard.job(after))["state"]
        yard.go()
        two = await yard.wait(after)

        assert state == "RUNNING"
        assert (one["cause"], two["cause"]) == ("exit_code", "exit_code")
        codes = [(await yard.history(job))[-1]["data"]["exit_code"] for job in (during, after)]
        assert codes == [5, 6]
        assert len(yard.lines("pids")) == 2
        assert await yard.names(after) == ["create", "submit", "run", "fail"]


async def test_after_a_restart_what_runs_has_its_slot_before_what_waits(tmp_path: Path) -> None:
    async with _yard(tmp_path, leaves_jobs=True, slots=1) as yard:
        runs = await yard.script(
            "echo $$ >> pids; until [ -e go ]; do sleep 0.02; done; echo first >> log"
        )
        await until(lambda: len(yard.lines("pids")) == 1)
        waits = await yard.script("echo second >> log")

    async with _yard(tmp_path, slots=1) as yard:
        await asyncio.sleep(0.5)  # time for a mistake
        early = yard.lines("log")
        yard.go()
        await yard.wait(runs)
        await yard.wait(waits)

        assert early == []
        assert yard.lines("log") == ["first", "second"]


async def test_a_stop_with_jobs_that_wait_starts_none_of_them(tmp_path: Path) -> None:
    async with _yard(tmp_path, leaves_jobs=True, slots=1) as yard:
        runs = await yard.script("echo $$ >> pids; sleep 0.3")
        await until(lambda: len(yard.lines("pids")) == 1)  # it works where its end is not ours
        waiting = [await yard.script("echo $JOBWIRE_JOB >> ledger") for _ in range(3)]
    assert yard.lines("ledger") == []

    async with _yard(tmp_path, slots=1) as yard:
        for job in (runs, *waiting):
            ended = await yard.wait(job)
            assert ended["state"] == "FINISHED", ended
        assert sorted(yard.lines("ledger")) == sorted(waiting)


class _Struck(Exception):
    """The end of a piece of work at a named place."""


@pytest.mark.parametrize(
    "place",
    [
        "submitter.before_intent",
        "submitter.after_intent",
        "submitter.before_start",
        "submitter.after_start",
        "submitter.after_run_reported",
        "submitter.before_end_reported",
        "submitter.after_end_reported",
    ],
)
async def test_work_that_breaks_off_anywhere_is_taken_up_again_and_runs_once(
    yard: Yard, place: str
) -> None:
    struck: list[str] = []

    def strike() -> None:
        if not struck:
            struck.append(place)
            raise _Struck

    failpoints.arm(place, strike)
    job = await yard.script("echo run >> ledger; exit 4")
    await until(lambda: bool(struck))

    async def ended() -> bool:
        await yard.publish(job)
        return (await yard.job(job))["state"] in _ENDS

    await until(ended)

    assert (await yard.job(job))["cause"] == "exit_code"
    assert (await yard.history(job))[-1]["data"]["exit_code"] == 4
    assert yard.lines("ledger") == ["run"]


async def test_a_start_that_nobody_can_tell_of_is_looked_up_and_runs_on(yard: Yard) -> None:
    def away() -> None:
        raise Unavailable("the answer was lost")

    failpoints.arm("submitter.after_start", away)
    job = await yard.script("echo run >> ledger; exit 3")

    ended = await yard.wait(job)

    assert (ended["state"], ended["cause"]) == ("FAILED", "exit_code")
    assert yard.lines("ledger") == ["run"]


async def test_a_start_that_failed_burns_the_latch_before_it_is_reported(yard: Yard) -> None:
    def away() -> None:
        raise Unavailable("the machine has no processes left")

    failpoints.arm("submitter.before_start", away)
    job = await yard.script("echo run >> ledger")

    ended = await yard.wait(job)

    assert (ended["state"], ended["cause"]) == ("FAILED", "could_not_start")
    assert "no processes left" in (await yard.history(job))[-1]["data"]["detail"]
    assert str(_latch(yard, job)).startswith("could_not_start:")
    assert yard.lines("ledger") == []


def _latch(yard: Yard, job: str) -> Path:
    return (yard.sandbox(job) / "1" / "control" / "latch").readlink()


# --- jobs of which nothing is known


async def test_a_job_whose_shim_was_killed_is_interrupted_and_nothing_of_it_is_left(
    yard: Yard,
) -> None:
    job = await yard.script("echo $$ >> pids; sleep 1000")
    await until(lambda: len(yard.lines("pids")) == 1)
    run = next(each for each in await yard.history(job) if each["name"] == "run")

    os.kill(run["data"]["pid"], signal.SIGKILL)
    ended = await yard.wait(job)

    assert (ended["state"], ended["cause"]) == ("FAILED", "interrupted")
    assert not _is_alive(int(yard.lines("pids")[0]))


async def test_a_job_whose_sandbox_is_gone_is_unknown_and_then_lost(yard: Yard) -> None:
    job = await yard.script("echo $$ >> pids; exec sleep 1000")
    await until(lambda: len(yard.lines("pids")) == 1)
    await yard.wait(job, "RUNNING")
    shutil.rmtree(yard.sandbox(job))
    os.kill(int(yard.lines("pids")[0]), signal.SIGKILL)

    async def lost() -> bool:
        await yard.publish(job)
        return (await yard.job(job))["state"] in _ENDS

    await until(lost)

    assert (await yard.job(job))["state"] == "LOST"
    assert await yard.names(job) == ["create", "submit", "run", "suspect", "lose"]


def _move(one: Path, other: Path) -> None:
    one.rename(other)


async def test_an_unknown_job_that_is_found_again_runs_on_and_tells_its_end(
    tmp_path: Path,
) -> None:
    async with _yard(tmp_path, leaves_jobs=True, lost_after_s=60) as yard:
        job = await yard.script("until [ -e go ]; do sleep 0.02; done; exit 3")
        await yard.wait(job, "RUNNING")

    sandbox = yard.sandbox(job)
    _move(sandbox, tmp_path / "away")
    async with _yard(tmp_path, lost_after_s=60) as yard:
        await yard.wait(job, "UNKNOWN")
        _move(tmp_path / "away", sandbox)
        await yard.publish(job)
        await yard.wait(job, "RUNNING")
        yard.go()
        ended = await yard.wait(job)

        assert (ended["state"], ended["cause"]) == ("FAILED", "exit_code")
        names = await yard.names(job)
        assert names == ["create", "submit", "run", "suspect", "run", "fail"]


# --- waiting for cores ----------------------------------------------------------------------------


@pytest.mark.parametrize("control", ["cancel", "hold"])
async def test_nobody_waits_behind_a_wide_job_that_was_cancelled_or_held(
    tmp_path: Path, control: str
) -> None:
    async with _yard(tmp_path, slots=2) as yard:
        long = await yard.script("until [ -e go ]; do sleep 0.05; done")
        await yard.wait(long, "RUNNING")
        wide = await yard.submit("true", resources={"cores": 2})
        small = await yard.submit("true")
        await asyncio.sleep(0.2)
        waiting = (await yard.job(small))["state"]

        await yard.service.admin.post(f"/v1/jobs/{wide}/{control}")
        ended = await yard.wait(small)
        yard.go()
        await yard.wait(long)

    assert (waiting, ended["state"]) == ("CREATED", "FINISHED")


async def test_a_job_that_is_wider_than_its_site_has_become_fails_and_blocks_nobody(
    tmp_path: Path,
) -> None:
    async with _yard(tmp_path, slots=4) as yard:
        wide = await yard.submit("true", resources={"cores": 4}, hold=True)
    async with _yard(tmp_path, slots=1) as yard:
        await yard.service.admin.post(f"/v1/jobs/{wide}/release")
        small = await yard.submit("true")
        ended = await yard.wait(wide)
        other = await yard.wait(small)

    assert (ended["cause"], other["state"]) == ("could_not_start", "FINISHED")
    assert "4" in ended["detail"]


async def test_a_job_that_has_waited_too_long_for_its_start_fails_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    async with _yard(tmp_path, slots=1) as yard:
        long = await yard.script("until [ -e go ]; do sleep 0.05; done")
        await yard.wait(long, "RUNNING")
        late = await yard.submit("true", start_within_s=0.3)
        patient = await yard.submit("true")

        ended = await yard.wait(late)
        waiting = (await yard.job(patient))["state"]
        yard.go()
        other = await yard.wait(patient)

    assert (ended["state"], ended["cause"]) == ("FAILED", "waited")
    assert "it had not started by" in ended["detail"]
    assert (waiting, other["state"]) == ("CREATED", "FINISHED")


def _submitter(yard: Yard) -> Submitter:
    return next(each for each in yard.service.system._actors if isinstance(each, Submitter))


async def test_an_end_that_could_not_be_reported_is_reported_again(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter = _submitter(yard)._reporter
    report, failures = reporter.ended, iter([Unavailable("away")])

    async def fail_once(assignment: Assignment, status: RunStatus) -> None:
        for failure in failures:
            raise failure
        await report(assignment, status)

    monkeypatch.setattr(reporter, "ended", fail_once)
    job = await yard.submit("sh", "-c", "exit 3")

    ended = await yard.wait(job)

    assert (ended["cause"], ended["exit_code"], next(failures, None)) == ("exit_code", 3, None)


async def test_a_late_copy_of_a_start_leaves_the_watch_of_the_run_alone(yard: Yard) -> None:
    job = await yard.script("until [ -e go ]; do sleep 0.02; done")
    await yard.wait(job, "RUNNING")
    submitter = _submitter(yard)
    watch = (await yard.stored(job)).command()
    assert watch is not None
    late = replace(watch, kind="Submit", entry=EventId("create"))
    await until(lambda: (watch.job, 1) in submitter._watcher.watched)

    submitter._accept(late)
    await until(lambda: late not in submitter._in_hand)
    watched = (watch.job, 1) in submitter._watcher.watched
    yard.go()

    assert watched
    assert (await yard.wait(job))["state"] == "FINISHED"

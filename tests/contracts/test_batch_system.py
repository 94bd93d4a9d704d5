"""What every batch system promises: each starts, shows and ends attempts of its own on a host."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from jobwire.actors.batch_systems.base import ALIVE, BatchSystem, Launch, RunStatus
from jobwire.actors.hosts.base import Completed
from jobwire.actors.hosts.local import LocalHost
from jobwire.actors.submitter.shim import SHIM
from jobwire.schemas.specs import Resources
from tests.support.deadlines import until
from tests.support.factories import job_id
from tests.support.leftovers import end_jobs

_SECRET = "it's $(id)\n\n"


class Bench:
    """Attempts on this machine, started by one batch system."""

    def __init__(self, folder: Path, batch: BatchSystem, start: Callable[[Path], None]) -> None:
        """Keep everything below a folder; `start` lets start what waits in a queue."""
        self.folder = folder
        self.batch = batch
        self.host = LocalHost(folder)
        self._start = start
        self._job = job_id(secrets.randbelow(2**40))

    def launch(self, *argv: str, number: int = 1) -> Launch:
        """Describe an attempt."""
        base = self.folder / self._job / str(number)
        for each in ("control", "work"):
            (base / each).mkdir(parents=True, exist_ok=True)
        return Launch(
            run=f"{self._job}.{number}",
            shim=str(SHIM),
            control=str(base / "control"),
            work=str(base / "work"),
            stdout="stdout",
            stderr="stderr",
            argv=argv,
            resources=Resources(),
            grace_s=0.3,
            file_bytes=0,
            open_files=256,
        )

    async def submit(self, launch: Launch, **environment: str) -> RunStatus:
        """Submit an attempt."""
        given = {"PATH": "/usr/bin:/bin", "JOBWIRE_RUN": launch.run, **environment}
        stdin = self.batch.submit_stdin(launch, given)
        done = await self.host.run(self.batch.submit_argv(launch), stdin=stdin)
        return self.batch.parse_submitted(done)

    async def start(self) -> None:
        """Let start what waits in a queue."""
        await asyncio.to_thread(self._start, self.folder)

    async def look(self, *launches: Launch) -> dict[str, RunStatus]:
        """Look attempts up."""
        dones = [await self.host.run(argv) for argv in self.batch.status_argvs(launches)]
        return self.batch.parse_statuses(dones, launches)

    async def status(self, launch: Launch) -> RunStatus:
        """Look one attempt up."""
        return (await self.look(launch))[launch.run]

    async def reach(self, launch: Launch, is_meant: Callable[[RunStatus], bool]) -> RunStatus:
        """Look an attempt up until it is as is meant."""

        async def is_reached() -> bool:
            return is_meant(await self.status(launch))

        await until(is_reached, 10)
        return await self.status(launch)

    async def ended(self, launch: Launch) -> RunStatus:
        """Look an attempt up until it has ended."""
        return await self.reach(launch, lambda found: found.state not in ALIVE)

    async def cancel(self, launch: Launch) -> RunStatus:
        """End an attempt as the submitter does: with the commands, then with look-ups."""
        dones = [await self.host.run(argv) for argv in self.batch.cancel_argvs(launch, "cancelled")]
        return self.batch.parse_cancelled(dones) or await self.ended(launch)


@pytest.fixture
async def bench(
    tmp_path: Path, batch: BatchSystem, start_queue: Callable[[Path], None]
) -> AsyncIterator[Bench]:
    """Yield a bench for each batch system; what a test leaves running is ended after it."""
    yield Bench(tmp_path, batch, start_queue)
    with suppress(FileNotFoundError):
        end_jobs(tmp_path)


async def test_an_attempt_runs_to_its_end_and_shows_its_exit_code(bench: Bench) -> None:
    launch = bench.launch("sh", "-c", "exit 7")
    before = await bench.status(launch)

    submitted = await bench.submit(launch)
    await bench.start()
    ended = await bench.ended(launch)

    assert before.state == "absent"
    assert submitted.state == ("waiting" if bench.batch.has_queue else "running")
    assert (ended.state, ended.exit_code, ended.cause) == ("ended", 7, None)


async def test_what_waits_in_a_queue_is_shown_to_wait_with_the_id_that_it_has_there(
    bench: Bench,
) -> None:
    launch = bench.launch("sleep", "100")
    submitted = await bench.submit(launch)

    shown = await bench.status(launch)
    await bench.start()
    running = await bench.reach(launch, lambda found: found.state == "running")
    await bench.cancel(launch)

    if bench.batch.has_queue:
        assert submitted.native
        assert (shown.state, shown.native, running.native) == ("waiting", *[submitted.native] * 2)
    else:
        assert (shown.state, shown.pid) == ("running", submitted.pid)


async def test_the_words_and_the_environment_of_a_job_arrive_as_they_are(bench: Bench) -> None:
    odd = ("a b", "", "--", "$(id)", "new\nline")
    launch = bench.launch("sh", "-c", 'printf "%s|" "$@" "$SECRET"', "sh", *odd)

    await bench.submit(launch, SECRET=_SECRET)
    await bench.start()
    ended = await bench.ended(launch)

    assert ended.exit_code == 0, ended
    written = (Path(launch.work) / "stdout").read_text()
    assert written == "".join(f"{word}|" for word in (*odd, _SECRET))
    assert not any("it's" in word for word in bench.batch.submit_argv(launch))


async def test_an_attempt_that_is_submitted_twice_runs_once(bench: Bench) -> None:
    launch = bench.launch("sh", "-c", "echo run >> ledger")

    await bench.submit(launch)
    await bench.submit(launch)
    await bench.start()
    await bench.ended(launch)

    assert (Path(launch.work) / "ledger").read_text() == "run\n"


async def test_many_attempts_are_looked_up_with_one_command(bench: Bench) -> None:
    launches = [bench.launch("true", number=number) for number in range(1, 6)]
    for each in launches[:3]:
        await bench.submit(each)

    found = await bench.look(*launches)

    assert len(bench.batch.status_argvs(launches)) == 1
    assert bench.batch.status_argvs([]) == []
    assert set(found) == {each.run for each in launches}
    assert [found[each.run].state for each in launches[3:]] == ["absent"] * 2


@pytest.mark.parametrize("script", ["sleep 100", "trap '' TERM; sleep 100 & wait; sleep 100"])
async def test_after_a_cancel_nothing_of_a_running_attempt_is_alive(
    bench: Bench, script: str
) -> None:
    launch = bench.launch("sh", "-c", f"touch ready; {script}")
    await bench.submit(launch)
    await bench.start()
    await until((Path(launch.work) / "ready").exists, 10)

    ended = await bench.cancel(launch)

    assert (ended.state, ended.cause) == ("ended", "cancelled")
    assert _alive(launch.run) == []


async def test_an_attempt_that_was_cancelled_before_its_start_never_starts(bench: Bench) -> None:
    launch = bench.launch("sh", "-c", "echo run >> ledger")
    if bench.batch.has_queue:
        await bench.submit(launch)

    cancelled = await bench.cancel(launch)
    if not bench.batch.has_queue:
        await bench.submit(launch)
    await bench.start()

    assert cancelled.state == "burned"
    assert not (Path(launch.work) / "ledger").exists()


async def test_commands_that_failed_are_never_an_attempt_that_runs_or_has_ended(
    bench: Bench,
) -> None:
    failed = Completed(255, "", "ssh: connection refused")
    found: Any = None

    with suppress(Exception):
        found = bench.batch.parse_submitted(failed)

    assert found is None or (found.state, "refused" in found.detail) == ("absent", True)
    assert bench.batch.parse_statuses([failed], [bench.launch("true")]) == {}


def _alive(run: str) -> list[str]:
    wanted = f"JOBWIRE_RUN={run}".encode()
    found = []
    for each in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if wanted in each.read_bytes().split(b"\0"):
                found.append(each.parent.name)
    return found

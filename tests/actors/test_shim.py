"""The shim with real processes, under each shell that may be `sh` somewhere."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from jobwire.actors.batch_systems.base import Launch, RunStatus
from jobwire.actors.batch_systems.local import LocalBatch
from jobwire.actors.hosts.local import LocalHost
from jobwire.actors.submitter import actor
from jobwire.schemas.errors import Unavailable
from jobwire.schemas.specs import Resources
from tests.support.deadlines import PATIENCE_S, until
from tests.support.disk import small_disk
from tests.support.factories import job_id
from tests.support.stopwatch import Stopwatch

_SHIM = Path(actor.__file__).with_name("shim.sh")
_SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}
_BASIC = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


class Yard:
    """Attempts under one shell; what a test leaves running is ended after it."""

    def __init__(self, folder: Path, shell: list[str]) -> None:
        """Keep everything below a folder."""
        self.folder = folder
        self.shell = shell
        self.batch = LocalBatch()
        self.host = LocalHost(folder)
        self.launches: list[Launch] = []
        self.job = job_id(secrets.randbelow(2**40))

    def launch(self, *argv: str, folder: Path | None = None, **fields: Any) -> Launch:
        """Describe an attempt, each with a name and folders of its own."""
        number = len(self.launches) + 1
        # A name of its own for every test: runs are found by their names, wherever they went.
        run = f"{self.job}.{number}"
        base = folder or self.folder / str(number)
        for each in ("control", "work"):
            (base / each).mkdir(parents=True, exist_ok=True)
        launch = Launch(
            run=run,
            shim=str(_SHIM),
            control=str(base / "control"),
            work=str(base / "work"),
            stdout="stdout",
            stderr="stderr",
            argv=argv,
            resources=Resources(),
            grace_s=0.5,
            file_bytes=0,
            open_files=256,
        )
        launch = replace(launch, **fields)
        self.launches.append(launch)
        return launch

    async def start(self, launch: Launch, env: dict[str, str] | None = None) -> RunStatus:
        """Start an attempt."""
        environment = {**_BASIC, "JOBWIRE_RUN": launch.run, **(env or {})}
        stdin = self.batch.submit_stdin(launch, environment)
        done = await self.host.run(self._argv(self.batch.submit_argv(launch)), stdin=stdin)
        return self.batch.parse_submitted(done)

    async def status(self, launch: Launch) -> RunStatus:
        """Look an attempt up."""
        (argv,) = self.batch.status_argvs([launch])
        done = await self.host.run(self._argv(argv))
        return self.batch.parse_statuses([done], [launch])[launch.run]

    async def cancel(self, launch: Launch, cause: str = "cancelled") -> RunStatus:
        """End an attempt."""
        (argv,) = self.batch.cancel_argvs(launch, cause)
        return self.batch.parse_cancelled([await self.host.run(self._argv(argv))])

    async def ended(
        self, launch: Launch, found: RunStatus, within_s: float = PATIENCE_S
    ) -> RunStatus:
        """Wait for the end of what runs; return how it ended."""
        assert found.state == "running", found
        assert found.pid is not None
        assert found.started is not None
        async with asyncio.timeout(within_s):
            await self.host.gone(found.pid, found.started)
        return await self.status(launch)

    async def run(self, *argv: str, env: dict[str, str] | None = None, **fields: Any) -> RunStatus:
        """Run an attempt to its end."""
        launch = self.launch(*argv, **fields)
        return await self.ended(launch, await self.start(launch, env))

    async def close(self) -> None:
        """Leave nothing running."""
        for launch in self.launches:
            if _exists(launch.control) and not _exists(f"{launch.control}/exit"):
                await self.cancel(replace(launch, grace_s=0))

    def text(self, name: str, launch: Launch | None = None) -> str:
        """Read a file that the newest attempt wrote."""
        return (Path((launch or self.launches[-1]).work) / name).read_text()

    def alive(self, launch: Launch | None = None) -> list[int]:
        """Return the processes that carry the attempt's name."""
        run = (launch or self.launches[-1]).run
        return [pid for pid in _processes() if f"JOBWIRE_RUN={run}".encode() in _environ(pid)]

    def _argv(self, argv: list[str]) -> list[str]:
        assert argv[0] == "/bin/sh"
        return [*self.shell, *argv[1:]]


def _exists(path: str | Path) -> bool:
    return Path(path).exists()


def _processes() -> Iterator[int]:
    return (int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit())


def _environ(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b") ")[2][:1] not in (b"Z", b"X")


def _ticks(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()[19])


@pytest.fixture(name="yard", params=_SHELLS)
async def _yard(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Yard]:
    shell = _SHELLS[request.param]
    if shutil.which(shell[0]) is None:
        pytest.skip(f"there is no {shell[0]} on this machine: the shim is not tried under it")
    yard = Yard(tmp_path, shell)
    await yard.host.open()
    yield yard
    await yard.close()


@pytest.fixture(name="dash")
async def _dash(tmp_path: Path) -> AsyncIterator[Yard]:
    yard = Yard(tmp_path, ["/bin/sh"])
    await yard.host.open()
    yield yard
    await yard.close()


# --- what reaches the program

_ODD = ["", "a b", "it's", '"$(id)`id`"', "a\nb\n\n", "\\n*?", "é\udcff", "-n", "x" * 100_000]


async def test_arguments_arrive_byte_for_byte(yard: Yard) -> None:
    code = "import os,sys; sys.stdout.buffer.write(b'\\0'.join(map(os.fsencode, sys.argv[1:])))"

    found = await yard.run(sys.executable, "-c", code, *_ODD)

    assert found == RunStatus(state="ended", exit_code=0)
    assert _bytes(yard.launches[-1], "stdout") == b"\0".join(map(os.fsencode, _ODD))


async def test_the_environment_arrives_byte_for_byte_and_holds_nothing_else(yard: Yard) -> None:
    odd = {f"V{number}": value for number, value in enumerate(_ODD)}
    odd |= {"IFS": "127", "control": "/none", "line": "x", "LC_ALL": "C", "PS4": "$(id)"}
    code = "import os,sys; sys.stdout.buffer.write(repr(sorted(os.environb.items())).encode())"

    await yard.run(sys.executable, "-c", code, env=odd)

    sent = {**_BASIC, "JOBWIRE_RUN": yard.launches[-1].run, **odd}
    got = dict(eval(yard.text("stdout")))
    got.pop(b"_", None)  # bash tells every program its own path
    assert got == {os.fsencode(name): os.fsencode(value) for name, value in sent.items()}


async def test_an_environment_may_also_come_by_a_pipe(yard: Yard) -> None:
    launch = yard.launch("sh", "-c", 'printf %s "$ODD"')
    stdin = yard.batch.submit_stdin(launch, {**_BASIC, "ODD": "it's\n\n$(id) é"})

    argv = yard._argv(yard.batch.submit_argv(launch))
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=subprocess.PIPE, start_new_session=True
    )
    await process.communicate(stdin)
    await until(lambda: _exists(f"{launch.control}/exit"))

    assert yard.text("stdout") == "it's\n\n$(id) é"


async def test_a_job_has_its_own_place_and_no_way_out_of_it(yard: Yard) -> None:
    script = (
        "pwd; cat; echo $(ulimit -c) $(ulimit -n); ls /proc/self/fd; grep SigIgn /proc/self/status"
    )

    await yard.run("sh", "-c", script)

    where, limits, *rest = yard.text("stdout").split("\n")
    assert (where, limits) == (yard.launches[-1].work, "0 256")
    assert [word for word in rest[:-2] if word] == ["0", "1", "2", "3"]  # 3: the listing itself
    # One shell keeps QUIT ignored; INT and the others are as every program expects them.
    assert int(rest[-2].split()[1], 16) & 0x7FFFFFFF & ~(1 << signal.SIGQUIT - 1) == 0


async def test_the_same_name_joins_the_two_outputs(yard: Yard) -> None:
    await yard.run("sh", "-c", "echo a; echo b >&2; echo c", stdout="log", stderr="log")

    assert yard.text("log") == "a\nb\nc\n"


# --- how it ended


async def test_every_exit_code_is_told_from_a_signal(dash: Yard) -> None:
    few = asyncio.Semaphore(4)

    async def run(code: int) -> RunStatus:
        async with few:
            return await dash.run("/bin/sh", "-c", f"exit {code}")

    ends = await asyncio.gather(*map(run, range(256)))

    named = {130: "SIGINT", 141: "SIGPIPE"}  # of these two, shells say nothing
    assert ends == [
        RunStatus(state="ended", exit_code=code, signal=named.get(code)) for code in range(256)
    ]


@pytest.mark.parametrize("code", [0, 3, 127, 137, 143, 255])
async def test_an_exit_code_is_no_signal(yard: Yard, code: int) -> None:
    assert await yard.run("sh", "-c", f"exit {code}") == RunStatus(state="ended", exit_code=code)


@pytest.mark.parametrize("name", ["TERM", "KILL", "INT", "HUP", "SEGV", "PIPE", "USR1", "XCPU"])
async def test_a_signal_is_named(yard: Yard, name: str) -> None:
    found = await yard.run("sh", "-c", f"kill -{name} $$")

    number = signal.Signals[f"SIG{name}"]
    assert found == RunStatus(state="ended", exit_code=128 + number, signal=f"SIG{name}")


@pytest.mark.parametrize("program", ["no-such-program", "/etc/passwd", "./no-interpreter", "/etc"])
async def test_a_program_that_cannot_be_run_is_told_from_its_exit_code(
    yard: Yard, program: str
) -> None:
    launch = yard.launch(program)
    script = Path(launch.work) / "no-interpreter"
    script.write_text("#!/no/such/shell\n")
    script.chmod(0o755)

    found = await yard.ended(launch, await yard.start(launch))

    assert (found.state, found.cause, found.detail) == ("ended", "could_not_start", "program")


async def test_the_program_is_looked_for_in_the_path_of_the_job(yard: Yard) -> None:
    launch = yard.launch("mine")
    mine = Path(launch.work) / "mine"
    mine.write_text("#!/bin/sh\nexit 7\n")
    mine.chmod(0o755)

    found = await yard.ended(launch, await yard.start(launch, {"PATH": launch.work}))

    assert found == RunStatus(state="ended", exit_code=7)


@pytest.mark.parametrize(
    ("fields", "step"), [({"work": "/no/such"}, "directory"), ({"stdout": "no/such"}, "output")]
)
async def test_a_place_that_is_not_there_is_named(
    yard: Yard, fields: dict[str, Any], step: str
) -> None:
    found = await yard.run("true", **fields)

    assert (found.state, found.cause, found.detail) == ("ended", "could_not_start", step)


async def test_a_job_that_signals_its_whole_group_does_not_end_the_shim(yard: Yard) -> None:
    found = await yard.run(
        "sh", "-c", "trap : TERM HUP INT; kill 0; kill -HUP 0; kill -INT 0; exit 5"
    )

    assert found == RunStatus(state="ended", exit_code=5)


# --- limits


async def test_a_job_that_runs_too_long_is_ended(yard: Yard) -> None:
    launch = yard.launch("sleep", "1000", resources=Resources(walltime_s=0.2))

    found = await yard.ended(launch, await yard.start(launch))

    assert (found.state, found.signal, found.cause) == ("ended", "SIGTERM", "walltime")
    assert yard.alive(launch) == []


async def test_a_job_that_takes_no_notice_is_killed_after_the_grace(yard: Yard) -> None:
    script = 'trap "" TERM; sleep 1000; sleep 1000'
    launch = yard.launch("sh", "-c", script, resources=Resources(walltime_s=1.5), grace_s=0.3)

    found = await yard.ended(launch, await yard.start(launch))

    assert (found.signal, found.cause) == ("SIGKILL", "walltime")
    assert yard.alive(launch) == []


async def test_a_job_with_too_much_memory_is_ended_whichever_process_has_it(yard: Yard) -> None:
    hog = f"{sys.executable} -c 'import time; x = b\"x\" * (80 << 20); time.sleep(1000)'"
    launch = yard.launch("sh", "-c", f"{hog} & wait", resources=Resources(memory_mb=60))

    found = await yard.ended(launch, await yard.start(launch))

    assert (found.signal, found.cause) == ("SIGKILL", "memory")
    assert yard.alive(launch) == []


async def test_a_watch_that_was_not_needed_leaves_nothing(yard: Yard) -> None:
    limits = Resources(walltime_s=1000, memory_mb=1000)
    before = set(_processes())

    for seconds in ("0", "0", "0.3"):
        launch = yard.launch("sleep", seconds, resources=limits)
        found = await yard.ended(launch, await yard.start(launch))
        assert found == RunStatus(state="ended", exit_code=0)
        assert yard.alive(launch) == []

    mine = [pid for pid in set(_processes()) - before if _is_alive(pid) and _is_of(pid, yard)]
    assert mine == []


def _is_of(pid: int, yard: Yard) -> bool:
    try:
        return str(yard.folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


async def test_a_file_that_grows_too_large_ends_its_writer(yard: Yard) -> None:
    found = await yard.run("sh", "-c", "exec head -c 100000 /dev/zero", file_bytes=51_200)

    assert found.signal == "SIGXFSZ"
    assert len(yard.text("stdout")) == 51_200


# --- what is left behind


@pytest.mark.parametrize(
    "child",
    ["sleep 1000", "setsid sleep 1000", "env -i sleep 1000", "sh -c 'trap \"\" TERM; sleep 1000'"],
    ids=["child", "session", "no environment", "deaf"],
)
async def test_the_end_of_a_job_is_the_end_of_all_its_processes(yard: Yard, child: str) -> None:
    launch = yard.launch("sh", "-c", f"{child} & echo $!; exit 4")

    found = await yard.ended(launch, await yard.start(launch))

    assert found == RunStatus(state="ended", exit_code=4)
    assert not _is_alive(int(yard.text("stdout")))
    assert yard.alive(launch) == []


async def test_cancel_ends_daemons_deaf_ones_and_stopped_ones(yard: Yard) -> None:
    script = (
        '(setsid sh -c "trap \\"\\" TERM; echo \\$\\$ >> pids; sleep 1000; sleep 1000" &)\n'
        "sh -c 'echo $$ >> pids; kill -STOP $$; sleep 1000' &\n"
        "env -i sh -c 'echo $$ >> pids; exec sleep 1000' &\n"
        "echo $$ >> pids; wait; sleep 1000"
    )
    launch = yard.launch("sh", "-c", script)
    await yard.start(launch)
    await until(lambda: _count(Path(launch.work) / "pids") == 4)

    watch = Stopwatch()
    found = await yard.cancel(launch)
    took_s = watch.seconds

    assert (found.state, found.cause) == ("ended", "cancelled")
    assert took_s < launch.grace_s + 1.5
    assert [pid for pid in map(int, yard.text("pids").split()) if _is_alive(pid)] == []
    assert yard.alive(launch) == []
    assert await yard.cancel(launch) == found


def _count(file: Path) -> int:
    return len(file.read_text().splitlines()) if file.exists() else 0


@pytest.mark.parametrize("limits", [{"walltime_s": 1000}, {"memory_mb": 1000}])
async def test_cancel_does_not_wait_for_the_watch_of_a_limit(
    yard: Yard, limits: dict[str, int]
) -> None:
    launch = yard.launch("sleep", "1000", resources=msgspec.convert(limits, Resources))
    await yard.start(launch)

    async with asyncio.timeout(PATIENCE_S):
        found = await yard.cancel(launch)

    assert (found.state, found.signal, found.cause) == ("ended", "SIGTERM", "cancelled")
    assert yard.alive(launch) == []


async def test_processes_of_a_shim_that_was_killed_are_ended_by_cancel(yard: Yard) -> None:
    script = "setsid sleep 1000 & env -i sleep 1000 & sleep 1000 & echo $! > ready; wait"
    launch = yard.launch("sh", "-c", script)
    found = await yard.start(launch)
    await until(lambda: _exists(f"{launch.work}/ready"))
    assert found.pid is not None
    os.kill(found.pid, signal.SIGKILL)
    await until(lambda: not _is_alive(found.pid or 0))
    session = {pid for pid in _processes() if _session(pid) == _session_of(launch)}

    before = await yard.status(launch)
    after = await yard.cancel(launch)

    assert (before.state, after.state) == ("gone", "gone")
    assert len(session) >= 3
    assert [pid for pid in session if _is_alive(pid)] == []
    assert yard.alive(launch) == []


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return -1


def _session_of(launch: Launch) -> int:
    return int(str((Path(launch.control) / "latch").readlink()).rpartition(".")[2])


async def test_the_watch_ends_a_job_whose_shim_was_killed(yard: Yard) -> None:
    launch = yard.launch("sleep", "1000", resources=Resources(memory_mb=1000))
    found = await yard.start(launch)
    await until(lambda: yard.alive(launch) != [])

    os.kill(found.pid or 0, signal.SIGKILL)

    await until(lambda: yard.alive(launch) == [])


# --- the latch


async def test_a_second_start_does_nothing_and_says_what_is_there(yard: Yard) -> None:
    launch = yard.launch("sh", "-c", "echo run >> ledger; sleep 0.5; exit 6")
    first = await yard.start(launch)

    second = await yard.start(launch)
    found = await yard.ended(launch, first)
    third = await yard.start(launch)

    assert second == first
    assert found == third == RunStatus(state="ended", exit_code=6)
    assert yard.text("ledger") == "run\n"
    assert _names(launch.control) == ["exit", "latch"]


async def test_a_look_at_the_very_end_does_not_miss_it(yard: Yard) -> None:
    for _ in range(10):
        launch = yard.launch("true")
        found = await yard.start(launch)
        while found.state == "running":
            found = await yard.status(launch)

        assert found == RunStatus(state="ended", exit_code=0)


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _link(launch: Launch, taker: str) -> None:
    (Path(launch.control) / "latch").symlink_to(taker)


def _bytes(launch: Launch, name: str) -> bytes:
    return (Path(launch.work) / name).read_bytes()


def _names(folder: str) -> list[str]:
    return sorted(each.name for each in Path(folder).iterdir())


async def test_of_many_starts_at_once_one_runs(yard: Yard) -> None:
    launch = yard.launch("sh", "-c", "echo run >> ledger; sleep 0.3")

    starts = await asyncio.gather(*(yard.start(launch) for _ in range(6)))
    found = await yard.ended(launch, starts[0])

    assert len(set(map(str, starts))) == 1
    assert found == RunStatus(state="ended", exit_code=0)
    assert yard.text("ledger") == "run\n"


async def test_what_was_cancelled_before_it_started_never_starts(yard: Yard) -> None:
    launch = yard.launch("sh", "-c", "echo run >> ledger")

    before = await yard.status(launch)
    burned = await yard.cancel(launch)
    started = await yard.start(launch)

    assert before.state == "absent"
    assert burned.state == started.state == "burned"
    assert (burned.detail or "").startswith("cancelled:")
    assert not _exists(f"{launch.work}/ledger")


async def test_cancel_and_start_at_once_leave_one_of_them(yard: Yard) -> None:
    for _ in range(5):
        launch = yard.launch("sleep", "1000")

        started, cancelled = await asyncio.gather(
            yard.start(launch), yard.cancel(launch), return_exceptions=True
        )

        assert isinstance(cancelled, RunStatus)
        if isinstance(started, RunStatus):
            both = (started.state, cancelled.state)
            assert both in {("burned", "burned"), ("running", "ended")}
        else:  # the cancel ended the start itself, before it could answer
            assert isinstance(started, Unavailable)
            assert cancelled.state in ("ended", "gone")
        assert yard.alive(launch) == []


@pytest.mark.parametrize("what", ["start", "boot"])
async def test_a_stranger_with_the_number_of_the_shim_is_left_alone(yard: Yard, what: str) -> None:
    stranger = await asyncio.create_subprocess_exec("sleep", "1000", start_new_session=True)
    boot = _boot()
    ticks = _ticks(stranger.pid)
    named = f"{ticks + 1}.{boot}" if what == "start" else f"{ticks}.{boot[::-1]}"
    launch = yard.launch("true")
    _link(launch, f"run:{stranger.pid}.{named}.{stranger.pid}")

    found, cancelled = await yard.status(launch), await yard.cancel(launch)

    assert (found.state, cancelled.state) == ("gone", "gone")
    assert stranger.returncode is None
    assert _is_alive(stranger.pid)
    stranger.kill()
    await stranger.wait()


# --- a job that changes its own control folder

_RUNS_ON = "echo $$ > pid; exec sleep 1000"


@pytest.mark.parametrize(
    "script",
    [
        "mkfifo exit",
        "mkfifo record.1; for each in record.*; do rm $each; mkfifo $each; done",
        "truncate -s 50G exit",
        "ln -s /etc/passwd exit",
        "mkdir exit",
        "echo ended 0 - dancing - > exit",
        "echo ended 256 - - - > exit",
        "echo ended 0 '$(id)' - - > exit",
        "echo ended 0 - - word > exit",
        "rm latch; mkdir latch",
        "ln -sfn '!!' latch",
        "ln -sfn 'a b' latch",
        "ln -sfn run:1.2 latch",
        "ln -sfn $(printf %1000s | tr ' ' x) latch",
    ],
)
async def test_what_a_job_puts_in_the_place_of_its_end_holds_nobody_up(
    yard: Yard, script: str
) -> None:
    kill = "kill -KILL $(readlink latch | tr ':' '.' | cut -d. -f2)"
    launch = yard.launch("sh", "-c", f"cd ../control; {kill}; {script}; cd ../work; {_RUNS_ON}")
    await yard.start(launch)
    await until(lambda: _count(Path(launch.work) / "pid") == 1)

    async def is_gone() -> bool:  # the kernel takes its time to bury who was killed
        return (await yard.status(launch)).state == "gone"

    await until(is_gone)
    async with asyncio.timeout(PATIENCE_S):
        after = await yard.cancel(launch)

    assert after.state == "gone"
    assert not _is_alive(int(yard.text("pid")))


async def test_a_record_that_is_no_file_any_more_holds_the_shim_not_up(yard: Yard) -> None:
    script = "cd ../control; for each in record.*; do rm $each; mkfifo $each; done; exit 3"

    found = await yard.run("sh", "-c", script)

    assert found == RunStatus(state="ended", exit_code=3)


async def test_a_cause_that_is_none_does_not_count(yard: Yard) -> None:
    found = await yard.run("sh", "-c", "ln -s 'dancing - x' ../control/cause; exit 3")

    assert found == RunStatus(state="ended", exit_code=3)


async def test_a_latch_that_names_a_stranger_makes_it_no_part_of_the_job(yard: Yard) -> None:
    stranger = await asyncio.create_subprocess_exec("sleep", "1000", start_new_session=True)
    named = f"run:{stranger.pid}.{_ticks(stranger.pid)}.{_boot()}.{stranger.pid}"
    script = (
        f"shim=$(readlink ../control/latch | tr ':' '.' | cut -d. -f2); ln -sfn {named} "
        f"../control/latch; kill -KILL $shim; {_RUNS_ON}"
    )
    launch = yard.launch("sh", "-c", script)
    await yard.start(launch)
    await until(lambda: _count(Path(launch.work) / "pid") == 1)

    before, after = await yard.status(launch), await yard.cancel(launch)

    assert (before.state, after.state) == ("gone", "gone")
    assert _is_alive(stranger.pid)
    assert not _is_alive(int(yard.text("pid")))
    stranger.kill()
    await stranger.wait()


async def test_a_latch_that_names_the_session_of_a_stranger_does_not_end_it(yard: Yard) -> None:
    stranger = await asyncio.create_subprocess_exec("sleep", "1000", start_new_session=True)
    script = (
        "latch=$(readlink ../control/latch); "
        f"ln -sfn ${{latch%.*}}.{stranger.pid} ../control/latch; {_RUNS_ON}"
    )
    launch = yard.launch("sh", "-c", script)
    await yard.start(launch)
    await until(lambda: _count(Path(launch.work) / "pid") == 1)

    found = await yard.cancel(launch)

    assert (found.state, found.cause) == ("ended", "cancelled")
    assert _is_alive(stranger.pid)
    stranger.kill()
    await stranger.wait()


@pytest.mark.parametrize(
    "script",
    [
        "mv ../control ../x; touch ../control",
        "mv ../control ../x; ln -s /no/such ../control",
        "mv ../control ../x",
        "mv ../control ../x; mkdir ../control",
    ],
)
async def test_cancel_ends_a_job_that_took_its_control_folder_away(yard: Yard, script: str) -> None:
    launch = yard.launch("sh", "-c", f"{script}; {_RUNS_ON}")
    await yard.start(launch)
    await until(lambda: _count(Path(launch.work) / "pid") == 1)

    found = await yard.cancel(launch)

    assert found.state == "gone"
    assert yard.alive(launch) == []
    assert not _is_alive(int(yard.text("pid")))


# --- a full disk


@pytest.fixture(name="disk")
def _disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "256k") as disk:
        yield disk


async def test_a_disk_that_the_job_fills_does_not_lose_the_exit_code(
    yard: Yard, disk: Path
) -> None:
    launch = yard.launch("sh", "-c", "cat /dev/zero > fill; cat /dev/zero; exit 9", folder=disk)

    found = await yard.ended(launch, await yard.start(launch))

    assert found == RunStatus(state="ended", exit_code=9)
    with pytest.raises(OSError, match="No space"):
        (disk / "more").write_bytes(b"x" * 8192)


async def test_on_a_full_disk_nothing_starts_and_the_reason_is_named(
    yard: Yard, disk: Path
) -> None:
    launch = yard.launch("sh", "-c", "echo run > /dev/null", folder=disk)
    with pytest.raises(OSError, match="No space"):
        (disk / "fill").write_bytes(b"x" * 1_000_000)

    found = await yard.start(launch)
    (disk / "fill").unlink()

    assert (found.state, found.cause, found.detail) == ("absent", "could_not_start", "no_space")
    assert (await yard.status(launch)).state == "absent"


async def test_a_run_is_found_again_where_its_folder_has_another_path_now(
    yard: Yard, tmp_path: Path
) -> None:
    launch = yard.launch("sh", "-c", "sleep 0.3; exit 4")
    started = await yard.start(launch)
    root, alias = Path(launch.control).parents[2], tmp_path / "alias"
    alias.symlink_to(root)
    moved = replace(launch, control=str(alias / Path(launch.control).relative_to(root)))

    assert await yard.status(moved) == started
    assert await yard.ended(moved, started) == RunStatus(state="ended", exit_code=4)

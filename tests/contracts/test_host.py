"""What every host promises: commands that run there, and the moment when a process is gone."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path

import pytest
import uvloop

from jobwire.actors.hosts.base import Host
from jobwire.actors.runtime.settings import SiteSettings
from jobwire.schemas.errors import Unavailable
from tests.contracts.conftest import HOSTS
from tests.support.deadlines import PATIENCE_S, until
from tests.support.stopwatch import Stopwatch

MakeHost = Callable[[], Host]
Body = Callable[[Host], Coroutine[None, None, None]]


@pytest.fixture(params=["asyncio", "uvloop"])
def on_loop(request: pytest.FixtureRequest, make_host: MakeHost) -> Callable[[Body], None]:
    """Run a body with an open host on each kind of event loop."""

    def run(body: Body) -> None:
        async def whole() -> None:
            host = make_host()
            await host.open()
            async with asyncio.timeout(PATIENCE_S):
                await body(host)
            await host.close()

        factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(whole())

    return run


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """Yield a process that lives until it is killed."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


def _is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _ticks(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()[19])


def test_a_command_runs_to_its_end(on_loop: Callable[[Body], None]) -> None:
    async def body(host: Host) -> None:
        done = await host.run(["sh", "-c", "cat; echo 'é' >&2; exit 3"], stdin=b"in\n")

        assert (done.exit_code, done.stdout, done.stderr) == (3, "in\n", "é\n")

    on_loop(body)


def test_no_shell_reads_the_command(on_loop: Callable[[Body], None]) -> None:
    async def body(host: Host) -> None:
        done = await host.run(["printf", "%s|", "$(id)", "a b", "", "*", "'"])

        assert done.stdout == "$(id)|a b||*|'|"

    on_loop(body)


def test_nothing_of_the_environment_is_inherited(
    on_loop: Callable[[Body], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBWIRE_SECRET_OF_THE_SERVICE", "1")

    async def body(host: Host) -> None:
        plain = (await host.run(["env"])).stdout
        given = (await host.run(["/usr/bin/env"], env={"A": "b"})).stdout

        assert {line.partition("=")[0] for line in plain.splitlines()} <= {"PATH", "LANG"}
        assert given == "A=b\n"

    on_loop(body)


def test_a_command_runs_where_it_is_told(on_loop: Callable[[Body], None], tmp_path: Path) -> None:
    async def body(host: Host) -> None:
        assert (await host.run(["pwd"], cwd=str(tmp_path))).stdout == f"{tmp_path}\n"

    on_loop(body)


def test_a_large_input_and_a_large_output_are_no_deadlock(on_loop: Callable[[Body], None]) -> None:
    async def body(host: Host) -> None:
        done = await host.run(["cat"], stdin=b"x" * 3_000_000)

        assert done.exit_code == 0
        assert len(done.stdout) == 1_048_576

    on_loop(body)


def test_a_command_that_takes_too_long_is_ended(on_loop: Callable[[Body], None]) -> None:
    async def body(host: Host) -> None:
        watch = Stopwatch()
        with pytest.raises(Unavailable, match="sleep"):
            await host.run(["sleep", "1000"], timeout_s=0.1)
        assert watch.seconds < 2

    on_loop(body)


def test_a_program_that_is_not_there_is_named(on_loop: Callable[[Body], None]) -> None:
    async def body(host: Host) -> None:
        with pytest.raises(Unavailable, match="no-such-program"):
            await host.run(["no-such-program"])

    on_loop(body)


def test_commands_run_at_the_same_time(on_loop: Callable[[Body], None], tmp_path: Path) -> None:
    async def body(host: Host) -> None:
        # None of them ends before all have begun.
        wait = f"cd '{tmp_path}'; : > $$; while [ $(ls | wc -l) -lt 5 ]; do sleep 0.02; done"
        done = await asyncio.gather(*(host.run(["sh", "-c", wait]) for _ in range(5)))
        assert [each.exit_code for each in done] == [0] * 5

    on_loop(body)


def test_a_command_that_nobody_waits_for_any_more_leaves_no_zombie(
    on_loop: Callable[[Body], None], tmp_path: Path
) -> None:
    async def body(host: Host) -> None:
        file = tmp_path / "pid"
        waiting = asyncio.create_task(host.run(["sh", "-c", f"echo $$ > {file}; exec sleep 1000"]))
        await until(lambda: file.exists() and file.read_text() != "")
        waiting.cancel()
        await asyncio.wait([waiting])

        await until(lambda: not _is_there(int(file.read_text())))

    on_loop(body)


def test_a_command_that_cannot_be_killed_yet_holds_nobody_up(
    on_loop: Callable[[Body], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What waits for a disk takes no signal; so it looks when the signal does not come.
    kill, killed = os.kill, list[int]()

    async def body(host: Host) -> None:
        monkeypatch.setattr(os, "kill", lambda pid, _: killed.append(pid))
        watch = Stopwatch()
        with pytest.raises(Unavailable, match="sleep"):
            await host.run(["sleep", "1000"], timeout_s=0.05)
        assert watch.seconds < 1
        assert (await host.run(["echo", "on"])).stdout == "on\n"

        (pid,) = killed
        kill(pid, signal.SIGKILL)
        await until(lambda: not _is_there(pid))

    on_loop(body)


@pytest.mark.parametrize("kind", HOSTS.values(), ids=HOSTS.keys())
def test_the_folder_of_a_host_is_the_one_of_its_settings_else_the_given_one(
    kind: type[Host], tmp_path: Path
) -> None:
    given, default = tmp_path / "given", tmp_path / "default"

    named = kind.of(SiteSettings(name="a", folder=str(given)), default)
    unnamed = kind.of(SiteSettings(name="a"), default)

    assert (named.root, unnamed.root) == (str(given), str(default))


_AS_INIT = """
import asyncio, os, pathlib, sys
from jobwire.actors.hosts.local import LocalHost

async def main():
    host = LocalHost(pathlib.Path(sys.argv[1]))
    await host.open()
    for _ in range(3):
        await host.run(["sh", "-c", "setsid sleep 0.1 <&- >&- 2>&- &"])
    async with asyncio.timeout(30):
        while sum(name.isdigit() for name in os.listdir("/proc")) > 1:
            assert (await host.run(["sh", "-c", "exit 7"])).exit_code == 7
            await asyncio.sleep(0.05)
    await host.close()
    print(os.getpid(), "alone")

asyncio.run(main())
"""


def test_a_service_without_an_init_reaps_what_is_left_to_it(tmp_path: Path) -> None:
    alone = ["unshare", "-pf", "--mount-proc"]
    if subprocess.run([*alone, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no space of its own for processes can be made here: orphans are not tried")

    argv = [*alone, sys.executable, "-c", _AS_INIT, str(tmp_path)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=120)

    assert (done.stdout, done.stderr) == ("1 alone\n", "")


def test_a_process_in_a_session_of_its_own_outlives_its_command(
    on_loop: Callable[[Body], None],
) -> None:
    script = "sleep 1000 <&- >&- 2>&- & echo $!"

    async def body(host: Host) -> None:
        pid = int((await host.run(["sh", "-c", script])).stdout)
        assert os.getsid(pid) != os.getsid(0)
        assert _ticks(pid) > 0
        os.kill(pid, signal.SIGKILL)

    on_loop(body)


def test_the_end_of_a_process_is_noticed_at_once(
    on_loop: Callable[[Body], None], sleeper: subprocess.Popen[bytes]
) -> None:
    async def body(host: Host) -> None:
        waiting = asyncio.create_task(host.gone(sleeper.pid, _ticks(sleeper.pid)))
        await asyncio.sleep(0.05)
        assert not waiting.done()

        sleeper.kill()
        watch = Stopwatch()
        await waiting
        assert watch.seconds < 0.5

        # It has ended, but nobody has asked how.
        await host.gone(sleeper.pid, _ticks(sleeper.pid))

    on_loop(body)


def test_a_process_with_another_start_is_another_process(
    on_loop: Callable[[Body], None], sleeper: subprocess.Popen[bytes]
) -> None:
    async def body(host: Host) -> None:
        await host.gone(sleeper.pid, _ticks(sleeper.pid) + 1)

        assert sleeper.poll() is None

    on_loop(body)


def test_what_was_never_there_is_gone(on_loop: Callable[[Body], None]) -> None:
    async def body(host: Host) -> None:
        await host.gone(2**22 - 1, 1)

    on_loop(body)


def test_its_files_and_its_root_are_the_same_place(on_loop: Callable[[Body], None]) -> None:
    async def body(host: Host) -> None:
        await host.files.make_directory("some/where")
        done = await host.run(["ls", f"{host.root}/some"])

        assert done.stdout == "where\n"

    on_loop(body)


def test_signals_that_this_process_ignores_reach_what_a_host_runs(
    on_loop: Callable[[Body], None],
) -> None:
    async def body(host: Host) -> None:
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            done = await host.run(["grep", "SigIgn", "/proc/self/status"])
        finally:
            signal.signal(signal.SIGHUP, before)

        # Above these 31 are those that the C library keeps to itself.
        assert int(done.stdout.split()[1], 16) & 0x7FFFFFFF == 0

    on_loop(body)

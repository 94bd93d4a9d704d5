"""Commands that the service runs as if they ran here."""

from __future__ import annotations

import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.console import COMMAND, PATIENCE_S, Console, plain, texts, wait_until
from tests.support.stopwatch import Stopwatch

#: How long a job that is to end may take before it is killed.
_GRACE_S = "2"


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """Yield a shell with a service that may bring files from and to one folder."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "files").mkdir()
    made = Console(folder / "data")
    made.up(
        JOBWIRE_PORT="0",
        JOBWIRE_STAGING__ROOTS=str(folder / "files"),
        JOBWIRE_LOCAL__GRACE_S=_GRACE_S,
    )
    yield made
    made.close()


def run_bytes(
    console: Console, *arguments: str, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a command as it is, bytes and all."""
    return subprocess.run(
        (*COMMAND, "run", *arguments),
        env=console.environment | variables,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=PATIENCE_S,
    )


def shell(script: str, *arguments: str) -> tuple[str, ...]:
    """Return a command that a shell carries out."""
    return ("--", "sh", "-c", script, "sh", *arguments)


def newest(console: Console, name: str) -> str:
    """Wait for the job with a name, and give its id."""
    found: list[str] = []

    def is_there() -> bool:
        found[:] = [job["id"] for job in console.ask(f"/v1/jobs?q={name}")["items"]]
        return bool(found)

    wait_until(is_there, f"a job named {name}")
    return found[0]


def test_output_comes_byte_for_byte_and_the_exit_code_is_the_jobs(console: Console) -> None:
    script = r"printf 'a\000\377\r\nb'; printf 'e\377' >&2; exit 7"

    done = run_bytes(console, *shell(script))

    assert (done.returncode, done.stdout, done.stderr) == (7, b"a\x00\xff\r\nb", b"e\xff")


def test_a_long_output_comes_whole(console: Console) -> None:
    done = run_bytes(console, "head", "-c", "5000000", "/dev/zero")

    assert (done.returncode, len(done.stdout), done.stderr) == (0, 5_000_000, b"")


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (("sh", "-c", "kill -SEGV $$"), 139, "SEGV"),
        (("/no/such/program",), 127, "there is no program"),
        (("--walltime", "0.3", "sleep", "60"), None, "longer than 0.3 s"),
    ],
)
def test_an_end_that_no_program_chose_is_said(
    console: Console, argv: tuple[str, ...], code: int | None, said: str
) -> None:
    done = run_bytes(console, *argv)

    assert done.returncode == code or (code is None and done.returncode in (124, 137, 143))
    assert said in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_output_comes_while_the_job_runs(console: Console, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    script = 'echo first; echo aside >&2; while [ ! -e "$1" ]; do sleep 0.05; done; echo second'
    process = console.start("run", *shell(script, str(go_on)))
    assert process.stdout is not None
    assert process.stderr is not None

    assert process.stdout.readline() == "first\n"
    assert process.stderr.readline() == "aside\n"
    go_on.touch()

    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out, err) == (0, "second\n", "")


def test_the_output_of_every_attempt_comes(console: Console) -> None:
    script = 'echo "try $JOBWIRE_ATTEMPT"; test "$JOBWIRE_ATTEMPT" = 3'

    done = run_bytes(console, "--retries", "4", "--backoff", "0.1", *shell(script))

    assert (done.returncode, done.stdout) == (0, b"try 1\ntry 2\ntry 3\n")


def test_states_are_told_when_asked_for(console: Console) -> None:
    quiet = run_bytes(console, "true")
    verbose = run_bytes(console, "-v", "true")

    assert (quiet.stdout, quiet.stderr) == (b"", b"")
    assert verbose.stdout == b""
    told = verbose.stderr.decode()
    states = ("job ", "CREATED", "SUBMITTING", "RUNNING", "FINISHED")
    assert [each for each in states if each in told] == [*states]


def test_only_what_is_named_is_passed_on_from_the_environment(console: Console) -> None:
    script = 'echo "$MINE-$SET-$OTHER-$JOBWIRE_API_KEY"'

    done = run_bytes(
        console, "--env", "MINE", "--env", "SET=b=c", *shell(script), MINE="a", OTHER="x"
    )

    assert done.stdout == b"a-b=c--\n"


def test_files_are_brought_in_and_out_from_here(console: Console) -> None:
    here = console.folder.parent / "files" / uuid.uuid4().hex
    here.mkdir()
    (here / "in put.txt").write_text("a b c")

    done = run_bytes(
        console,
        *("--in", "in put.txt:text", "--out", "count:results/", *shell("wc -w < text > count")),
        cwd=here,
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert (here / "results" / "count").read_text().strip() == "3"


def test_files_outside_of_the_roots_are_refused_and_the_setting_is_named(
    console: Console, tmp_path: Path
) -> None:
    (tmp_path / "x").touch()

    refused = run_bytes(console, "--in", "x", "true", cwd=tmp_path)

    assert refused.returncode == 125
    assert b"staging.roots" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_missing_input_is_said_by_its_name(console: Console) -> None:
    here = console.folder.parent / "files"

    failed = run_bytes(console, "--in", "nothing-there.txt", "true", cwd=here)

    assert failed.returncode == 125
    assert b"nothing-there.txt" in failed.stderr


def test_detached_only_the_id_is_printed(console: Console) -> None:
    done = console.run("run", "-d", *shell("exit 0"))

    job = done.out.strip()
    assert (done.code, str(uuid.UUID(job)), done.err) == (0, job, "")
    assert console.run("watch", job, "--until-outcome").code == 0


def test_as_json_the_entries_are_written(console: Console) -> None:
    done = console.run("run", "--json", *shell("echo hidden; exit 3"))

    assert done.code == 3
    assert done.records[0]["name"] == "create"
    assert done.records[-1]["state"] == "FAILED"


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_cancels_the_job_and_waits_for_it(
    console: Console, kind: signal.Signals, tmp_path: Path
) -> None:
    mark = tmp_path / "pid"
    process = console.start("run", *shell('echo $$ > "$1"; sleep 600 & wait', str(mark)))
    wait_until(lambda: mark.exists() and mark.read_text().strip(), "the job to run")

    process.send_signal(kind)

    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "cancelling" in err
    assert not Path(f"/proc/{mark.read_text().strip()}").exists()


def test_a_second_ctrl_c_leaves_at_once_and_the_cancel_goes_on(
    console: Console, tmp_path: Path
) -> None:
    name, mark = uuid.uuid4().hex, tmp_path / "mark"
    script = 'trap "" TERM; : > "$1"; while :; do sleep 0.1; done'
    process = console.start("run", "--name", name, *shell(script, str(mark)))
    wait_until(mark.exists, "the job to run")
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert "cancelling" in process.stderr.readline()

    watch = Stopwatch()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 130
    assert watch.seconds < float(_GRACE_S), "long before the job has ended"
    assert "the cancel goes on" in err
    job = newest(console, name)
    wait_until(lambda: console.state_of(job) == "CANCELLED", "the cancel to go on")


def test_a_reader_that_goes_away_ends_the_job(console: Console) -> None:
    name = uuid.uuid4().hex
    process = console.start("run", "--name", name, "yes")
    assert process.stdout is not None
    assert process.stdout.readline() == "y\n"

    process.stdout.close()

    assert process.wait(PATIENCE_S) == 130
    assert process.stderr is not None
    process.stderr.close()
    assert console.state_of(newest(console, name)) == "CANCELLED"


def test_a_run_goes_on_after_the_service_was_killed(bare: Console, tmp_path: Path) -> None:
    service, ready = bare.up()
    go_on = tmp_path / "go-on"
    script = 'echo before; while [ ! -e "$1" ]; do sleep 0.05; done; echo after; exit 5'
    process = bare.start("run", *shell(script, str(go_on)))
    assert process.stdout is not None
    assert process.stdout.readline() == "before\n"

    service.kill()
    service.wait()
    go_on.touch()
    bare.up("--port", ready["url"].rpartition(":")[2])

    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (5, "after\n")
    assert "trying again" in err


def test_at_a_terminal_a_line_tells_the_state_and_leaves_no_trace(console: Console) -> None:
    shown = console.look("run", *shell("echo one; sleep 0.5; printf two; exit 4"), columns=80)

    lines = plain(shown.out)
    assert shown.code == 4
    assert any("● RUNNING" in line and "Ctrl-C cancels" in line for line in lines)
    assert "one" in lines
    assert "two" in lines, "a line of the job's own is not written into"
    assert "exit code 4" in texts(lines)
    assert "✘ FAILED" in texts(lines)


def test_at_a_terminal_ctrl_c_cancels(console: Console) -> None:
    shown = console.look("run", "sleep", "600", columns=80, ctrl_c_after="● RUNNING")

    assert shown.code == 130
    assert "⊘ CANCELLED" in texts(plain(shown.out))


def test_where_nothing_runs_the_exit_code_is_no_jobs(bare: Console) -> None:
    failed = bare.run("run", "true")

    assert failed.code == 125
    assert "jobwire up" in failed.err
    assert len(failed.err.splitlines()) == 1

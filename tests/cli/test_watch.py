"""Following jobs, also while the service goes away and comes back."""

from __future__ import annotations

import json
import subprocess
import threading

import pytest

from tests.cli.console import PATIENCE_S, Console, plain


@pytest.mark.parametrize(("events", "code"), [(("run", "finish"), 0), (("run", "fail"), 1)])
def test_until_outcome_ends_with_the_outcome(
    console: Console, events: tuple[str, ...], code: int
) -> None:
    job = console.job()
    process = console.start("watch", job, "--until-outcome")
    _line(process)

    for name in events:
        console.run("event", job, name)
    out, _ = process.communicate(timeout=PATIENCE_S)

    assert [json.loads(line)["name"] for line in out.splitlines()] == [*events]
    assert process.returncode == code
    assert console.run("watch", job, "--until-outcome").code == code, "also where it is known"


def test_an_earlier_outcome_does_not_end_the_watch(console: Console) -> None:
    job = console.job()
    for name in ("run", "fail", "reset", "ready", "run"):
        assert console.run("event", job, name).code == 0
    process = console.start("watch", job, "--until-outcome")
    for _ in range(6):
        _line(process)

    console.run("event", job, "finish")

    out, _ = process.communicate(timeout=PATIENCE_S)
    assert json.loads(out)["state"] == "FINISHED"
    assert process.returncode == 0


def test_a_watch_goes_on_after_the_service_was_killed(bare: Console) -> None:
    service, ready = bare.up()
    port = ready["url"].rpartition(":")[2]
    job = bare.job()
    one, every = bare.start("watch", job), bare.start("watch")
    assert _line(one)["name"] == "create"
    bare.run("event", job, "run")
    assert _line(one)["name"] == "run"
    assert _line(every)["name"] == "run"

    service.kill()
    service.wait()
    bare.up("--port", port)
    bare.run("event", job, "update")

    assert _line(one)["name"] == "update"
    assert _line(every)["name"] == "update"
    one.kill()
    assert one.stderr is not None
    assert "trying again" in one.stderr.read()


def test_a_watch_ends_when_its_job_is_deleted(console: Console) -> None:
    job = console.job()
    process = console.start("watch", job)
    _line(process)

    console.run("rm", job, "--force")

    out, _ = process.communicate(timeout=PATIENCE_S)
    assert json.loads(out)["name"] == "delete"
    assert process.returncode == 0


def test_the_live_table_shows_a_job_as_it_moves(console: Console) -> None:
    job, seen = console.job("--name", "moving"), threading.Event()

    def move() -> None:
        """Report until it is shown: what came before the table had its stream, it never shows."""
        event = {"uuid": job, "name": "run"}
        while not seen.wait(0.3):
            console.ask("/v1/events?wait=5", event)
            event["name"] = "update"

    moving = threading.Thread(target=move)
    shown = console.look(
        "watch",
        columns=120,
        once={"0 since the start": moving.start, "[1-9] since the start": seen.set},
        ctrl_c_after="● RUNNING.*[1-9] since the start",
    )
    seen.set()
    moving.join()

    lines = plain(shown.out)
    assert any(job in line and "● RUNNING" in line and "moving" in line for line in lines)
    assert shown.code == 130


def _line(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout is not None
    line: dict[str, str] = json.loads(process.stdout.readline())
    return line

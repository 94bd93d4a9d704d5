"""Jobs cancelled, held, released and made again at a shell."""

from __future__ import annotations

import os
import pty
import subprocess
import uuid

import pytest

from tests.cli.console import COMMAND, PATIENCE_S, Console, plain, texts, wait_until


def held(console: Console, *tags: str, **fields: str) -> str:
    """Submit a job that waits to be released; return its id."""
    return console.submitted("true", hold=True, tags=tags, **fields)


def answer(console: Console, *arguments: str, typed: str) -> tuple[int, str]:
    """Run a command at a terminal and type something; return its exit code and what it showed."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        (*COMMAND, *arguments),
        env=console.environment | {"TERM": "xterm-256color", "COLUMNS": "100"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    os.write(master, typed.encode())
    shown = b""
    try:
        while chunk := os.read(master, 65_536):
            shown += chunk
    except OSError:  # the terminal was closed at the other side
        pass
    os.close(master)
    return process.wait(PATIENCE_S), shown.decode()


def test_a_held_job_waits_until_it_is_released(console: Console) -> None:
    job = held(console)
    assert console.state_of(job) == "CREATED"

    released = console.run("release", job)

    assert (released.code, released.record["id"]) == (0, job)
    assert console.run("watch", job, "--until-outcome").code == 0


def test_a_waiting_job_is_held_and_cancelled(console: Console) -> None:
    job = console.submitted("true", start_after="2199-01-01T00:00:00Z")

    kept = console.run("hold", job)
    shown = console.ask(f"/v1/jobs/{job}")
    cancelled = console.run("cancel", job)

    assert (kept.code, shown["held"]) == (0, True)
    assert (cancelled.code, cancelled.record["state"]) == (0, "CANCELLED")
    assert console.ask(f"/v1/jobs/{job}")["cause"] == "cancelled"


def test_what_has_ended_cannot_be_cancelled_and_the_others_are(console: Console) -> None:
    ended, waiting, nobody = held(console), held(console), str(uuid.uuid4())
    console.ask(f"/v1/jobs/{ended}/cancel", {})

    done = console.run("cancel", ended, nobody, waiting)

    assert done.code == 1
    assert [each.get("code") for each in done.records] == ["already_ended", "unknown_job", None]
    assert f"{ended}: the job has ended" in done.err
    assert console.state_of(waiting) == "CANCELLED"


def test_a_job_that_runs_elsewhere_is_not_controlled_from_here(console: Console) -> None:
    job = console.job()

    for control in ("cancel", "hold", "release", "retry"):
        failed = console.run(control, job)

        assert failed.code == 1
        assert "runs elsewhere" in failed.err


def test_jobs_are_chosen_by_a_filter(console: Console) -> None:
    tag, other = uuid.uuid4().hex, uuid.uuid4().hex
    jobs = [held(console, tag) for _ in range(3)]
    apart = held(console, other)

    done = console.run("cancel", "--tag", tag)

    assert (done.code, done.record["matched"], done.record["done"]) == (0, 3, 3)
    assert {console.state_of(job) for job in jobs} == {"CANCELLED"}
    assert console.state_of(apart) == "CREATED"


def test_what_did_not_do_it_is_counted(console: Console) -> None:
    tag = uuid.uuid4().hex
    job = held(console, tag)
    elsewhere = console.job("--tag", tag)

    done = console.run("cancel", "--tag", tag)

    assert done.code == 1
    assert (done.record["done"], done.record["refused"]) == (1, 1)
    assert [each["id"] for each in done.record["examples"]] == [elsewhere]
    assert console.state_of(job) == "CANCELLED"


def test_a_terminal_asks_before_many_are_ended(console: Console) -> None:
    tag = uuid.uuid4().hex
    jobs = [held(console, tag) for _ in range(2)]

    code, shown = answer(console, "cancel", "--tag", tag, typed="n\n")
    assert (code, "cancel 2 jobs?" in shown) == (130, True)
    assert {console.state_of(job) for job in jobs} == {"CREATED"}

    code, shown = answer(console, "cancel", "--tag", tag, typed="y\n")
    assert (code, "2 of 2 cancelled" in shown) == (0, True)
    assert {console.state_of(job) for job in jobs} == {"CANCELLED"}


def test_a_terminal_does_not_ask_about_one_or_with_yes(console: Console) -> None:
    one, two = uuid.uuid4().hex, uuid.uuid4().hex
    held(console, one)
    for _ in range(2):
        held(console, two)

    alone = console.look("cancel", "--tag", one, columns=100)
    both = console.look("cancel", "--tag", two, "--yes", columns=100)

    assert "1 of 1 cancelled" in texts(plain(alone.out))
    assert "2 of 2 cancelled" in texts(plain(both.out))
    assert "?" not in alone.out + both.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("cancel",),
        ("hold",),
        ("release",),
        ("cancel", "2f1c6c1e-53b5-4d0a-9c86-0a3f35f1f6a4", "--all"),
        ("cancel", "2f1c6c1e-53b5-4d0a-9c86-0a3f35f1f6a4", "--tag", "x"),
    ],
)
def test_which_jobs_must_be_said_and_in_one_way(
    console: Console, arguments: tuple[str, ...]
) -> None:
    failed = console.run(*arguments)

    assert (failed.code, failed.out) == (2, "")
    assert "--all" in failed.err


@pytest.mark.parametrize("by", ["id", "tag"])
def test_with_wait_a_cancel_returns_when_nothing_is_alive(console: Console, by: str) -> None:
    tag = uuid.uuid4().hex
    job = console.submitted("sleep", "600", tags=[tag])
    wait_until(lambda: console.state_of(job) == "RUNNING", "the job to run")

    done = console.run("cancel", "--wait", *((job,) if by == "id" else ("--tag", tag)))

    assert done.code == 0
    assert console.state_of(job) == "CANCELLED"


def test_without_wait_a_cancel_of_a_running_job_says_that_it_goes_on(console: Console) -> None:
    job = console.submitted("sleep", "600")
    wait_until(lambda: console.state_of(job) == "RUNNING", "the job to run")

    done = console.run("cancel", job)

    assert done.code == 0
    assert done.record["state"] in ("CANCELLING", "CANCELLED")
    wait_until(lambda: console.state_of(job) == "CANCELLED", "the cancel to go on")


def test_an_ended_job_is_made_again_with_a_new_id(console: Console) -> None:
    job = held(console, "t", name="again")
    early = console.run("retry", job)
    console.ask(f"/v1/jobs/{job}/cancel", {})

    made = console.run("retry", job)

    shown = console.ask(f"/v1/jobs/{made.record['id']}")
    assert (early.code, early.record["code"]) == (1, "not_ended")
    assert made.code == 0
    assert made.record["id"] != job
    assert (shown["retry_of"], shown["name"], shown["tags"]) == (job, "again", ["t"])
    assert shown["spec"]["argv"] == ["true"]

"""Jobs and their events at a shell."""

from __future__ import annotations

import signal
import subprocess
import uuid
from pathlib import Path

import pytest

from tests.cli.console import PATIENCE_S, Console


def test_a_job_is_made_reported_on_and_read_back(console: Console) -> None:
    made = console.run("create", "--name", "fit", "--tag", "a", "--tag", "b", "--data", '{"n": 1}')
    job = made.record["id"]

    ran = console.run("event", job, "run", "--data", '{"node": "n1"}', "--source", "here")
    shown = console.run("show", job.upper()).record
    history = console.run("history", job.upper()).records

    assert (ran.code, ran.record["applied"], ran.record["state"]) == (0, True, "RUNNING")
    assert (shown["name"], shown["tags"], shown["data"]) == ("fit", ["a", "b"], {"n": 1})
    assert [(e["name"], e["source"]) for e in history] == [("create", None), ("run", "here")]
    assert history[1]["data"] == {"node": "n1"}


def test_data_comes_from_a_file_or_standard_input(console: Console, tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_text('{"from": "file"}')

    job = console.job("--data", f"@{file}")
    console.run("event", job, "run", "--data", "@-", text='{"from": "stdin"}')

    assert console.run("show", job).record["data"] == {"from": "file"}
    assert console.run("history", job).records[1]["data"] == {"from": "stdin"}


def test_an_event_that_does_not_apply_is_explained_and_fails(console: Console) -> None:
    job = console.job()

    kept = console.run("event", job, "finish")

    assert kept.code == 1
    assert len(kept.err.splitlines()) == 1
    assert "CREATED does not allow 'finish'" in kept.err
    assert "run" in kept.err
    assert (kept.record["applied"], kept.record["reason"]) == (False, "wrong_state")
    assert [e["applied"] for e in console.run("history", job).records] == [True, False]


def test_the_same_event_id_counts_once(console: Console) -> None:
    job = console.job()

    first = console.run("event", job, "run", "--id", "e1")
    again = console.run("event", job, "run", "--id", "e1")

    assert first.record["seq"] == again.record["seq"]
    assert again.record["duplicate"] is True
    assert len(console.run("history", job).records) == 2


def test_a_job_token_needs_no_key(console: Console) -> None:
    made = console.run("create").record
    url = console.run("doctor").records  # finds the service by the folder
    assert url

    sent = console.run("event", made["id"], "run", "--token", made["token"])
    wrong = console.run("event", made["id"], "run", "--token", "no" + made["token"][2:])

    assert sent.code == 0
    assert (wrong.code, len(wrong.err.splitlines())) == (1, 1)


def test_without_waiting_an_event_is_only_stored(console: Console) -> None:
    job = console.job()

    stored = console.run("event", job, "run", "--wait", "0", "--id", "e7")

    assert (0, {"id": "e7", "uuid": job}) == (stored.code, stored.record)


def test_lists_are_filtered_and_paged(console: Console) -> None:
    tag = f"t{uuid.uuid4().hex[:8]}"
    jobs = [console.job("--tag", tag, "--name", f"n{number}") for number in range(3)]
    console.run("event", jobs[0], "run")

    def ids(*arguments: str) -> list[str]:
        return [job["id"] for job in console.run("ls", "--tag", tag, *arguments).records]

    assert ids() == jobs[::-1]
    assert ids("--state", "RUNNING") == jobs[:1]
    assert ids("--q", "n1") == [jobs[1]]
    assert ids("--since", "2199-01-01") == []
    limited = console.run("ls", "--tag", tag, "--limit", "2")
    assert (len(limited.records), "--all" in limited.err) == (2, True)
    assert len(ids("--limit", "1", "--all")) == 3


def test_the_same_idempotency_key_gives_the_same_job(console: Console) -> None:
    first = console.job("--idempotency-key", "k1")

    assert first == console.job("--idempotency-key", "k1")


def test_a_job_that_has_not_ended_is_deleted_only_with_force(console: Console) -> None:
    job = console.job()

    refused = console.run("rm", job)
    deleted = console.run("rm", job, "--force")

    assert (refused.code, deleted.code) == (1, 0)
    assert "force" in refused.err
    assert console.run("show", job).code == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("show", str(uuid.uuid4())), 1, "there is no job with this id"),
        (("history", str(uuid.uuid4())), 1, "there is no job with this id"),
        (("watch", str(uuid.uuid4())), 1, "there is no job with this id"),
        (("rm", str(uuid.uuid4())), 1, "there is no job with this id"),
        (("show", "2f1c6c1e"), 2, "a job id is a UUID"),
        (("create", "--data", "{"), 2, "this is not JSON"),
        (("create", "--data", "@/nowhere"), 2, "cannot read /nowhere"),
        (("create", "--lifecycle", "nope"), 1, "there is no lifecycle 'nope'"),
        (("ls", "--since", "soon"), 2, "is not a time such as"),
        (("lss",), 2, "did you mean 'ls'?"),
        (("watch", "--until-outcome"), 2, "needs the UUID"),
        (("refused", "replay"), 2, "or --all"),
    ],
)
def test_what_cannot_be_done_is_said_without_a_traceback(
    console: Console, arguments: tuple[str, ...], code: int, said: str
) -> None:
    failed = console.run(*arguments)

    assert failed.code == code
    assert said in failed.err
    assert "Traceback" not in failed.err
    assert failed.out == ""


def test_where_nothing_runs_it_is_said_how_to_start(bare: Console) -> None:
    failed = bare.run("ls")

    assert (failed.code, len(failed.err.splitlines())) == (1, 1)
    assert "no service is running" in failed.err
    assert "jobwire up" in failed.err


def test_a_named_service_that_does_not_answer_is_said(bare: Console) -> None:
    failed = bare.run("ls", JOBWIRE_URL="http://127.0.0.1:1", JOBWIRE_API_KEY="jwk_x")

    assert (failed.code, len(failed.err.splitlines())) == (1, 1)
    assert "nothing answers at http://127.0.0.1:1" in failed.err


def test_the_folders_key_is_not_sent_to_another_service(console: Console) -> None:
    failed = console.run("ls", JOBWIRE_URL="http://127.0.0.1:1")

    assert failed.code == 1
    assert "set JOBWIRE_API_KEY" in failed.err


def test_a_reader_that_goes_away_is_no_fault(console: Console) -> None:
    tag = f"t{uuid.uuid4().hex[:8]}"
    for _ in range(3):
        console.job("--tag", tag, "--data", '"' + "x" * 60_000 + '"')
    job = console.job("--tag", tag)
    for _ in range(3):
        console.run("event", job, "update", "--data", "@-", text='"' + "x" * 60_000 + '"')

    process = console.start("history", job)
    assert process.stdout is not None
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()

    assert process.wait(PATIENCE_S) != 0
    assert err == ""


def test_ctrl_c_ends_a_watch_quietly(console: Console) -> None:
    job = console.job()
    process = console.start("watch", job)
    assert process.stdout is not None
    assert process.stdout.readline()

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)

    assert (process.returncode, err.strip()) == (130, "")


def test_help_is_quick_because_nothing_heavy_is_loaded(bare: Console) -> None:
    code = (
        "import sys\nfrom jobwire.actors.cli.main import run\nassert run(['--help']) == 0\n"
        "sys.exit(bool({'aiohttp', 'rich', 'uvloop', 'structlog'} & set(sys.modules)))"
    )

    done = subprocess.run(
        [*Console.python(), "-c", code], env=bare.environment, capture_output=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, b"")

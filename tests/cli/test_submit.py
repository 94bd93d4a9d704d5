"""Jobs handed in, one or many at a time."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from tests.cli.console import Console, plain, texts


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("submit",), "FILE"),
        (("submit", "x.json", "--", "true"), "FILE"),
        (("submit", "--"), "name the command"),
        (("submit", "/nowhere.json"), "cannot read /nowhere.json"),
        (("run",), "ARGV"),
        (("run", "--nmae", "x", "true"), "--name"),
    ],
)
def test_a_wrong_call_is_explained(bare: Console, arguments: tuple[str, ...], said: str) -> None:
    bare.folder.mkdir()
    failed = bare.run(*arguments, JOBWIRE_URL="http://127.0.0.1:1", JOBWIRE_API_KEY="jwk_x")

    assert failed.code == 2
    assert said in failed.err
    assert failed.out == ""


def test_a_submitted_job_is_made_as_it_was_asked(console: Console) -> None:
    made = console.run(
        *("submit", "--hold", "--tag", "t", "--cores", "1", "--env", "A=b", "--retries", "1"),
        *("--", "echo", "-n", "--", "*"),
    )

    shown = console.ask(f"/v1/jobs/{made.record['id']}")
    assert (made.code, made.err) == (0, "")
    assert shown["spec"]["argv"] == ["echo", "-n", "--", "*"]
    assert (shown["held"], shown["state"], shown["tags"]) == (True, "CREATED", ["t"])
    assert shown["spec"]["env"] == {"A": "b"}


def test_quiet_prints_the_id_only(console: Console) -> None:
    made = console.run("submit", "--hold", "-q", "--", "true")

    assert str(uuid.UUID(made.out.strip())) == made.out.strip()


def test_a_file_of_many_is_submitted_and_faults_are_named(console: Console, tmp_path: Path) -> None:
    file = tmp_path / "jobs.ndjson"
    good = [json.dumps({"name": f"n{n}", "spec": {"argv": ["true"]}}) for n in range(3)]
    bad = json.dumps({"name": "bad", "spec": {"argv": []}})
    file.write_text("\n".join((good[0], bad, good[1], "{", good[2])))

    done = console.run("submit", "--hold", str(file))

    names = [console.ask(f"/v1/jobs/{each['id']}")["name"] for each in done.records]
    assert done.code == 1
    assert names == ["n0", "n1", "n2"], "in the order of the file"
    assert "line 2: /spec/argv" in done.err
    assert "line 4: this is not JSON" in done.err
    assert "3 of 5 made" in done.err


def test_a_file_submitted_again_with_its_key_makes_nothing_twice(console: Console) -> None:
    text = "\n".join(json.dumps({"spec": {"argv": ["true"]}}) for _ in range(3))
    key = uuid.uuid4().hex

    first, second = (
        [
            each["id"]
            for each in console.run(
                "submit", "--hold", "--idempotency-key", key, "-", text=text
            ).records
        ]
        for _ in range(2)
    )

    assert len(set(first)) == 3
    assert first == second


def test_a_refused_request_says_which_field_was_wrong(console: Console) -> None:
    failed = console.run("submit", "--env", "JOBWIRE_X=1", "--", "true")

    assert failed.code == 1
    assert "/spec/env/JOBWIRE_X" in failed.err
    assert "Traceback" not in failed.err


def test_with_a_wrong_key_the_rest_is_not_sent(console: Console) -> None:
    lines = "\n".join(['{"spec": {"argv": ["true"]}}'] * 40)

    failed = console.run("submit", "-", text=lines, JOBWIRE_API_KEY="jwk_nobodys")

    assert failed.code == 1
    assert 0 < failed.err.count("jobwire:") <= 17, "those under way, and no more"
    assert "0 of 40 made" in failed.err
    assert "submit the file again" in failed.err


def test_at_a_terminal_a_job_is_shown_with_what_it_is_asked(console: Console) -> None:
    submitted = plain(console.look("submit", "--hold", "--", "echo", "a b", columns=100).out)
    job = next(line.split()[1] for line in submitted if line.startswith("✔"))

    shown = texts(plain(console.look("show", job, columns=100).out))

    assert "command echo 'a b'" in shown
    assert "held" in shown
    assert f"jobwire logs {job}" in shown

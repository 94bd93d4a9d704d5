"""The commands of the shim, and an understanding of what it prints."""

from __future__ import annotations

import shlex
import subprocess
from typing import Any

import pytest
from msgspec.structs import replace

from jobwire.actors.batch_systems.base import Launch, RunStatus
from jobwire.actors.batch_systems.local import LocalBatch
from jobwire.actors.hosts.base import Completed
from jobwire.schemas.errors import Unavailable
from jobwire.schemas.specs import Resources
from tests.support.factories import job_id

_RUN = f"{job_id()}.1"
_LAUNCH = Launch(
    run=_RUN,
    shim="/lib/shim.sh",
    control="/sand box/control",
    work="/sand box/work",
    stdout="out",
    stderr="err",
    argv=("prog", "a b", "", "--", "$(id)", "new\nline"),
    resources=Resources(walltime_s=1.5, memory_mb=3),
    grace_s=10,
    file_bytes=1000,
    open_files=64,
)


def _printed(text: str, errors: str = "") -> Completed:
    return Completed(0, text, errors)


@pytest.fixture(name="batch")
def _batch() -> LocalBatch:
    return LocalBatch()


def test_the_words_of_a_job_stay_words(batch: LocalBatch) -> None:
    argv = batch.submit_argv(_LAUNCH)

    end = argv.index("--")
    assert argv[end + 1 :] == list(_LAUNCH.argv)
    assert _LAUNCH.control in argv[:end]
    assert _RUN in argv[:end]


def test_what_is_limited_is_named_and_what_is_not_is_nothing(batch: LocalBatch) -> None:
    free = replace(_LAUNCH, resources=Resources(), file_bytes=0)

    assert batch.submit_argv(_LAUNCH)[7:12] == ["150", "3072", "1000", "2", "64"]
    assert batch.submit_argv(free)[7:12] == ["0", "0", "1000", "0", "64"]


def test_the_shortest_walltime_is_not_none(batch: LocalBatch) -> None:
    short = replace(_LAUNCH, resources=Resources(walltime_s=0.0001))

    assert batch.submit_argv(short)[7] == "1"


def test_the_environment_is_in_no_argument_and_arrives_as_it_is(batch: LocalBatch) -> None:
    odd = {"A": "it's $(id)\n\n", "B": "", "C": "é\udcff\\"}

    text = batch.submit_stdin(_LAUNCH, odd)

    script = text + b'\nprintf "%s|%s|%s" "$A" "$B" "$C"'
    done = subprocess.run(["sh"], input=script, capture_output=True, check=True)
    assert done.stdout == b"it's $(id)\n\n||\xc3\xa9\xff\\"
    assert not any("it's" in word for word in batch.submit_argv(_LAUNCH))


def test_many_attempts_are_looked_up_at_once(batch: LocalBatch) -> None:
    other = replace(_LAUNCH, run=f"{job_id(2)}.1", control="/other")

    (argv,) = batch.status_argvs([_LAUNCH, other])

    assert argv[-4:] == [_RUN, _LAUNCH.control, other.run, "/other"]
    assert batch.status_argvs([]) == []


def test_each_line_is_one_attempt(batch: LocalBatch) -> None:
    other = f"{job_id(2)}.7"
    lines = f"{_RUN} running 12 3456\n{other} ended 137 KILL memory -\n"

    assert batch.parse_statuses([_printed(lines), _printed("")], []) == {
        _RUN: RunStatus(state="running", pid=12, started=3456),
        other: RunStatus(state="ended", exit_code=137, signal="SIGKILL", cause="memory"),
    }


@pytest.mark.parametrize(
    "said",
    ["", "running x 1", "ended x - - -", "ended ² - - -", "ended " + "9" * 5000 + " - - -", "?"],
)
def test_a_line_that_cannot_be_read_spoils_no_other(batch: LocalBatch, said: str) -> None:
    other = f"{job_id(2)}.7"

    found = batch.parse_statuses([_printed(f"{_RUN} {said}\n\n{other} gone\n")], [])

    assert found == {other: RunStatus(state="gone")}
    with pytest.raises(Unavailable):
        batch.parse_submitted(_printed(f"{_RUN} {said}\n"))


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        ("absent", {"state": "absent"}),
        ("gone", {"state": "gone"}),
        ("running 5 6", {"state": "running", "pid": 5, "started": 6}),
        ("burned cancelled:1.2.b", {"state": "burned", "detail": "cancelled:1.2.b"}),
        ("ended 0 - - -", {"state": "ended", "exit_code": 0}),
        ("ended 162 34 - -", {"state": "ended", "exit_code": 162, "signal": "34"}),
        (
            "ended 127 - could_not_start program",
            {"state": "ended", "exit_code": 127, "cause": "could_not_start", "detail": "program"},
        ),
        ("refused no_space", {"state": "absent", "cause": "could_not_start", "detail": "no_space"}),
    ],
)
def test_every_answer_is_understood(batch: LocalBatch, said: str, fields: dict[str, Any]) -> None:
    line = f"{_RUN} {said}\n"

    assert batch.parse_submitted(_printed(line)) == RunStatus(**fields)
    assert batch.parse_cancelled([_printed(line)]) == RunStatus(**fields)


@pytest.mark.parametrize("said", ["", "x\ny\n", f"{_RUN}\n", f"{_RUN} dancing\n"])
def test_an_answer_that_is_none_is_unavailable(batch: LocalBatch, said: str) -> None:
    with pytest.raises(Unavailable):
        batch.parse_submitted(_printed(said))


def test_a_cancel_names_its_cause(batch: LocalBatch) -> None:
    (argv,) = batch.cancel_argvs(_LAUNCH, "walltime")

    assert argv[-4:] == [_RUN, _LAUNCH.control, "1000", "walltime"]
    assert shlex.split(shlex.join(argv)) == argv


def test_a_shim_that_could_not_run_is_unavailable_with_its_words() -> None:
    done = Completed(127, "", "sh: cannot open /lib/shim.sh\n")

    with pytest.raises(Unavailable, match=r"exit code 127, 'sh: cannot open /lib/shim\.sh'"):
        LocalBatch().parse_submitted(done)


def test_more_attempts_than_the_arguments_of_a_command_hold_are_several_commands() -> None:
    launches = [replace(_LAUNCH, run=f"{job_id(number)}.1") for number in range(450)]

    argvs = LocalBatch().status_argvs(launches)

    assert [(len(argv) - 3) // 2 for argv in argvs] == [200, 200, 50]

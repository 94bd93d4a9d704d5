"""How the end of a job is told: in words, in numbers, as an exit code."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec import Raw

from jobwire.actors.cli.job_end import exit_code, in_words
from jobwire.actors.cli.progress import progress_of
from jobwire.schemas.identifiers import parse_job_id
from jobwire.schemas.lifecycle import JobOutcome
from jobwire.schemas.specs import Resources, Spec
from jobwire.schemas.views import JobView

_NOW = datetime.now(UTC)


def ended_job(
    outcome: JobOutcome, cause: str | None, code: int | None, detail: str | None = None
) -> JobView:
    """Return a job that has ended."""
    return JobView(
        id=parse_job_id("2f1c6c1e-53b5-4d0a-9c86-0a3f35f1f6a4"),
        name=None,
        lifecycle="execution",
        lifecycle_version=1,
        state="FAILED",
        outcome=outcome,
        cause=cause,
        tags=(),
        parent=None,
        owner="ada",
        seq=4,
        last_event="fail",
        created=_NOW,
        updated=_NOW,
        deadline_s=None,
        heartbeat_s=None,
        attempt=1,
        held=False,
        exit_code=code,
        signal="SIGSEGV" if cause == "signal" else None,
        detail=detail,
        stage_out_problem=None,
        retry_of=None,
    )


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (("success", None, 0), 0),
        (("failure", "exit_code", 3), 3),
        (("failure", "signal", 139), 139),
        (("failure", "walltime", None), 124),
        (("failure", "walltime", 0), 124),
        (("failure", "walltime", 143), 143),
        (("failure", "memory", None), 137),
        (("failure", "could_not_start", None), 127),
        (("failure", "could_not_start", 126), 126),
        (("failure", "staging", 0), 125),
        (("failure", "staging", None), 125),
        (("failure", "interrupted", None), 125),
        (("failure", None, None), 125),
        (("cancelled", "cancelled", 143), 130),
        (("lost", "lost", None), 125),
    ],
)
def test_the_exit_code_says_how_the_job_ended(
    ended: tuple[JobOutcome, str | None, int | None], code: int
) -> None:
    assert exit_code(ended_job(*ended)) == code


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        ("exit_code", "exit code 3"),
        ("signal", "SIGSEGV"),
        ("walltime", "longer than its walltime (1 min 30 s)"),
        ("memory", "more memory than its limit (2,048 MiB)"),
        ("could_not_start", "could not be started"),
        ("staging", "copied in or out"),
        ("interrupted", "left no exit code"),
        ("cancelled", "was cancelled"),
    ],
)
def test_every_cause_is_put_in_words(cause: str, said: str) -> None:
    spec = Spec(argv=("x",), resources=Resources(memory_mb=2048, walltime_s=90))

    assert said in str(in_words(ended_job("failure", cause, 3), spec))


@pytest.mark.parametrize("cause", ["could_not_start", "staging", "lost"])
def test_what_the_worker_says_of_this_very_run_is_said_alone(cause: str) -> None:
    job = ended_job("failure", cause, None, "there is no program 'nope'")

    assert in_words(job) == "there is no program 'nope'"


def test_a_success_needs_no_words() -> None:
    assert in_words(ended_job("success", None, 0)) is None


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (
            b'{"stage": "in", "files": 1200, "bytes": 1610612736, "total_bytes": 3221225472}',
            "in: 1,200 files, 1.5 GiB of 3.0 GiB, 50 %",
        ),
        (
            b'{"stage": "out", "files": 0, "bytes": 0, "total_bytes": 0}',
            "out: 0 files, 0 B of 0 B",
        ),
        (b'{"percent": 40}', '{"percent": 40}'),
        (b"null", ""),
    ],
)
def test_progress_is_told_in_few_words(data: bytes, text: str) -> None:
    assert progress_of(Raw(data)) == text

"""How a job that the service runs ended: in words, and as the exit code of a command."""

from __future__ import annotations

from typing import Final

from jobwire.actors.cli.output import clean, duration
from jobwire.schemas.specs import Cause, Resources, Spec
from jobwire.schemas.views import JobView

#: Exit codes where a job has none of its own to give: as shells and their tools have them.
NOT_RUN: Final = 125
COULD_NOT_START: Final = 127
WALLTIME: Final = 124
CANCELLED: Final = 130
MEMORY: Final = 137

_BY_CAUSE: Final = {
    Cause.WALLTIME: WALLTIME,
    Cause.COULD_NOT_START: COULD_NOT_START,
    Cause.MEMORY: MEMORY,
    Cause.CANCELLED: CANCELLED,
}


def exit_code(job: JobView) -> int:
    """
    Return the exit code of a command that has waited for a job.

    0 for success only; the job's own where it has one; 130 where it was cancelled; else what the
    cause stands for.
    """
    if job.outcome == "success":
        return 0
    if job.outcome == "cancelled":
        return CANCELLED
    if job.outcome == "lost" or job.cause == Cause.STAGING:
        return NOT_RUN
    own, cause = (job.exit_code or 0) & 0xFF, _cause(job)
    return own or (_BY_CAUSE.get(cause, NOT_RUN) if cause else NOT_RUN)


def in_words(job: JobView, spec: Spec | None = None) -> str | None:
    """Return why a job did not succeed; None: there is nothing to say."""
    cause = _cause(job)
    if cause is None:
        return clean(job.detail) if job.detail and job.outcome != "success" else None
    # What the worker says is about this very run; the cause alone says what happens in general.
    return clean(job.detail) if job.detail else _said(job, cause, spec)


def _said(job: JobView, cause: Cause, spec: Spec | None) -> str:
    resources = spec.resources if spec else Resources()
    longest, most = resources.walltime_s, resources.memory_mb
    return {
        Cause.EXIT_CODE: f"it ended with exit code {job.exit_code}",
        Cause.SIGNAL: f"{job.signal or 'a signal'} from outside ended it",
        Cause.WALLTIME: "it ran longer than its walltime" + _limit(longest and duration(longest)),
        Cause.MEMORY: "it used more memory than its limit" + _limit(most and f"{most:,} MiB"),
        Cause.COULD_NOT_START: "it could not be started",
        Cause.STAGING: "a file could not be copied in or out",
        Cause.INTERRUPTED: "it is gone and left no exit code: its machine may have restarted",
        Cause.CANCELLED: "it was cancelled",
        Cause.WAITED: "it had not started in time",
    }[cause]


def _limit(text: str | float | None) -> str:
    return f" ({text})" if text else ""


def _cause(job: JobView) -> Cause | None:
    try:
        return Cause(job.cause or "")
    except ValueError:
        return None

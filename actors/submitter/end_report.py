"""What the end of an attempt is reported as (pure)."""

from __future__ import annotations

from datetime import datetime

from jobwire.actors.batch_systems.base import RunStatus
from jobwire.schemas.commands import Command
from jobwire.schemas.reports import AttemptEnd, Cancelled, Exited, Failed, Finished
from jobwire.schemas.specs import Cause, Spec

#: Why an attempt could not start, by the step at which the shim gave up.
_STEPS = {
    "directory": "its directory cannot be entered",
    "output": "the file for its output cannot be made: no space, or something is in its place",
    "limits": "its limits cannot be set on this machine",
    "environment": "its environment cannot be set",
    "no_space": "there is no space left for its directory",
}


#: Causes by which there is nothing that could be brought out.
_NOT_STARTED = (Cause.COULD_NOT_START, Cause.WAITED)


def report_of(status: RunStatus, spec: Spec) -> AttemptEnd:
    """
    Return how an attempt ended.

    Where something is to be brought out it has only ended, and the stager has the last word.
    """
    cause = _cause(status)
    report: type[AttemptEnd] = Failed if cause else Finished
    if cause == Cause.CANCELLED:
        report = Cancelled
    elif cause not in _NOT_STARTED and spec.brings_out(succeeded=cause is None):
        report = Exited
    return report(
        cause=cause,
        exit_code=status.exit_code,
        signal=status.signal,
        detail=_detail(cause, status, spec),
    )


def never_starts(command: Command, cores: int | None, now: datetime) -> RunStatus | None:
    """Return why a job that waits for cores of its site is not to wait on; None: it may."""
    if cores and command.cores > cores:  # it had more when the job was made
        detail = f"its site has {cores} cores, fewer than the {command.cores} requested"
        return RunStatus(state="ended", cause=Cause.COULD_NOT_START, detail=detail)
    if command.start_by is not None and command.start_by < now:
        detail = (
            f"it had not started by {command.start_by:%Y-%m-%d %H:%M:%S}, the end of start_within_s"
        )
        return RunStatus(state="ended", cause=Cause.WAITED, detail=detail)
    return None


def _cause(status: RunStatus) -> str | None:
    if status.state == "gone":
        return Cause.INTERRUPTED
    if status.cause is not None:
        return status.cause
    if status.signal is not None:
        return Cause.SIGNAL
    return Cause.EXIT_CODE if status.exit_code else None


def _detail(  # noqa: PLR0911 - a table
    cause: str | None, status: RunStatus, spec: Spec
) -> str | None:
    limits = spec.resources
    match cause:
        case Cause.EXIT_CODE:
            return f"it ended with exit code {status.exit_code}; see {spec.stderr}"
        case Cause.SIGNAL:
            return f"{status.signal} ended it; see {spec.stderr}"
        case Cause.WALLTIME:
            return f"it ran longer than {limits.walltime_s or 0:g} s"
        case Cause.MEMORY:
            return f"it used more memory than {limits.memory_mb} MiB"
        case Cause.INTERRUPTED:
            return "its process is gone and left no exit code: was the machine restarted?"
        case Cause.WAITED:
            return status.detail
        case Cause.COULD_NOT_START:
            return _why_not_started(status, spec)
        case _:
            return None


def _why_not_started(status: RunStatus, spec: Spec) -> str:
    program = spec.invocation.program[:200]
    if status.detail == "program":
        return f"there is no program {program!r} in its PATH, or it cannot be executed"
    return _STEPS.get(status.detail or "", status.detail or "its start failed")

"""
What a job's state is called here (pure): the status document of `GET` and of callbacks.

The state is the word of the local scheduler of the original; only `running`, `done`, `exitCode`
and `exception` mean the same with every scheduler.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from jobwire.schemas.jobs import Ending
from jobwire.schemas.lifecycle import JobOutcome
from jobwire.schemas.specs import Cause

#: The texts of the original, without the prefix that later releases put before them.
CANCELLED: Final = "Process cancelled by user."
TIMED_OUT: Final = "Process timed out."

#: Native states before an end, and what they are called: a job whose inputs are not in place yet
#: is INITIAL; what is being ended, or looked for, runs as far as anybody knows.
_BEFORE_END: Final = {
    "CREATED": "INITIAL",
    "STAGING": "INITIAL",
    "STAGED": "PENDING",
    "SUBMITTING": "PENDING",
    "QUEUED": "PENDING",
    "RETRYING": "PENDING",
}
#: Causes of a failure in which the process has ended by itself.
_BY_ITSELF: Final = (Cause.EXIT_CODE, Cause.SIGNAL)
#: Causes that are a passed limit of time.
_TOO_LONG: Final = (Cause.WALLTIME, Cause.WAITED)

MISSPELT: Final = "schedulerSpecficInformation"
"""Misspelt in every release of the original, so clients look for it under this name."""
CORRECT: Final = "schedulerSpecificInformation"


class LauncherStatus(Struct, frozen=True, kw_only=True):
    """What is known of a job."""

    state: str
    exit_code: int | None = None
    """None unless the process ended by itself."""
    exception: str | None = None
    running: bool = False
    done: bool = False

    def document(self, *, spelt: bool) -> dict[str, Any]:
        """Return the document; `spelt` adds the correct spelling of its misspelt field."""
        document = {
            "state": self.state,
            "exitCode": self.exit_code,
            "exception": self.exception,
            "running": self.running,
            "done": self.done,
            MISSPELT: None,
        }
        return {**document, CORRECT: None} if spelt else document


def status_of(
    state: str, outcome: JobOutcome | None, cause: str | None, ending: Ending | None
) -> LauncherStatus:
    """
    Return what a job's state is.

    A process that ended by itself is DONE whatever its exit code; an output that could not be
    copied back is told in `exception`, so that a client does not look for it.
    """
    ending = ending or Ending()
    match outcome:
        case None:
            called = _BEFORE_END.get(state, "RUNNING")
            return LauncherStatus(state=called, running=called == "RUNNING")
        case "success":
            return LauncherStatus(state="DONE", exit_code=ending.exit_code or 0, done=True)
        case "cancelled":
            return LauncherStatus(state="KILLED", exception=CANCELLED, done=True)
        case "lost":
            lost = ending.detail or "nothing is known of the process any more"
            return LauncherStatus(state="ERROR", exception=lost, done=True)
        case "failure":
            return _failure(cause, ending)


def is_unstarted(outcome: JobOutcome | None, cause: str | None, ending: Ending | None) -> bool:
    """Return whether the inputs of a job could not be brought in: here that is no job at all."""
    never_ran = ending is None or ending.exit_code is None
    return outcome == "failure" and cause == Cause.STAGING and never_ran


def _failure(cause: str | None, ending: Ending) -> LauncherStatus:
    by_itself = cause in _BY_ITSELF or (cause == Cause.STAGING and ending.exit_code is not None)
    if by_itself:
        problem = ending.stage_out_problem
        exception = f"not all outputs were copied back: {problem}" if problem else None
        return LauncherStatus(
            state="DONE", exit_code=ending.exit_code, exception=exception, done=True
        )
    if cause in _TOO_LONG:
        return LauncherStatus(state="KILLED", exception=TIMED_OUT, done=True)
    said = ending.detail or f"it failed: {cause or 'no cause is known'}"
    return LauncherStatus(state="ERROR", exception=said, done=True)

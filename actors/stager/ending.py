"""How an attempt ends when its files have been brought out (pure)."""

from __future__ import annotations

from msgspec import structs

from jobwire.schemas.jobs import Ending, Job
from jobwire.schemas.reports import Collected, Failed, Finished
from jobwire.schemas.specs import Cause

#: Longest detail of a report.
_MOST_DETAIL = 4_000


def end_of(job: Job, collected: Collected, problem: str) -> Finished | Failed:
    """
    Return the report that ends an attempt.

    What went wrong first stays the cause; a file that could not be brought out is told with it.

    Args:
        job: the job, whose process has ended.
        collected: what was brought out.
        problem: what could not be brought out; empty, if everything was.

    """
    ending, copied = job.ending or Ending(), structs.asdict(collected)
    if job.cause is None and not problem:
        return Finished(**copied | {"exit_code": ending.exit_code or 0})
    detail = f"staging out failed: {problem}" if problem else ""
    details = "; ".join(filter(None, (ending.detail, detail)))
    end = {
        "cause": job.cause or Cause.STAGING,
        "exit_code": ending.exit_code,
        "signal": ending.signal,
        "detail": shortened(details) or None,
        "stage_out_problem": shortened(problem) or None,
    }
    return Failed(**copied | end)


def shortened(detail: str) -> str:
    """Return a detail that is not too long for a report."""
    return detail if len(detail) <= _MOST_DETAIL else f"{detail[: _MOST_DETAIL - 3]}..."

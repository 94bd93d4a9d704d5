"""How an attempt ends when its files have been brought out (pure)."""

from __future__ import annotations

from typing import Any

from jobwire.schemas.jobs import Ending, Job
from jobwire.schemas.specs import Cause

#: Longest detail of a report.
_MOST_DETAIL = 4_000


def end_of(job: Job, report: dict[str, Any], problem: str) -> tuple[str, dict[str, Any]]:
    """
    Return the event that ends an attempt, and its data.

    What went wrong first stays the cause; a file that could not be brought out is told with it.

    Args:
        job: the job, whose process has ended.
        report: what was brought out.
        problem: what could not be brought out; empty, if everything was.

    """
    ending = job.ending or Ending()
    if job.cause is None and not problem:
        return "finish", {"exit_code": ending.exit_code or 0, **report}
    detail = f"staging out failed: {problem}" if problem else ""
    said = "; ".join(filter(None, (ending.detail, detail)))
    return "fail", {
        "cause": job.cause or Cause.STAGING,
        "exit_code": ending.exit_code,
        "signal": ending.signal,
        "detail": shortened(said) or None,
        **({"stage_out_problem": shortened(problem)} if problem else {}),
        **report,
    }


def shortened(detail: str) -> str:
    """Return a detail that is not too long for a report."""
    return detail if len(detail) <= _MOST_DETAIL else f"{detail[: _MOST_DETAIL - 3]}..."

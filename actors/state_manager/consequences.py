"""
What a transition of a job that Jobwire runs itself asks of a worker (pure).

Consequences hang on transitions, never on states: an `update` must not give a command again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from schemas.commands import CommandKind, Outstanding
from schemas.events import Event
from schemas.jobs import Job, Plan
from schemas.lifecycle import State

#: States in which no process of the job can live, so that the reaper may say `fail`; elsewhere it
#: says `suspect`.
REAPER_MAY_FAIL = frozenset({"CREATED", "STAGING", "STAGED", "RETRYING", "COLLECTING"})


def at_birth(event: Event, plan: Plan, attempt: int) -> dict[str, Any]:
    """Give the changes that a `create` brings: the first attempt and its first command."""
    return {
        "attempt": attempt,
        "first_attempt": attempt,
        "outstanding": _command(event, first_command(plan), attempt),
    }


def consequences(  # noqa: PLR0911 - a table
    job: Job, event: Event, target: State, target_name: str
) -> dict[str, Any]:
    """Give the changes, beside the state, that an applied event brings to a job with a plan."""
    plan = job.plan
    if plan is None:
        return {}
    if target.final:
        return {"outstanding": None}
    match event.name, target_name:
        case "staged", "STAGED":
            return {"outstanding": _command(event, "Submit", job.attempt)}
        case (("queued" | "run"), _) if job.outstanding and job.outstanding.kind == "Submit":
            return {"outstanding": None}
        case "exit", _:
            return {"outstanding": _command(event, "StageOut", job.attempt)}
        case _, "RETRYING":
            attempt = job.attempt + 1
            return {
                "attempt": attempt,
                "outstanding": _command(event, first_command(plan), attempt),
            }
        case "cancel", "CANCELLING":
            return {"cancel_applied": True, "outstanding": _command(event, "Cancel", job.attempt)}
        case "suspect", "UNKNOWN":
            return {"suspected": job.seq + 1}
        case _:
            return {}


def may_retry(job: Job) -> bool:
    """
    Say whether a failure leads to another attempt.

    Attempts are left and no cancel was applied.
    """
    plan = job.plan
    if plan is None or job.cancel_applied:
        return False
    return job.attempt - job.first_attempt + 1 < plan.tries


def first_command(plan: Plan) -> CommandKind:
    """Name the command that an attempt begins with."""
    return "StageIn" if plan.stage_in else "Submit"


def _command(event: Event, kind: CommandKind, attempt: int) -> Outstanding:
    since: datetime = event.received
    return Outstanding(event.id, kind, attempt, since)

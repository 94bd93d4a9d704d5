"""
What a transition of a job that Jobwire runs itself asks of a worker (pure).

Consequences hang on transitions, never on states: an `update` must not give a command again.
"""

from __future__ import annotations

from datetime import timedelta

from jobwire.schemas.commands import CommandKind, Outstanding
from jobwire.schemas.events import Event
from jobwire.schemas.jobs import NO_CHANGE, Change, Job, Plan
from jobwire.schemas.lifecycle import State

#: States in which no process of the job can live, so that the reaper may say `fail`; elsewhere it
#: says `suspect`.
REAPER_MAY_FAIL = frozenset({"CREATED", "STAGING", "STAGED", "RETRYING", "COLLECTING"})

#: Events by which something of a job starts; a held job's are kept, not applied.
STARTING = frozenset({"stage", "submit"})

#: Longest pause before another attempt.
_LONGEST_BACKOFF_S = 86_400.0


def at_creation(event: Event, plan: Plan | None, attempt: int) -> Change:
    """Return what a `create` begins: the first attempt and, of a job with a plan, its command."""
    if plan is None:
        return Change(attempt=attempt, first_attempt=attempt)
    first = _command(event, first_command(plan), attempt)
    if plan.start_after is not None and plan.start_after > first.since:
        first = Outstanding(first.entry, first.kind, attempt, plan.start_after)
    return Change(attempt=attempt, first_attempt=attempt, outstanding=first)


def consequences(  # noqa: C901, PLR0911, PLR0912 - a table
    job: Job, event: Event, target: State, target_name: str, *, by_worker: bool, is_whole: bool
) -> Change:
    """
    Return what an applied event changes of a job with a plan, beside its state.

    What could not be brought out, which makes its directory not `is_whole`, may have another time.
    A job's own word that it runs ends no command: only its worker knows that the start is done.
    """
    plan = job.plan
    if plan is None:
        return NO_CHANGE
    if target.final:
        if event.name == "cleaned":
            return Change(outstanding=None)
        return Change(outstanding=_clean_up(job, event, target, is_whole=is_whole))
    match event.name, target_name:
        case "staged", "STAGED":
            return Change(outstanding=_command(event, "Submit", job.attempt))
        case (("queued" | "run"), _) if by_worker and _awaits_start(job):
            return Change(outstanding=_command(event, "Watch", job.attempt))
        case "exit", _:
            return Change(outstanding=_command(event, "StageOut", job.attempt))
        case _, "RETRYING":
            return _next_attempt(job, event, plan)
        case "cancel", "CANCELLING":
            return Change(cancel_applied=True, outstanding=_command(event, "Cancel", job.attempt))
        case "suspect", "UNKNOWN":
            return Change(suspected=job.seq + 1)
        case "found", _:
            watch = _command(event, "Watch", job.attempt)
            return Change(suspected=job.seq + 1, outstanding=watch)
        case "hold", _:
            return Change(held=True)
        case "release", _ if job.held:
            return Change(held=False, outstanding=_again(job, event))
        case _:
            return NO_CHANGE


def may_retry(job: Job, cause: str | None) -> bool:
    """
    Return whether a failure leads to another attempt.

    Attempts are left, its cause is worth one, and no cancel was applied.
    """
    plan = job.plan
    if plan is None or job.cancel_applied or cause not in plan.retry_on:
        return False
    return job.attempt - job.first_attempt + 1 < plan.tries


def first_command(plan: Plan) -> CommandKind:
    """Name the command that an attempt begins with."""
    return "StageIn" if plan.stage_in else "Submit"


def _awaits_start(job: Job) -> bool:
    return job.outstanding is not None and job.outstanding.kind == "Submit"


def _next_attempt(job: Job, event: Event, plan: Plan) -> Change:
    """Begin another attempt after a pause that grows with each."""
    pause_s = plan.backoff_s * plan.backoff_factor ** (job.attempt - job.first_attempt)
    since = event.received + timedelta(seconds=min(pause_s, _LONGEST_BACKOFF_S))
    attempt = job.attempt + 1
    command = Outstanding(event.id, first_command(plan), attempt, since)
    return Change(attempt=attempt, outstanding=command)


def _clean_up(job: Job, event: Event, target: State, *, is_whole: bool) -> Outstanding | None:
    """Have the directory of an ended job removed in time; one that may still run keeps it."""
    plan = job.plan
    if plan is None or plan.clean_when == "never":
        return None
    if job.state == "CREATED" or target.outcome == "lost":
        return None
    if plan.clean_when == "on_success" and target.outcome != "success":
        return None
    after_s = plan.clean_after_s
    if not is_whole and plan.clean_after_problem_s is not None:
        after_s = plan.clean_after_problem_s
    since = event.received + timedelta(seconds=after_s)
    return Outstanding(event.id, "CleanUp", job.attempt, since)


def _again(job: Job, event: Event) -> Outstanding | None:
    """Return the awaited command anew, so that it is published with this event."""
    awaited = job.outstanding
    if awaited is None:
        return None
    since = max(awaited.since, event.received)
    return Outstanding(event.id, awaited.kind, awaited.attempt, since)


def _command(event: Event, kind: CommandKind, attempt: int) -> Outstanding:
    return Outstanding(event.id, kind, attempt, event.received)

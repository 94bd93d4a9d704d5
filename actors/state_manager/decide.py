"""
What becomes of an event (pure): refused, kept, or applied, and what it changes.

Everything that decides is in the arguments; there is no clock here. A token's overlap is judged by
the gateway's time stamp inside the event.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, structs

from jobwire.actors.state_manager.consequences import (
    REAPER_MAY_FAIL,
    STARTING,
    at_creation,
    consequences,
    may_retry,
)
from jobwire.schemas.deliveries import Interest
from jobwire.schemas.events import Event
from jobwire.schemas.jobs import NO_CHANGE, Change, Ending, Entry, Job
from jobwire.schemas.lifecycle import (
    CREATE,
    DELETE,
    ROTATE,
    Facts,
    JobOutcome,
    Lifecycle,
    State,
    next_state,
)
from jobwire.schemas.outcomes import Reason
from jobwire.schemas.reports import (
    AttemptEnd,
    Cancelled,
    Exited,
    Failed,
    Finished,
    Placement,
    Queued,
    Running,
)
from jobwire.schemas.specs import Cause
from jobwire.schemas.tokens import VerifiedSender

Shape = TypeVar("Shape")


class Refuse(Struct, frozen=True):
    """The event belongs to no history."""

    reason: Reason


class Keep(Struct, frozen=True):
    """The event becomes an entry; applied when there is no reason against it."""

    state: str
    reason: Reason | None = None
    change: Change = NO_CHANGE


class DeleteRequest(Struct, frozen=True):
    """The data of a `delete` event."""

    force: bool = False


class RotateRequest(Struct, frozen=True):
    """The data of a `rotate_token` event: how long the previous generation stays good."""

    overlap_s: Annotated[float, Meta(ge=0, le=30 * 86_400)] = 0.0


_NO_REPORT = AttemptEnd()
#: Events of a worker that say how an attempt ended.
_ENDING = frozenset(each.event for each in (Exited, Finished, Failed, Cancelled))
#: Those that say where the site has it.
_PLACING = frozenset(each.event for each in (Queued, Running))


def decide(
    job: Job | None,
    event: Event,
    sender: VerifiedSender,
    lifecycle: Lifecycle | None,
    most_events: int,
) -> Refuse | Keep:
    """
    Decide about one event of a job as it stands before it.

    Args:
        job: the job, a tombstone, or None when there are no entries at all.
        event: the event; its authority has been verified as `sender`.
        sender: who sends it.
        lifecycle: the job's table; of a `create` the one that it names.
        most_events: entries from which on only events that change the state are kept.

    """
    if job is None or job.deleted:
        return _decide_creation(job, event, sender, lifecycle)
    if (refused := _refusal(job, event, sender)) is not None:
        return Refuse(refused)
    if lifecycle is None:
        return Refuse(Reason.UNKNOWN_LIFECYCLE)
    verdict = _decide_event(job, event, sender, lifecycle)
    changes_nothing = verdict.state == job.state and verdict.change == NO_CHANGE
    if job.seq >= most_events and changes_nothing:
        return Refuse(Reason.EVENT_LIMIT)
    return verdict


def entry_of(job: Job | None, event: Event, keep: Keep, lifecycle: Lifecycle) -> Entry:
    """Write down what was decided; the entry says everything that its job must know."""
    creation = keep.change.creation
    owner = creation.owner if isinstance(creation, Struct) else job.owner if job else ""
    interests = creation.interests if isinstance(creation, Struct) else job.interests if job else ()
    outcome = lifecycle.states[keep.state].outcome
    is_elsewhere = job is None or job.deleted or keep.state != job.state
    moved = keep.reason is None and is_elsewhere
    return Entry(
        job=event.job,
        owner=owner,
        seq=job.seq + 1 if job else 1,
        id=event.id,
        name=event.name,
        state=keep.state,
        outcome=outcome,
        applied=keep.reason is None,
        reason=keep.reason,
        data=event.data,
        source=event.source,
        received=event.received,
        occurred=event.occurred,
        digest=event.digest,
        change=keep.change,
        due=_due(event, keep, interests, outcome, moved=moved) if interests else (),
        moved_in=lifecycle.name if moved else "",
    )


def _due(
    event: Event,
    keep: Keep,
    interests: tuple[Interest, ...],
    outcome: JobOutcome | None,
    *,
    moved: bool,
) -> tuple[str, ...]:
    """Return the subscriptions that an entry is delivered to."""
    if keep.reason is not None:
        return ()
    entered = keep.state if moved else None
    return tuple(
        each.subscription
        for each in interests
        if each.wants(event.name, entered=entered, outcome=outcome)
    )


def _decide_creation(
    tombstone: Job | None, event: Event, sender: VerifiedSender, lifecycle: Lifecycle | None
) -> Refuse | Keep:
    creation = event.creation
    if event.name != CREATE or creation is None:
        return Refuse(Reason.UNKNOWN_JOB if tombstone is None else Reason.DELETED)
    if sender.role != "caller" or sender.principal != creation.owner:
        return Refuse(Reason.UNKNOWN_JOB)
    if tombstone is not None and tombstone.owner != creation.owner:
        return Refuse(Reason.UNKNOWN_JOB)
    if lifecycle is None:
        return Refuse(Reason.UNKNOWN_LIFECYCLE)
    attempt = tombstone.attempt + 1 if tombstone else 1
    generation = tombstone.generation + 1 if tombstone else 1
    begun = at_creation(event, creation.plan, attempt)
    return Keep(
        lifecycle.initial, change=structs.replace(begun, creation=creation, generation=generation)
    )


def _refusal(job: Job, event: Event, sender: VerifiedSender) -> Reason | None:
    if sender.role == "caller":
        return None if sender.principal == job.owner else Reason.UNKNOWN_JOB
    if sender.role != "token" or sender.generation == job.generation:
        return None
    until = job.previous_token_until
    in_overlap = (
        sender.generation == job.generation - 1 and until is not None and event.received <= until
    )
    return None if in_overlap else Reason.TOKEN_REVOKED


def _decide_event(  # noqa: PLR0911 - one line for each rule
    job: Job, event: Event, sender: VerifiedSender, lifecycle: Lifecycle
) -> Keep:
    state = job.state
    if event.name == CREATE:
        return Keep(state, Reason.EXISTS)
    if sender.attempt is not None and sender.attempt != job.attempt:
        return Keep(state, Reason.STALE_ATTEMPT)
    if event.expects is not None and event.expects != job.seq:
        return Keep(state, Reason.OVERTAKEN)
    if event.name in (DELETE, ROTATE):
        return _decide_reserved(job, event, sender, lifecycle)
    kind = lifecycle.events.get(event.name)
    if kind is None:
        return Keep(state, Reason.UNKNOWN_EVENT)
    if sender.role not in kind.senders:
        return Keep(state, Reason.WRONG_SENDER)
    return _decide_transition(job, event, sender, lifecycle)


def _decide_reserved(job: Job, event: Event, sender: VerifiedSender, lifecycle: Lifecycle) -> Keep:
    """Decide about what changes the record and not the state: a delete, a new token generation."""
    if sender.role != "caller":
        return Keep(job.state, Reason.WRONG_SENDER)
    if event.name == ROTATE:
        return _decide_rotation(job, event)
    wanted = _read(event, DeleteRequest)
    if wanted is None:
        return Keep(job.state, Reason.INVALID_DATA)
    state = lifecycle.states[job.state]
    # A job with a plan may have a live process: it must end before its record goes.
    if state.category != "ended" and not (wanted.force and job.plan is None):
        return Keep(job.state, Reason.STILL_RUNNING)
    return Keep(job.state, change=Change(deleted=True, outstanding=None))


def _decide_rotation(job: Job, event: Event) -> Keep:
    wanted = _read(event, RotateRequest)
    if wanted is None:
        return Keep(job.state, Reason.INVALID_DATA)
    until = event.received + timedelta(seconds=wanted.overlap_s) if wanted.overlap_s else None
    return Keep(job.state, change=Change(generation=job.generation + 1, previous_token_until=until))


def _decide_transition(
    job: Job, event: Event, sender: VerifiedSender, lifecycle: Lifecycle
) -> Keep:
    ends = job.plan is not None and event.name in _ENDING
    report = (_read(event, AttemptEnd) if ends else None) or _NO_REPORT
    facts = Facts(may_retry=may_retry(job, report.cause), cancel_applied=job.cancel_applied)
    target = next_state(lifecycle, job.state, event.name, facts)
    reaper_may_not = (
        sender.role == "reaper"
        and event.name == "fail"
        and job.plan is not None
        and job.state not in REAPER_MAY_FAIL
    )
    if target is None or reaper_may_not:
        return Keep(job.state, Reason.WRONG_STATE)
    if job.held and event.name in STARTING:
        return Keep(job.state, Reason.HELD)
    reached = lifecycle.states[target]
    by_worker = sender.role == "worker"
    is_whole = report.stage_out_problem is None
    change = consequences(job, event, reached, target, by_worker=by_worker, is_whole=is_whole)
    if target != job.state and (cause := _cause(job, event, report, reached)) != job.cause:
        change = structs.replace(change, cause=cause)
    if ends and by_worker:
        ending = Ending(report.exit_code, report.signal, report.detail, report.stage_out_problem)
        change = structs.replace(change, ending=ending)
    native = _native(job, event, change, by_worker=by_worker)
    if native != job.native:
        change = structs.replace(change, native=native)
    return Keep(target, change=change)


def _cause(job: Job, event: Event, report: AttemptEnd, reached: State) -> str | None:
    """Return why a job is where it is now, where that is a failure or on the way to one."""
    if report is not _NO_REPORT:
        return report.cause
    if reached.outcome in ("failure", "lost"):
        return (_read(event, AttemptEnd) or _NO_REPORT).cause
    if reached.outcome == "cancelled" and job.plan is not None:
        return Cause.CANCELLED
    return None


def _native(job: Job, event: Event, change: Change, *, by_worker: bool) -> str | None:
    """Return the batch system's id of the newest attempt as it is after an event."""
    if change.attempt is not UNSET:
        return None
    if by_worker and event.name in _PLACING and (placed := _read(event, Placement)) is not None:
        return placed.native or job.native
    return job.native


def _read(event: Event, shape: type[Shape]) -> Shape | None:
    """Read an event's data as a record; None: it is something else."""
    try:
        return msgspec.json.decode(event.data or b"{}", type=shape)
    except msgspec.DecodeError:
        return None

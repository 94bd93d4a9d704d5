"""What a client may ask of jobs that are there: cancel, hold, release, retry; one, or many."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Raw, Struct
from msgspec.structs import replace

from jobwire.actors.lifecycle_registry import LifecycleRegistry
from jobwire.actors.operations.deliveries import Deliveries
from jobwire.actors.operations.events import Events, Posted
from jobwire.actors.operations.job_creation import JobCreator, JobRequest
from jobwire.actors.operations.jobs import Jobs, NewJob
from jobwire.actors.stores.base import JobCursor, JobFilter, Store
from jobwire.schemas.errors import Conflict, Invalid, JobwireError, NotFound, Unavailable
from jobwire.schemas.events import Event
from jobwire.schemas.identifiers import JobId, Name, Tag, parse_job_id
from jobwire.schemas.jobs import Job
from jobwire.schemas.lifecycle import JobOutcome, Lifecycle
from jobwire.schemas.outcomes import Outcome
from jobwire.schemas.principals import Principal
from jobwire.schemas.views import NotDoneView, SelectedView

Control = Literal["cancel", "hold", "release"]

#: How long one request waits for the outcomes of what it asked.
_COMMIT_S = 5.0
_MANY_COMMIT_S = 30.0
#: Jobs of one page of a selection.
_PAGE = 500
#: Refused jobs of a selection that are told one by one.
_MOST_SHOWN = 100


class Selection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which jobs a request is about: `ids`, or whatever the other fields match, or `all`."""

    ids: Annotated[tuple[str, ...], Meta(max_length=10_000)] | None = None
    state: Name | None = None
    tag: Tag | None = None
    lifecycle: Name | None = None
    parent: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    q: Name | None = None
    all: bool = False

    def filter(self) -> JobFilter:
        """
        Return the filter.

        Raises:
            Invalid: nothing is selected; all jobs are selected by `all` only.

        """
        which = JobFilter(
            state=self.state,
            tag=self.tag,
            lifecycle=self.lifecycle,
            parent=parse_job_id(self.parent, "/parent") if self.parent else None,
            since=self.since,
            until=self.until,
            words=(self.q,) if self.q else (),
        )
        if which == JobFilter() and not self.all:
            detail = 'select the jobs by ids, by a filter, or all of yours by "all": true'
            raise Invalid(detail, code="nothing_selected")
        return replace(which, is_live=True)


class Controlled(NamedTuple):
    """A job as a control has left it, and whether that is an outcome."""

    id: JobId
    state: str | None
    outcome: JobOutcome | None


class Controls:
    """Requests changes of running jobs; their lifecycle decides what they do."""

    def __init__(
        self,
        *,
        store: Store,
        events: Events,
        jobs: Jobs,
        creator: JobCreator,
        deliveries: Deliveries,
        registry: LifecycleRegistry,
        most: int,
    ) -> None:
        """Change by events only; at most `most` jobs by one selection."""
        self._store = store
        self._events = events
        self._jobs = jobs
        self._creator = creator
        self._deliveries = deliveries
        self._registry = registry
        self._most = most

    async def one(self, principal: Principal, job_id: JobId, control: Control) -> Controlled:
        """
        Cancel, hold or release a job; return when that is decided.

        Repeated, it is done once and answered alike. A cancel of a job that runs is decided
        before it is carried out: the job is CANCELLING until nothing of it is alive.

        Raises:
            NotFound: unknown, deleted, or someone else's.
            Conflict: the job has ended, has started, or runs elsewhere.

        """
        job = await self._jobs.get(principal, job_id)
        lifecycle = await self._check(job, control)
        event = self._events.build(job=job_id, name=control, principal=principal, source="api")
        outcome = await self._events.post(event, _COMMIT_S)
        if outcome is None:
            raise Unavailable(
                f"the {control} is accepted, but has no outcome yet; read the job", retry_after_s=1
            )
        if (refused := _refused(outcome, control, lifecycle)) is not None:
            raise refused
        reached = lifecycle.states[outcome.state] if outcome.state else None
        return Controlled(job_id, outcome.state, reached.outcome if reached else None)

    async def many(
        self, principal: Principal, selection: Selection, control: Control
    ) -> SelectedView:
        """Cancel, hold or release every selected job that has not ended."""
        matched, done, cut = 0, 0, False
        examples: list[NotDoneView] = []
        async for page in self._select(principal, selection):
            if matched >= self._most:
                cut = True
                break
            matched += len(page)
            refused = await self._control(principal, page, control)
            done += len(page) - len(refused)
            examples += refused[: _MOST_SHOWN - len(examples)]
        return SelectedView(matched, done, matched - done, tuple(examples), cut)

    async def _control(
        self, principal: Principal, jobs: Sequence[Job], control: Control
    ) -> list[NotDoneView]:
        """Request the control of some jobs; return those that refused it, and why."""
        refused: list[NotDoneView] = []
        able: list[tuple[Job, Lifecycle]] = []
        for job in jobs:
            try:
                able.append((job, await self._check(job, control)))
            except Conflict as unable:
                refused.append(NotDoneView(job.id, unable.code, unable.detail))
        answers = await self._post(principal, [job for job, _ in able], control)
        for (job, lifecycle), posted in zip(able, answers, strict=True):
            error = posted.error or _refused(posted.outcome, control, lifecycle)
            if error is not None:
                refused.append(NotDoneView(job.id, error.code, error.detail))
        return refused

    async def retry(
        self, principal: Principal, job_id: JobId, idempotency_key: str | None
    ) -> NewJob:
        """
        Make a new job that is asked the same as one that has ended.

        Raises:
            NotFound: unknown, deleted, or someone else's.
            Conflict: it has not ended, or it runs elsewhere.
            Invalid: what it needs is not there any more, such as a root or a secret.

        """
        job = await self._jobs.get(principal, job_id)
        if job.plan is None:
            raise _runs_elsewhere(job)
        if job.outcome is None:
            detail = f"the job is {job.state}; it can be retried when it has ended"
            raise Conflict(detail, code="not_ended")
        origin = await self._jobs.origin(principal, job)
        request = JobRequest(
            name=job.name,
            tags=job.tags,
            data=Raw(origin.data or b""),
            parent=await self._parent(principal, job),
            callbacks=await self._deliveries.callbacks(job),
            spec=origin.spec,
            priority=job.plan.priority,
            start_within_s=job.plan.start_within_s,
        )
        creation = await self._creator.of(principal, request, retry_of=job.id, dialect=job.dialect)
        authorization = await self._deliveries.authorization(job)
        return await self._jobs.make(
            principal, creation, request, idempotency_key, authorization=authorization
        )

    async def _parent(self, principal: Principal, job: Job) -> JobId | None:
        """Return the parent again, unless it has been deleted since."""
        found = await self._store.get(principal.name, job.parent) if job.parent else None
        return found.id if found else None

    async def _check(self, job: Job, control: Control) -> Lifecycle:
        lifecycle = await self._registry.get(job.owner, job.lifecycle, job.lifecycle_version)
        if lifecycle is None or control not in lifecycle.events:
            raise _runs_elsewhere(job)
        if lifecycle.states[job.state].category == "ended":
            raise _has_ended(job.state)
        return lifecycle

    async def _post(
        self, principal: Principal, jobs: Sequence[Job], control: Control
    ) -> list[Posted]:
        events: list[Event] = [
            self._events.build(job=job.id, name=control, principal=principal, source="api")
            for job in jobs
        ]
        return await self._events.post_many(events, _MANY_COMMIT_S)

    async def _select(self, principal: Principal, selection: Selection) -> AsyncIterator[list[Job]]:
        if selection.ids is not None:
            wanted = [parse_job_id(each, "/ids") for each in dict.fromkeys(selection.ids)]
            found = [await self._store.get(principal.name, each) for each in wanted]
            if None in found:
                missing = wanted[found.index(None)]
                detail = f"there is no job with the id {missing}"
                raise NotFound(detail, code="unknown_job", pointer="/ids")
            yield [job for job in found if job is not None]
            return
        which, after = selection.filter(), None
        while True:
            page = await self._store.find(principal.name, which, after, _PAGE)
            if page:
                yield page
            if len(page) < _PAGE:
                return
            after = JobCursor(page[-1].created, page[-1].id)


def _refused(
    outcome: Outcome | None, control: Control, lifecycle: Lifecycle
) -> JobwireError | None:
    if outcome is None:
        return Unavailable(
            f"the {control} is accepted, but has no outcome yet; read the job", retry_after_s=1
        )
    if outcome.verdict == "applied":
        return None
    if outcome.verdict == "refused" or outcome.state is None:
        return NotFound("there is no job with this id", code="unknown_job")
    if lifecycle.states[outcome.state].category == "ended":
        return _has_ended(outcome.state)
    if control == "cancel":
        detail = f"the job is {outcome.state}: it has run and can no longer be cancelled"
        return Conflict(detail, code="too_late")
    detail = f"the job is {outcome.state}: only a job that has not started can be held"
    return Conflict(detail, code="wrong_state")


def _has_ended(state: str) -> Conflict:
    return Conflict(f"the job has ended: it is {state}", code="already_ended")


def _runs_elsewhere(job: Job) -> Conflict:
    detail = (
        f"the job has the lifecycle {job.lifecycle!r}: it runs elsewhere, so only its platform "
        "can do that; report its end with an event"
    )
    return Conflict(detail, code="runs_elsewhere")

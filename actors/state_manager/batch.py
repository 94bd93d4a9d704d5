"""
One batch of events through the store: load, decide, commit, and only then say so.

The order of the steps is the protocol of the architecture page, checked there against crashes
between any two of them. In short: jobs are read before ids are asked for; an event is refused only
after its id was looked for in the history; refusals are written before entries; a conflict means
that the view was stale, so everything not yet written is decided again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog
from msgspec import Struct, field

from jobwire.actors.operations.lifecycle_registry import LifecycleRegistry
from jobwire.actors.state_manager.authorization import refuse_outsiders
from jobwire.actors.state_manager.decide import Keep, Refuse, decide, entry_of
from jobwire.actors.state_manager.event_result import EventResult, outcome_of, refusal_of
from jobwire.actors.stores.base import Commit, EventKey, KnownEvent, Loaded, Positioned, Store
from jobwire.schemas.errors import Unavailable
from jobwire.schemas.events import Event
from jobwire.schemas.identifiers import JobId
from jobwire.schemas.jobs import Entry, Job, Refusal, advance
from jobwire.schemas.lifecycle import CREATE, Lifecycle
from jobwire.schemas.outcomes import Outcome, Reason
from jobwire.schemas.tokens import Keyring, VerifiedSender, identify

_log = structlog.get_logger()

#: A batch that is planned so often in vain meets a writer that should not be there.
_MOST_PLANS = 60


class CommittedBatch(Struct, frozen=True):
    """What a committed batch leaves to be told."""

    entries: Sequence[Positioned]
    outcomes: Sequence[tuple[Event, Outcome]]
    """For each event that somebody waits for, or that was not a plain first copy."""
    awaiting: Sequence[Job]
    """
    Jobs whose outstanding command was caused, now or in an earlier delivery, by an event of
    this batch, and is not for later.
    """
    conflicts: int


class _Work(Struct):
    """What is known while a batch is being settled."""

    senders: dict[EventKey, VerifiedSender]
    outside: list[Refusal]
    ask: bool
    stale: set[JobId] = field(default_factory=set)
    known: dict[EventKey, KnownEvent] = field(default_factory=dict)
    refused: dict[EventKey, Refusal] = field(default_factory=dict)
    mine: dict[EventKey, Entry] = field(default_factory=dict)
    positions: list[Positioned] = field(default_factory=list)
    standing: dict[JobId, Job] = field(default_factory=dict)
    behind: set[JobId] = field(default_factory=set)
    """Jobs whose stored projection is older than what `standing` says."""
    final: dict[JobId, Job] = field(default_factory=dict)
    created: set[JobId] = field(default_factory=set)
    moved: set[JobId] = field(default_factory=set)


class _BatchPlan(Struct):
    """What one round wants to write."""

    entries: list[Entry]
    refusals: list[Refusal]
    jobs: dict[JobId, Job]
    created: set[JobId]
    moved: set[JobId]
    is_cut: bool = False
    """More is left: a job is created again, and its tombstone must be written before that."""


class Settler:
    """Settles batches of events; keeps nothing between two of them."""

    def __init__(
        self, store: Store, keyring: Keyring, registry: LifecycleRegistry, most_events: int
    ) -> None:
        """Use a store, verify with the keyring, and keep at most `most_events` entries of a job."""
        self._store = store
        self._keyring = keyring
        self._registry = registry
        self._most_events = most_events

    async def settle(self, events: Sequence[Event], *, redelivered: bool) -> CommittedBatch:
        """
        Commit a batch; afterwards every event is in the history or in `refused`.

        Args:
            events: in the order of their queues; events of one job in the order they are to have.
            redelivered: some of them may have been committed by an earlier run.

        Raises:
            Unavailable: the store cannot, or another writer always comes first; the batch is to be
                delivered again.

        """
        identified = [identify(self._keyring, event) for event in events]
        outside = await refuse_outsiders(self._store, events, identified)
        firsts: dict[EventKey, Event] = {}
        senders: dict[EventKey, VerifiedSender] = {}
        for index, (event, sender) in enumerate(zip(events, identified, strict=True)):
            key = EventKey(event.job, event.id)
            if sender is not None and index not in outside and key not in firsts:
                firsts[key], senders[key] = event, sender
        work = _Work(senders, list(outside.values()), ask=redelivered)
        in_vain = 0
        while in_vain < _MOST_PLANS:
            plan = await self._plan(firsts, work)
            if plan is None or not await self._commit(plan, work):
                in_vain += 1
            elif not plan.is_cut:
                return self._settled(events, firsts, outside, work)
        detail = "a batch could not be committed: another writer keeps changing its jobs"
        raise Unavailable(detail, retry_after_s=1)

    async def set_aside(self, event: Event) -> None:
        """Put an event whose handling fails into `refused`, so that it delays nobody."""
        sender = identify(self._keyring, event)
        key = EventKey(event.job, event.id)
        view = await self._store.load([event.job], [key], fold=(), known=True)
        if key in view.known:
            return
        refusal = refusal_of(view.jobs.get(event.job), event, Reason.POISON, sender)
        await self._store.commit(
            Commit(refusals=[refusal], entries=[], jobs=[], created=(), moved=())
        )

    async def _plan(self, firsts: Mapping[EventKey, Event], work: _Work) -> _BatchPlan | None:
        """Load and decide; None: load again, this time asking for the ids."""
        done = work.known.keys() | work.mine.keys() | work.refused.keys()
        todo = [key for key in firsts if key not in done]
        # Jobs of entries that are there already, of this batch or of an earlier one, are rolled
        # forward too, also when nothing of theirs is left to decide.
        behind = work.stale | {key.job for key in work.known}
        jobs = {key.job for key in todo} | behind
        view = await self._store.load(jobs, todo, fold=behind, known=work.ask)
        if view.known.keys() - work.known.keys():
            # Known events: their jobs are rolled forward, so load those again with the fold.
            work.known.update(view.known)
            return None
        settled = {job: standing for job, standing in work.standing.items() if job not in jobs}
        work.standing = settled | self._rolled_forward(jobs, view, work)
        work.refused.update(_own_refusals(view, work))
        work.behind = {job for job in jobs if view.tails.get(job)}
        return await self._decide_all(
            [key for key in todo if key not in work.refused], firsts, work
        )

    def _rolled_forward(self, jobs: set[JobId], view: Loaded, work: _Work) -> dict[JobId, Job]:
        """Return each job as its entries leave it; write one that was behind with the batch."""
        standing = dict(view.jobs)
        for job in jobs:
            for entry in view.tails.get(job, ()):
                before = standing.get(job)
                standing[job] = work.final[job] = advance(before, entry)
                work.moved.add(job)
                if before is None:
                    work.created.add(job)
        return standing

    async def _decide_all(
        self, todo: Sequence[EventKey], firsts: Mapping[EventKey, Event], work: _Work
    ) -> _BatchPlan | None:
        plan, standing = _BatchPlan([], [], {}, set(), set()), work.standing
        unwritten = set(work.behind)
        for key in todo:
            event, job = firsts[key], standing.get(key.job)
            if event.name == CREATE and job is not None and job.deleted and key.job in unwritten:
                plan.is_cut = True
                break
            lifecycle = await self._registry.of(job, event)
            verdict = self._verdict(job, event, work.senders[key], lifecycle)
            if isinstance(verdict, Refuse):
                plan.refusals.append(refusal_of(job, event, verdict.reason, work.senders[key]))
            elif lifecycle is not None:  # pragma: no branch - what is kept has a table
                standing[key.job] = plan.jobs[key.job] = self._enter(
                    plan, job, event, verdict, lifecycle
                )
                unwritten.add(key.job)
        if plan.refusals and not work.ask:
            work.ask = True
            return None
        return plan

    def _verdict(
        self, job: Job | None, event: Event, sender: VerifiedSender, lifecycle: Lifecycle | None
    ) -> Refuse | Keep:
        return decide(job, event, sender, lifecycle, self._most_events)

    def _enter(
        self, plan: _BatchPlan, job: Job | None, event: Event, keep: Keep, lifecycle: Lifecycle
    ) -> Job:
        entry = entry_of(job, event, keep, lifecycle)
        after = advance(job, entry)
        plan.entries.append(entry)
        if job is None:
            plan.created.add(event.job)
        if (
            job is None
            or entry.state != job.state
            or after.deleted != job.deleted
            or after.outstanding != job.outstanding
            or after.held != job.held
        ):
            plan.moved.add(event.job)
        return after

    async def _commit(self, plan: _BatchPlan, work: _Work) -> bool:
        """Write the plan; False: it met a conflict, so the rest is planned again."""
        jobs = {**work.final, **plan.jobs}
        refusals = [*work.outside, *plan.refusals]
        if refusals or plan.entries or jobs:
            committed = await self._store.commit(
                Commit(
                    refusals=refusals,
                    entries=plan.entries,
                    jobs=list(jobs.values()),
                    created=work.created | plan.created,
                    moved=work.moved | plan.moved,
                )
            )
            self._remember(committed.stored, work)
            if committed.conflict is not None:
                work.ask = True
                work.stale |= {entry.job for entry in plan.entries}
                return False
        work.refused.update({EventKey(r.job, r.event): r for r in plan.refusals})
        work.final, work.outside = jobs, []
        return True

    def _remember(self, stored: Sequence[Positioned], work: _Work) -> None:
        for positioned in stored:
            entry = positioned.entry
            work.mine[EventKey(entry.job, entry.id)] = entry
        work.positions += stored

    def _settled(
        self,
        events: Sequence[Event],
        firsts: Mapping[EventKey, Event],
        outside: Mapping[int, Refusal],
        work: _Work,
    ) -> CommittedBatch:
        outcomes: list[tuple[Event, Outcome]] = []
        conflicts = 0
        for index, event in enumerate(events):
            key = EventKey(event.job, event.id)
            if index in outside:
                fate = EventResult(None, None, outside[index])
                outcomes.append((event, outcome_of(event, fate, None, is_first=True)))
                continue
            if event.reply is None and key in work.mine and event is firsts[key]:
                continue  # stored, and nobody asked
            fate = EventResult(work.mine.get(key), work.known.get(key), work.refused.get(key))
            job = work.standing.get(event.job)
            outcome = outcome_of(event, fate, job, is_first=event is firsts[key])
            if outcome.verdict == "conflict":
                conflicts += 1
                _log.warning("event_id_conflict", job_id=event.job, event_id=event.id)
            outcomes.append((event, outcome))
        awaiting = [
            job
            for job in work.standing.values()
            if job.outstanding
            and job.outstanding.since <= job.updated
            and _caused_here(EventKey(job.id, job.outstanding.entry), work)
        ]
        return CommittedBatch(work.positions, outcomes, awaiting, conflicts)


def _own_refusals(view: Loaded, work: _Work) -> dict[EventKey, Refusal]:
    """Of all refusals under an id, find the one that is this sender's: an id stays refused."""
    own = {}
    for key, refusals in view.refused.items():
        job, sender = work.standing.get(key.job), work.senders[key]
        owners = {job.owner if job else "", "", sender.principal}
        mine = [refusal for refusal in refusals if refusal.owner in owners]
        if mine:
            own[key] = mine[0]
    return own


def _caused_here(cause: EventKey, work: _Work) -> bool:
    return cause in work.mine or cause in work.known

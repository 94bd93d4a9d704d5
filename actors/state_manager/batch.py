"""
One batch of events through the store: load, decide, commit, and only then say so.

The order of the steps is the protocol of the architecture page, checked there against crashes
between any two of them. In short: jobs are read before ids are asked for; an event is refused only
after its id was looked for in the history; refusals are written before entries; a conflict means
that the view was stale, so everything not yet written is decided again.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobwire.actors.lifecycle_registry import LifecycleRegistry
from jobwire.actors.roles.live_levels import LiveLevels
from jobwire.actors.state_manager.batch_plan import BatchPlan
from jobwire.actors.state_manager.batch_view import BatchView, Projections
from jobwire.actors.state_manager.committed_batch import (
    CommittedBatch,
    WrittenEntries,
    committed_batch,
)
from jobwire.actors.state_manager.decide import Keep, Refuse, decide
from jobwire.actors.state_manager.event_result import refusal_of
from jobwire.actors.state_manager.identified_batch import IdentifiedBatch, identify_batch
from jobwire.actors.stores.base import Commit, EventKey, Store
from jobwire.schemas.errors import Unavailable, Upgrading
from jobwire.schemas.events import Event
from jobwire.schemas.jobs import Job
from jobwire.schemas.lifecycle import CREATE, Lifecycle
from jobwire.schemas.outcomes import Reason
from jobwire.schemas.tokens import Keyring, VerifiedSender, identify

#: A batch that is planned so often in vain meets a writer that should not be there.
_MOST_PLANS = 60


class Settler:
    """Settles batches of events; keeps nothing between two of them."""

    def __init__(
        self,
        store: Store,
        keyring: Keyring,
        registry: LifecycleRegistry,
        most_events: int,
        levels: LiveLevels | None = None,
    ) -> None:
        """
        Use a store, verify with the keyring, and keep at most `most_events` entries of a job.

        What this release has no lifecycle for is left to a newer one, if `levels` tell of one.
        """
        self._levels = levels
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
            Upgrading: a newer release must do it.
            Unavailable: the store cannot, or another writer always comes first; the batch is to be
                delivered again.

        """
        batch = await identify_batch(self._store, self._keyring, events)
        view, written = BatchView(asks_history=redelivered), WrittenEntries()
        in_vain = 0
        while in_vain < _MOST_PLANS:
            undecided = await self._load(batch, view, written)
            plan = None if undecided is None else await self._plan(undecided, batch, view)
            if plan is None or not await self._commit(plan, batch, view, written):
                in_vain += 1
            elif not plan.is_cut:
                return committed_batch(batch, view, written)
        detail = "a batch could not be committed: another writer keeps changing its jobs"
        raise Unavailable(detail, retry_after_s=1)

    async def set_aside(self, event: Event) -> None:
        """
        Put an event whose handling fails into `refused`, so that it delays nobody.

        Raises:
            Upgrading: a newer release may handle it.

        """
        await self.leave_to_newer(f"event {event.id!r} of job {event.job}")
        sender = identify(self._keyring, event)
        key = EventKey(event.job, event.id)
        view = await self._store.load([event.job], [key], fold=(), known=True)
        if key in view.known:
            return
        refusal = refusal_of(view.jobs.get(event.job), event, Reason.POISON, sender)
        await self._store.commit(
            Commit(refusals=[refusal], entries=[], jobs=[], created=(), moved=())
        )

    async def leave_to_newer(self, what: str) -> None:
        """
        Keep this release from refusing what a newer one, if it is alive, may understand.

        Raises:
            Upgrading: one is alive.

        """
        if self._levels is not None and await self._levels.has_newer():
            raise Upgrading(f"{what} is left to a newer release, which is alive", retry_after_s=1)

    async def _load(
        self, batch: IdentifiedBatch, view: BatchView, written: WrittenEntries
    ) -> list[EventKey] | None:
        """
        Read the jobs and what is known of the events that are not settled yet.

        Returns:
            The events to decide about; None: some are in the history, so load again.

        """
        settled = view.known.keys() | written.entries.keys() | view.refused.keys()
        undecided = [key for key in batch.firsts if key not in settled]
        # Jobs of entries that are there already, of this batch or of an earlier one, are rolled
        # forward too, also when nothing of theirs is left to decide.
        fold = view.conflicted | {key.job for key in view.known}
        jobs = {key.job for key in undecided} | fold
        found = await self._store.load(jobs, undecided, fold=fold, known=view.asks_history)
        if found.known.keys() - view.known.keys():
            # Known events: their jobs are rolled forward, so load those again with the fold.
            view.known.update(found.known)
            return None
        view.take_in(jobs, found, batch.senders)
        return [key for key in undecided if key not in view.refused]

    async def _plan(
        self, undecided: Sequence[EventKey], batch: IdentifiedBatch, view: BatchView
    ) -> BatchPlan | None:
        """Decide about events; None: one is to be refused, so ask for the ids first."""
        plan, unwritten = BatchPlan(), set(view.behind)
        for key in undecided:
            event, sender, job = batch.firsts[key], batch.senders[key], view.jobs.get(key.job)
            if event.name == CREATE and job is not None and job.deleted and key.job in unwritten:
                plan.is_cut = True
                break
            lifecycle = await self._registry.of(job, event)
            verdict = self._verdict(job, event, sender, lifecycle)
            if isinstance(verdict, Refuse):
                if verdict.reason == Reason.UNKNOWN_LIFECYCLE:
                    await self.leave_to_newer(f"the lifecycle of job {event.job}")
                plan.refusals.append(refusal_of(job, event, verdict.reason, sender))
            elif lifecycle is not None:  # pragma: no branch - what is kept has a table
                view.jobs[key.job] = plan.keep(job, event, verdict, lifecycle)
                unwritten.add(key.job)
        if plan.refusals and not view.asks_history:
            view.asks_history = True
            return None
        return plan

    def _verdict(
        self, job: Job | None, event: Event, sender: VerifiedSender, lifecycle: Lifecycle | None
    ) -> Refuse | Keep:
        return decide(job, event, sender, lifecycle, self._most_events)

    async def _commit(
        self, plan: BatchPlan, batch: IdentifiedBatch, view: BatchView, written: WrittenEntries
    ) -> bool:
        """Write the plan; False: it met a conflict, so the rest is planned again."""
        refusals = [*batch.outsiders.values(), *plan.refusals]
        repairs, planned = view.repairs, plan.projections
        jobs = {**repairs.jobs, **planned.jobs}
        if refusals or plan.entries or jobs:
            committed = await self._store.commit(
                Commit(
                    refusals=refusals,
                    entries=plan.entries,
                    jobs=list(jobs.values()),
                    created=repairs.created | planned.created,
                    moved=repairs.moved | planned.moved,
                )
            )
            written.add(committed.stored)
            if committed.conflict is not None:
                view.asks_history = True
                view.conflicted |= {entry.job for entry in plan.entries}
                return False
        view.refused.update({EventKey(r.job, r.event): r for r in plan.refusals})
        view.repairs = Projections()
        return True

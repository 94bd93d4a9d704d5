"""What is decided about a batch and not written yet."""

from __future__ import annotations

from msgspec import Struct, field

from jobwire.actors.state_manager.batch_view import Projections
from jobwire.actors.state_manager.decide import Keep, entry_of
from jobwire.schemas.events import Event
from jobwire.schemas.jobs import Entry, Job, Refusal, advance
from jobwire.schemas.lifecycle import Lifecycle


class BatchPlan(Struct):
    """The entries, refusals and projections of one commit."""

    entries: list[Entry] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    projections: Projections = field(default_factory=Projections)
    is_cut: bool = False
    """More is left: a job is created again, and its tombstone must be written before that."""

    def keep(self, job: Job | None, event: Event, keep: Keep, lifecycle: Lifecycle) -> Job:
        """Plan the entry of an event; return its job as that leaves it."""
        entry = entry_of(job, event, keep, lifecycle)
        after = advance(job, entry)
        self.entries.append(entry)
        self.projections.jobs[event.job] = after
        if job is None:
            self.projections.created.add(event.job)
        if job is None or _has_moved(job, after):
            self.projections.moved.add(event.job)
        return after


def _has_moved(before: Job, after: Job) -> bool:
    """Return whether a job is to be found under something else than before."""
    return (
        after.state != before.state
        or after.deleted != before.deleted
        or after.outstanding != before.outstanding
        or after.held != before.held
    )

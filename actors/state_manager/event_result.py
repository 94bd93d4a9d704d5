"""The result of an event (pure): the outcome to publish, or the refusal to store."""

from __future__ import annotations

from msgspec import Struct

from jobwire.actors.stores.base import KnownEvent
from jobwire.schemas.events import Event
from jobwire.schemas.jobs import Entry, Job, Refusal
from jobwire.schemas.lifecycle import CREATE
from jobwire.schemas.outcomes import Outcome, Reason
from jobwire.schemas.tokens import VerifiedSender

#: Owner of refused events whose authority did not verify: no principal's name, so nobody's.
NOBODY = "\x00"


class EventResult(Struct, frozen=True):
    """All that is known of one event after its batch: at the most one of these is there."""

    mine: Entry | None
    """The entry that this batch wrote for it."""
    known: KnownEvent | None
    """What was in the history before."""
    refusal: Refusal | None
    """Why it belongs to no history."""

    def digest(self) -> bytes | None:
        """Return the fingerprint of the copy that stands."""
        standing = self.mine or self.known or self.refusal
        return standing.digest if standing else None

    def is_hidden(self) -> bool:
        """
        Return whether its caller is not to know if the job is there.

        Then every copy is answered alike, whatever it says: an unknown job has no known ids.
        """
        refusal = self.refusal
        return refusal is not None and refusal.reason == Reason.UNKNOWN_JOB and refusal.owner != ""

    def entry(self) -> Entry | None:
        """Return its entry; None: it has none, or its job was deleted since."""
        if self.mine is not None:
            return self.mine
        return self.known.entry if self.known else None


def refusal_of(
    job: Job | None, event: Event, reason: Reason, sender: VerifiedSender | None
) -> Refusal:
    """
    Write down a refusal.

    A caller sees what it sent; only a genuine token of the job shows its owner what was refused.
    """
    if sender is None:
        owner = NOBODY
    elif sender.role == "caller":
        owner = sender.principal
    else:
        owner = job.owner if job is not None else ""
    return Refusal(
        job=event.job,
        event=event.id,
        owner=owner,
        reason=reason,
        name=event.name,
        data=event.data,
        source=event.source,
        received=event.received,
        occurred=event.occurred,
        digest=event.digest,
    )


def outcome_of(event: Event, result: EventResult, job: Job | None, *, is_first: bool) -> Outcome:
    """
    Return what became of an event.

    Args:
        event: one copy of it.
        result: what the batch found or made of it.
        job: its job after the batch.
        is_first: no earlier copy of it is in the batch.

    """
    duplicate = result.known is not None or not is_first
    entry = result.entry()
    if result.digest() not in (None, event.digest) and not result.is_hidden():
        return Outcome(job=event.job, event=event.id, verdict="conflict", duplicate=True)
    if entry is None:
        # Refused; or its job was deleted since, and of this event only the id is left.
        reason = result.refusal.reason if result.refusal else Reason.DELETED
        return Outcome(
            job=event.job, event=event.id, verdict="refused", reason=reason, duplicate=duplicate
        )
    return Outcome(
        job=event.job,
        event=event.id,
        verdict="applied" if entry.applied else "kept",
        reason=entry.reason,
        seq=entry.seq,
        state=entry.state,
        duplicate=duplicate,
        generation=_generation(entry, job),
        outstanding=job.outstanding if job else None,
    )


def _generation(entry: Entry, job: Job | None) -> int:
    """Return the token generation that a `create` or a rotation began."""
    if entry.name == CREATE and job is not None:
        return job.generation  # of a repeated create: the token may have been rotated since
    return entry.change.generation or 0

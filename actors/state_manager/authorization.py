"""Events of a batch whose senders have no part in the job: forged ones, and other owners'."""

from __future__ import annotations

from collections.abc import Sequence

from jobwire.actors.state_manager.event_result import refusal_of
from jobwire.actors.stores.base import Store
from jobwire.schemas.events import Event
from jobwire.schemas.identifiers import JobId
from jobwire.schemas.jobs import Refusal
from jobwire.schemas.outcomes import Reason
from jobwire.schemas.tokens import VerifiedSender


async def refuse_outsiders(
    store: Store, events: Sequence[Event], senders: Sequence[VerifiedSender | None]
) -> dict[int, Refusal]:
    """
    Return the refusals of senders who have no part in the job, by the index of their event.

    They are refused before anything else is asked. So they share nothing with the job's own
    events, not even the ids: nobody can use up an id of another owner's job, or learn by one that
    the job is there. A job that is not there yet has no outsiders; its events are decided about.
    """
    if all(sender is not None and sender.role == "token" for sender in senders):
        return {}  # nearly every batch: a token is its job's own
    owners = await _owners(store, events, senders)
    outside = {}
    for index, (event, sender) in enumerate(zip(events, senders, strict=True)):
        if sender is None:
            outside[index] = refusal_of(None, event, Reason.FORGED, None)
        elif sender.role == "caller" and owners.get(event.job, sender.principal) != (
            sender.principal
        ):
            outside[index] = refusal_of(None, event, Reason.UNKNOWN_JOB, sender)
    return outside


async def _owners(
    store: Store, events: Sequence[Event], senders: Sequence[VerifiedSender | None]
) -> dict[JobId, str]:
    """Return the owners of the jobs that callers name; a token is the job's own."""
    asked = {
        event.job
        for event, sender in zip(events, senders, strict=True)
        if sender is not None and sender.role == "caller" and event.creation is None
    }
    if not asked:
        return {}
    view = await store.load(asked, (), fold=(), known=False)
    owners = {job: entries[0].owner for job, entries in view.tails.items() if entries}
    return owners | {job.id: job.owner for job in view.jobs.values()}

"""A batch of events with their senders: what is known before the jobs are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from jobwire.actors.state_manager.authorization import refuse_outsiders
from jobwire.actors.stores.base import EventKey, Store
from jobwire.schemas.events import Event
from jobwire.schemas.jobs import Refusal
from jobwire.schemas.tokens import Keyring, VerifiedSender, identify


class IdentifiedBatch(Struct, frozen=True):
    """Events in the order of their queues, and who sent them."""

    events: Sequence[Event]
    firsts: Mapping[EventKey, Event]
    """The first copy of each event; without those of outsiders."""
    senders: Mapping[EventKey, VerifiedSender]
    """The verified senders of the first copies."""
    outsiders: Mapping[int, Refusal]
    """The refusals of senders who have no part in the job, by the index of their event."""


async def identify_batch(
    store: Store, keyring: Keyring, events: Sequence[Event]
) -> IdentifiedBatch:
    """Verify who sent each event, and find the first copy of each."""
    identified = [identify(keyring, event) for event in events]
    outsiders = await refuse_outsiders(store, events, identified)
    firsts: dict[EventKey, Event] = {}
    senders: dict[EventKey, VerifiedSender] = {}
    for index, (event, sender) in enumerate(zip(events, identified, strict=True)):
        key = EventKey(event.job, event.id)
        if sender is not None and index not in outsiders and key not in firsts:
            firsts[key], senders[key] = event, sender
    return IdentifiedBatch(events, firsts, senders, outsiders)

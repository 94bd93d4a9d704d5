"""What a client may ask about events that were reported: what has become of one, long after."""

from __future__ import annotations

from typing import NamedTuple

from jobwire.actors.stores.base import EventKey, Place, Positioned, Store
from jobwire.schemas.identifiers import EventId, JobId
from jobwire.schemas.jobs import Entry, Job, Refusal
from jobwire.schemas.principals import Principal

#: Entries that are looked through for the newest ones, and how far back that goes at the most.
_FIRST_LOOK, _FARTHEST = 100, 10_000
_PAGE = 500


class EventStatus(NamedTuple):
    """What the store knows of one event."""

    job: Job | None
    """As it is now; None: unknown, deleted, or someone else's."""
    entry: Entry | None
    refusal: Refusal | None
    is_known: bool
    """It is in a history, also where only its id is left of that."""


class EventStatuses:
    """Looks for events; every call is one owner's."""

    def __init__(self, store: Store) -> None:
        """Read from a store."""
        self._store = store

    async def get(self, principal: Principal, job: JobId, event: EventId) -> EventStatus:
        """Return what has become of an event of an owner's job."""
        key = EventKey(job, event)
        view = await self._store.load([job], [key], fold=(), known=True)
        found = view.jobs.get(job)
        mine = found is not None and found.owner == principal.name
        known = view.known.get(key) if mine else None
        refusals = [each for each in view.refused.get(key, ()) if each.owner == principal.name]
        return EventStatus(
            found if mine and found and not found.deleted else None,
            known.entry if known else None,
            refusals[0] if refusals else None,
            known is not None,
        )

    async def newest(self, principal: Principal, source: str, limit: int) -> list[Entry]:
        """
        Return an owner's newest entries that came from a source, the newest first.

        It looks back over a bounded number of entries: there may be older ones.
        """
        end = await self._store.newest(principal.name)
        back = _FIRST_LOOK
        while True:
            start = tuple(max(0, position - back) for position in end)
            found = await self._between(principal.name, start, source)
            if len(found) >= limit or back >= _FARTHEST or not any(start):
                found.sort(key=lambda each: each.entry.received, reverse=True)
                return [each.entry for each in found[:limit]]
            back *= 10

    async def _between(self, owner: str, start: Place, source: str) -> list[Positioned]:
        found: list[Positioned] = []
        place = start
        while True:
            page, after = await self._store.since(owner, place, _PAGE)
            found += [each for each in page if each.entry.source == source]
            if after == place:
                return found
            place = after

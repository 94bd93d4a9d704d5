"""What a client may ask about refused events: read them, and send one again."""

from __future__ import annotations

from jobwire.actors.operations.events import Events
from jobwire.actors.stores.base import EventKey, Store
from jobwire.schemas.cursors import Cursors
from jobwire.schemas.errors import NotFound
from jobwire.schemas.events import Event
from jobwire.schemas.identifiers import RESERVED_ID, EventId, JobId
from jobwire.schemas.jobs import Refusal
from jobwire.schemas.outcomes import Outcome
from jobwire.schemas.principals import Principal


class Refusals:
    """Accepted events that belong to no history; every call is one owner's."""

    def __init__(self, *, store: Store, events: Events, identity: bytes) -> None:
        """Read from a store; replay through events."""
        self._store = store
        self._events = events
        self._cursors = Cursors(identity)

    async def find(
        self, principal: Principal, cursor: str | None, limit: int
    ) -> tuple[list[Refusal], str | None]:
        """Return a page of the owner's refused events, oldest first, and the cursor of the next."""
        listed = f"refused {principal.name}"
        after = self._cursors.read(cursor, listed, int) if cursor else 0
        refusals = await self._store.refusals(principal.name, after, limit + 1)
        more = len(refusals) > limit
        page = refusals[:limit]
        return page, self._cursors.write(page[-1].position, listed) if more else None

    async def replay(self, principal: Principal, job: JobId, event: EventId) -> Outcome | None:
        """
        Send a refused event again, as its owner and under a new id: the refused id stays refused.

        Replaying twice gives the outcome of the first replay again.

        Raises:
            NotFound: the owner has no such refused event.

        """
        key = EventKey(job, event)
        refusal = await self._store.refusal(principal.name, key)
        if refusal is None:
            raise NotFound("there is no refused event with this id", code="unknown_event")
        replayed = refusal.replayed_as or EventId(
            f"{RESERVED_ID}replay.{refusal.position}.{event}"[:255]
        )
        if refusal.replayed_as is None:
            await self._store.mark_replayed(principal.name, key, replayed)
        return await self._events.post(self._again(principal, refusal, replayed), 5.0)

    def _again(self, principal: Principal, refusal: Refusal, event_id: EventId) -> Event:
        return self._events.build(
            job=refusal.job,
            name=refusal.name,
            principal=principal,
            data=refusal.data,
            event_id=event_id,
            occurred=refusal.occurred or refusal.received,
            source=refusal.source,
        )

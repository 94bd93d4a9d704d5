"""Events that came too early and wait until their job is ready for them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec
from msgspec import Struct

from jobwire.actors.operations.records import DialectRecords, Record
from jobwire.schemas.errors import TooManyRequests
from jobwire.schemas.events import Event
from jobwire.schemas.identifiers import EventId, JobId
from jobwire.schemas.principals import Principal

#: Most that wait of one job, and of one owner.
_MOST_OF_JOB, _MOST = 16, 1_000
_PAGE = 500


class DeferredEvent(Struct, frozen=True, kw_only=True):
    """One event that waits; its first copy is in the history, not applied."""

    job: JobId
    event: EventId
    name: str
    data: bytes | None
    since: datetime
    source: str | None = None
    """Through what it came, as its entry in the history says."""


def again(event: EventId) -> EventId:
    """Return the id under which an event is sent again, every time: so it is applied once."""
    return EventId(f"{event}.again"[-255:])


_decoder = msgspec.msgpack.Decoder(DeferredEvent)


class DeferredEvents:
    """Stores deferred events; every call is for one owner."""

    def __init__(self, records: DialectRecords, clock: Callable[[], datetime]) -> None:
        """Keep them among the records of the dialect."""
        self._records = records.of("parked_event")
        self._clock = clock

    async def defer(self, principal: Principal, event: Event) -> DeferredEvent:
        """
        Defer an event.

        Raises:
            TooManyRequests: too many wait already.

        """
        if len(await self.of_job(principal, event.job)) >= _MOST_OF_JOB:
            detail = f"{_MOST_OF_JOB} events of this job are deferred already"
            raise TooManyRequests(detail, code="too_many_parked", limit=_MOST_OF_JOB)
        if len(await self._all(principal)) >= _MOST:
            detail = f"{_MOST} events of this owner are deferred already"
            raise TooManyRequests(detail, code="too_many_parked", limit=_MOST)
        deferred = DeferredEvent(
            job=event.job,
            event=event.id,
            name=event.name,
            data=event.data,
            source=event.source,
            since=self._clock(),
        )
        record = Record(principal.name, _key(deferred), msgspec.msgpack.encode(deferred))
        # One that waits already goes on waiting since its first time.
        await self._records.put(record, fresh=True)
        return deferred

    async def everywhere(self) -> list[tuple[str, JobId]]:
        """Return all jobs with deferred events, each with its owner: for the service itself."""
        after, found = "", dict[tuple[str, JobId], None]()
        while records := await self._records.select(None, after, _PAGE):
            for record in records:
                found[record.owner, _decoder.decode(record.body).job] = None
            after = records[-1].key
        return list(found)

    async def of_job(self, principal: Principal, job: JobId) -> list[DeferredEvent]:
        """Return the deferred events of a job, in the order in which they came."""
        after, found = f"{job}/", list[DeferredEvent]()
        for record in await self._records.select(principal.name, after, _MOST_OF_JOB):
            deferred = _decoder.decode(record.body)
            if deferred.job == job:
                found.append(deferred)
        return sorted(found, key=lambda each: each.since)

    async def of_source(self, principal: Principal, source: str) -> list[DeferredEvent]:
        """Return the deferred events of an owner that came from a source."""
        return [each for each in await self._all(principal) if each.source == source]

    async def _all(self, principal: Principal) -> list[DeferredEvent]:
        found = await self._records.select(principal.name, "", _MOST)
        return [_decoder.decode(record.body) for record in found]

    async def drop(self, principal: Principal, deferred: DeferredEvent) -> None:
        """Remove a deferred event."""
        await self._records.drop(principal.name, _key(deferred))


def _key(deferred: DeferredEvent) -> str:
    return f"{deferred.job}/{deferred.event}"

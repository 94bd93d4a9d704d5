"""Jobs that are hidden: they are there, with their history, and lists leave them out."""

from __future__ import annotations

from jobwire.actors.operations.records import DialectRecords, Record
from jobwire.schemas.identifiers import JobId
from jobwire.schemas.principals import Principal


class Visibility:
    """Hides jobs; every call is one owner's."""

    def __init__(self, records: DialectRecords) -> None:
        """Remember which ones are hidden."""
        self._hidden = records.of("hidden_job")

    async def hide(self, principal: Principal, job: JobId) -> None:
        """Hide a job; hiding it again changes nothing."""
        await self._hidden.put(Record(principal.name, job, b""))

    async def show(self, principal: Principal, job: JobId) -> None:
        """Hide a job no more."""
        await self._hidden.drop(principal.name, job)

    async def is_hidden(self, principal: Principal, job: JobId) -> bool:
        """Return whether a job is hidden."""
        return await self._hidden.fetch(principal.name, job) is not None

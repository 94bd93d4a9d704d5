"""Jobs that are hidden: they are there, with their history, and lists leave them out."""

from __future__ import annotations

from jobwire.actors.stores.base import Record, Store
from jobwire.schemas.identifiers import JobId
from jobwire.schemas.principals import Principal

_KIND = "hidden_job"


class Visibility:
    """Hides jobs; every call is one owner's."""

    def __init__(self, store: Store) -> None:
        """Remember in a store which ones are hidden."""
        self._store = store

    async def hide(self, principal: Principal, job: JobId) -> None:
        """Hide a job; hiding it again changes nothing."""
        await self._store.put(_KIND, Record(principal.name, job, b""))

    async def show(self, principal: Principal, job: JobId) -> None:
        """Hide a job no more."""
        await self._store.drop(_KIND, principal.name, job)

    async def is_hidden(self, principal: Principal, job: JobId) -> bool:
        """Return whether a job is hidden."""
        return await self._store.fetch(_KIND, principal.name, job) is not None

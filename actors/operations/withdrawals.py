"""Withdrawals: cancel jobs whose submission was answered with an error."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from jobwire.actors.operations.events import Events
from jobwire.actors.stores.base import Store
from jobwire.schemas.errors import InDoubt, Unavailable
from jobwire.schemas.identifiers import JobId
from jobwire.schemas.outcomes import Outcome
from jobwire.schemas.principals import Principal

#: The source of the cancel of a job that its maker takes back.
WITHDRAWN: Final = "withdrawn"

#: Pause before a cancel that was not taken is sent again, and how long it may take to be decided.
_PAUSE_S: Final = 0.5
_DECIDED_S: Final = 2.0
#: Entries of a history that are looked at for a start.
_MOST_ENTRIES: Final = 1_000


class Withdrawals:
    """Takes back jobs whose making may have failed, and says whether anything of them has begun."""

    def __init__(self, store: Store, events: Events) -> None:
        """Read from a store; change by events only."""
        self._store = store
        self._events = events

    async def withdraw(self, principal: Principal, job: JobId, within_s: float) -> None:
        """
        Cancel a job that may be stored, or not yet, or never; return when nothing of it will start.

        The cancel stands behind the creation. A start is announced and decided before anything
        starts, so of a job that is not stored when the cancel is safe nothing ever does. Repeated,
        it is done once.

        Raises:
            InDoubt: the cancel is not safe within so long, or something may have begun before it.

        """
        cancel = self._events.build(job=job, name="cancel", principal=principal, source=WITHDRAWN)
        try:
            async with asyncio.timeout(within_s):
                while True:
                    with suppress(Unavailable):
                        await self._events.post(cancel)
                        break
                    await asyncio.sleep(_PAUSE_S)
        except TimeoutError:
            detail = (
                f"it is not known whether the job {job} will run, and it cannot be cancelled now"
            )
            raise _in_doubt(detail) from None
        outcome = None
        with suppress(Unavailable):
            outcome = await self._events.post(cancel, _DECIDED_S)
        if not await self._is_unbegun(principal, job, outcome):
            raise _in_doubt(f"the job {job} is cancelled, but may have begun before")

    async def _is_unbegun(
        self, principal: Principal, job_id: JobId, outcome: Outcome | None
    ) -> bool:
        """Return whether it is certain that nothing of a job has begun before its cancel."""
        if outcome is not None and outcome.verdict == "refused":
            return True  # it was never made
        try:
            job = await self._store.get(principal.name, job_id)
            if job is None or outcome is None:
                return job is None
            entries = await self._store.history(job.owner, job.id, job.born - 1, _MOST_ENTRIES)
        except Unavailable:
            return False
        return not any(each.name == "submit" and each.applied for each in entries)


def _in_doubt(detail: str) -> InDoubt:
    more = "look for it before you submit again"
    return InDoubt(f"{detail}: {more}", code="in_doubt", retry_after_s=60)

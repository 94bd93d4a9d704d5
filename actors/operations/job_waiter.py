"""What a client may wait for: that a job is stored, or that an entry of it is reached."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import Final

from jobwire.actors.operations.jobs import Jobs
from jobwire.actors.operations.streams import Streams
from jobwire.actors.runtime.backoff import Backoff
from jobwire.schemas.errors import InDoubt, NotFound, Unavailable
from jobwire.schemas.identifiers import JobId
from jobwire.schemas.jobs import Entry, Job
from jobwire.schemas.principals import Principal

IsReached = Callable[[Entry], bool]
"""Whether an entry of the job is the one that is waited for."""

#: First and longest pause between two readings of a job that is not stored yet.
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0


class JobWaiter:
    """Waits for jobs."""

    def __init__(self, jobs: Jobs, streams: Streams) -> None:
        """Read jobs, and follow them as they are committed."""
        self._jobs = jobs
        self._streams = streams

    async def stored(self, principal: Principal, job_id: JobId, within_s: float) -> Job | None:
        """
        Wait until a job whose creation is safe is stored, also while the store is away.

        Returns:
            None when the time is over before.

        Raises:
            InDoubt: the service is stopping.

        """
        try:
            async with asyncio.timeout(within_s):
                return await self._load(principal, job_id)
        except TimeoutError:
            return None

    async def until(
        self, principal: Principal, job: Job, is_reached: IsReached, within_s: float
    ) -> Job | None:
        """
        Wait until an entry of a job is reached; return the job as it is then.

        Returns:
            None when the time is over before.

        Raises:
            InDoubt: the service is stopping.
            Unavailable: the store is away.
            NotFound: the job was deleted meanwhile.

        """
        try:
            async with asyncio.timeout(within_s):
                await self._follow(principal, job, is_reached)
        except TimeoutError:
            return None
        return await self._jobs.get(principal, job.id)

    async def _load(self, principal: Principal, job_id: JobId) -> Job:
        backoff = Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        while not self._streams.is_closed:
            with suppress(NotFound, Unavailable):
                return await self._jobs.get(principal, job_id)
            await asyncio.sleep(backoff.next_s())
        raise _stopping()

    async def _follow(self, principal: Principal, job: Job, is_reached: IsReached) -> None:
        stream = self._streams.of_job(principal, job, job.born - 1, counted=False)
        async with aclosing(stream) as followed:
            async for items in followed:
                if any(is_reached(item.entry) or item.entry.change.deleted for item in items):
                    return
        raise _stopping()


def _stopping() -> InDoubt:
    return InDoubt("the service is stopping", code="stopping", retry_after_s=2)

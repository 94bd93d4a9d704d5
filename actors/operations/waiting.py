"""What a client may ask for that takes a while: to be told when a job has come to a point."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from actors.operations.jobs import Jobs
from actors.operations.streams import Streams
from schemas.errors import Unavailable
from schemas.jobs import Entry, Job
from schemas.principals import Principal

IsReached = Callable[[Entry], bool]
"""Says whether an entry of the job is the one that is waited for."""


class Waiting:
    """Waits for jobs."""

    def __init__(self, jobs: Jobs, streams: Streams) -> None:
        """Read jobs, and follow them as they are committed."""
        self._jobs = jobs
        self._streams = streams

    async def until(
        self, principal: Principal, job: Job, is_reached: IsReached, within_s: float
    ) -> Job | None:
        """
        Wait until an entry of a job is reached; give the job as it is then.

        Returns:
            None when the time is over before.

        Raises:
            Unavailable: the service is stopping.
            NotFound: the job was deleted meanwhile.

        """
        try:
            async with asyncio.timeout(within_s):
                await self._follow(principal, job, is_reached)
        except TimeoutError:
            return None
        return await self._jobs.get(principal, job.id)

    async def _follow(self, principal: Principal, job: Job, is_reached: IsReached) -> None:
        stream = self._streams.of_job(principal, job, job.born - 1, counted=False)
        async with aclosing(stream) as followed:
            async for items in followed:
                if any(is_reached(item.entry) or item.entry.change.deleted for item in items):
                    return
        raise Unavailable("the service is stopping", code="stopping", retry_after_s=2)

"""Sites: where jobs run, each a host, its batch system, and a sandbox for every attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from jobwire.actors.batch_systems.base import BatchSystem
from jobwire.actors.filesystems.base import FileSystem
from jobwire.actors.hosts.base import Host
from jobwire.actors.runtime.backoff import Backoff
from jobwire.actors.runtime.settings import SiteSettings
from jobwire.schemas.errors import Invalid, JobwireError, NotFound, Unavailable
from jobwire.schemas.identifiers import JobId
from jobwire.schemas.jobs import Job

_log = structlog.get_logger()

#: First and longest pause before a host that could not be opened is tried again.
_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
#: How long a request waits for a host that is not open yet.
_SOON_S = 3.0


@dataclass(kw_only=True)
class Site:
    """One place that runs jobs."""

    settings: SiteSettings
    host: Host
    batch: BatchSystem
    slots: int | None
    """How many cores run jobs at a time; None: the batch system has a queue of its own."""
    shim: str
    """The path of the shim on the host."""
    url: Callable[[], str]
    """Where jobs of this site reach the service."""
    admits: bool = True
    """Whether jobs may start here; those that run are watched in any case."""
    is_open: bool = False
    trouble: str | None = None
    """Why the host could not be opened at the last try."""
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def name(self) -> str:
        """What jobs call it."""
        return self.settings.name

    async def opened(self) -> None:
        """
        Return when the host is open, however long that takes.

        The first in this process who needs the host opens it; nobody else waits for that. A host
        that is away is tried again after growing pauses.
        """
        async with self._opening:
            backoff = Backoff(_PAUSE_S, _LONGEST_PAUSE_S)
            while not self.is_open:
                try:
                    await self.host.open()
                except (JobwireError, OSError) as error:
                    self.trouble = str(error) or type(error).__name__
                    pause_s = backoff.next_s()
                    _log.warning("site_away", site=self.name, error=self.trouble, pause_s=pause_s)
                    await asyncio.sleep(pause_s)
                else:
                    self.is_open, self.trouble = True, None

    async def opened_soon(self) -> None:
        """
        Return when the host is open; somebody waits for the answer.

        Raises:
            Unavailable: it is away.

        """
        if self.is_open:
            return
        try:
            async with asyncio.timeout(_SOON_S):
                await self.opened()
        except TimeoutError as error:
            why = self.trouble or f"it did not answer within {_SOON_S:g} s"
            detail = f"the host of the site {self.name} is away: {why}"
            raise Unavailable(detail, retry_after_s=5) from error

    async def close(self) -> None:
        """Let go of the host; jobs that run stay untouched."""
        await self.host.close()
        self.is_open = False


@dataclass(frozen=True)
class Sandbox:
    """Where the files of one attempt are, below the sandbox folder of its site."""

    job: JobId
    attempt: int

    @property
    def path(self) -> str:
        """The folder of the attempt."""
        return f"{self.job}/{self.attempt}"

    @property
    def work(self) -> str:
        """The directory that the job runs in, with its inputs and outputs."""
        return f"{self.path}/work"

    @property
    def control(self) -> str:
        """The directory that the shim writes in: the latch and the exit code."""
        return f"{self.path}/control"


async def newest_sandbox(files: FileSystem, job: Job) -> Sandbox:
    """Return the newest sandbox that is there; if none is, the one of the newest attempt."""
    for attempt in range(job.attempt, job.first_attempt - 1, -1):
        sandbox = Sandbox(job.id, attempt)
        try:
            await files.stat(sandbox.work)
        except (NotFound, Invalid):
            continue  # this attempt never began, or waits to begin
        return sandbox
    return Sandbox(job.id, job.attempt)

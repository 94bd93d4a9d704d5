"""Sites: where jobs run, each a host, its batch system, and a sandbox for every attempt."""

from __future__ import annotations

from dataclasses import dataclass

from jobwire.actors.batch_systems.base import BatchSystem
from jobwire.actors.filesystems.base import FileSystem
from jobwire.actors.hosts.base import Host
from jobwire.schemas.errors import Invalid, NotFound
from jobwire.schemas.identifiers import JobId
from jobwire.schemas.jobs import Job


@dataclass(frozen=True, kw_only=True)
class Site:
    """One place that runs jobs."""

    name: str
    host: Host
    batch: BatchSystem
    slots: int | None
    """How many cores run jobs at a time; None: the batch system has a queue of its own."""


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

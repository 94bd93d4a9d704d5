"""Sites: where jobs run, each a host, its batch system, and a sandbox for every attempt."""

from __future__ import annotations

from dataclasses import dataclass

from actors.batch_systems.base import BatchSystem
from actors.hosts.base import Host
from schemas.identifiers import JobId


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

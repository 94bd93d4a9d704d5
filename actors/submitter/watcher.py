"""Watches what is alive to its end, and doubts what cannot be found."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

import structlog
from msgspec import structs

from jobwire.actors.batch_systems.base import ALIVE, RunStatus
from jobwire.actors.runtime.failpoints import failpoint
from jobwire.actors.submitter.run_reporter import RunReporter
from jobwire.actors.submitter.runs import Runs
from jobwire.actors.workers.gateway import Assignment, WorkerGateway
from jobwire.schemas.commands import Command
from jobwire.schemas.errors import JobwireError
from jobwire.schemas.identifiers import JobId

_log = structlog.get_logger()

#: Pause before a look that failed is repeated.
_LOOK_S = 1.0

Run = tuple[JobId, int]
"""A job and an attempt of it."""


class Watcher:
    """Finds runs, waits for their ends, and has these reported."""

    def __init__(
        self,
        *,
        runs: Runs,
        gateway: WorkerGateway,
        reporter: RunReporter,
        lost_after_s: float,
        clock: Callable[[], datetime],
        lock: Callable[[Command], asyncio.Lock],
        look_again: Callable[[Command, float], None],
    ) -> None:
        """
        Look through `runs`, under the lock of each job.

        Args:
            runs: the attempts of the site.
            gateway: where jobs are read and doubts are reported.
            reporter: reports how attempts ended.
            lost_after_s: how long a job may stay UNKNOWN.
            clock: returns the time.
            lock: returns the lock of a command's job.
            look_again: has a command carried out again after a number of seconds.

        """
        self.watched: set[Run] = set()
        """The runs whose ends this process will report; one that is taken out has been reported."""
        self._runs = runs
        self._gateway = gateway
        self._reporter = reporter
        self._lost_after_s = lost_after_s
        self._clock = clock
        self._lock = lock
        self._look_again = look_again

    async def find(self, command: Command) -> tuple[Assignment, RunStatus] | None:
        """Find a run that should be alive; None: it is not, and that is reported or doubted."""
        assignment = await self._gateway.assignment(command)
        if assignment is None:
            return None
        status = await self._runs.look_up(assignment.job, assignment.spec)
        if status.state not in ALIVE:
            await self._report_or_doubt(assignment, status)
            return None
        shown = "RUNNING" if status.state == "running" else "QUEUED"
        if assignment.job.state not in ("RUNNING", shown):
            await self._reporter.alive(assignment, status)
        return assignment, status

    async def watch(self, assignment: Assignment, status: RunStatus) -> None:
        """Wait for the end of an attempt that is alive; return when that is reported."""
        command, job, spec = assignment
        while run_of(command) in self.watched:
            try:
                polled = await self._runs.change(job, spec, status)
                async with self._lock(command):
                    if run_of(command) not in self.watched:
                        return  # reported already by the task that ended it
                    found = polled or await self._runs.look_up(job, spec, status.native)
                    if found.state not in ALIVE:
                        failpoint("submitter.before_end_reported")
                        await self._report_or_doubt(assignment, found)
                        failpoint("submitter.after_end_reported")
                        return
                    if found.state != status.state:
                        await self._reporter.alive(assignment, found)
                    status = structs.replace(found, native=found.native or status.native)
            except (JobwireError, OSError) as error:
                # It may run still, or its end is not reported yet: it keeps its cores.
                _log.warning("look_failed", job_id=job.id, error=str(error))
                await asyncio.sleep(_LOOK_S)

    async def _report_or_doubt(self, assignment: Assignment, status: RunStatus) -> None:
        if status.state in ("ended", "gone"):
            await self._reporter.ended(assignment, status)
        else:
            await self._mark_unknown(assignment.command)

    async def _mark_unknown(self, command: Command) -> None:
        """Show a job of which nothing is found as UNKNOWN, and give it up in the end."""
        job = await self._gateway.job(command)
        awaited = job.command() if job else None
        if job is None or awaited is None or awaited.attempt != command.attempt:
            return  # somebody else has decided about it
        detail = "the site has no trace of it: its sandbox is gone"
        unknown_s = 0.0
        if job.state != "UNKNOWN":
            await self._gateway.suspect(job, detail)
        else:
            since = await self._gateway.suspected_at(job)
            unknown_s = (self._clock() - since).total_seconds()
        if unknown_s < self._lost_after_s:
            self._look_again(awaited, self._lost_after_s - unknown_s)
        else:
            await self._gateway.lose(job, detail)


def run_of(command: Command) -> Run:
    """Return which run a command is about."""
    return command.job, command.attempt

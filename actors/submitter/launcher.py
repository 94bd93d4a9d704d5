"""The start of one attempt: announced, made once, and looked into where it is unclear."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from jobwire.actors.batch_systems.base import ALIVE, RunStatus
from jobwire.actors.runtime.failpoints import failpoint
from jobwire.actors.submitter.run_reporter import RunReporter
from jobwire.actors.submitter.runs import Runs
from jobwire.actors.submitter.watcher import Run, run_of
from jobwire.actors.workers.gateway import Assignment, WorkerGateway
from jobwire.schemas.commands import Command
from jobwire.schemas.errors import JobwireError
from jobwire.schemas.reports import Submitting


class Launcher:
    """Starts the attempts of a site."""

    def __init__(
        self,
        *,
        runs: Runs,
        gateway: WorkerGateway,
        reporter: RunReporter,
        watched: set[Run],
        lock: Callable[[Command], asyncio.Lock],
    ) -> None:
        """
        Start `runs`, each under the lock of its job.

        Args:
            runs: the attempts of the site.
            gateway: where starts are announced.
            reporter: reports what runs, and what ended at once.
            watched: what this process has started; an attempt is in it from before its start.
            lock: gives the lock of a command's job.

        """
        self._runs = runs
        self._gateway = gateway
        self._reporter = reporter
        self._watched = watched
        self._lock = lock

    async def begin(self, command: Command, *, begun: bool) -> tuple[Assignment, RunStatus] | None:
        """
        Announce and start a job.

        Args:
            command: the awaited `Submit`.
            begun: whether an earlier process may have started it already.

        Returns:
            What is needed to watch it; None: it does not run, and that is known or reported.

        """
        run = run_of(command)
        async with self._lock(command):
            assignment = await self._gateway.assignment(command)
            failpoint("submitter.before_intent")
            if assignment is None or not await self._gateway.intend(command, Submitting()):
                return None
            failpoint("submitter.after_intent")
            self._watched.add(run)
            status = None
            try:
                status = await self._launch(assignment, begun=begun)
            finally:
                if status is None:
                    self._watched.discard(run)
        return (assignment, status) if status is not None else None

    async def _launch(self, assignment: Assignment, *, begun: bool) -> RunStatus | None:
        """Start an attempt; return its status while it is alive, None when its end is reported."""
        job, spec = assignment.job, assignment.spec
        status = await self._runs.look_up(job, spec) if begun else None
        if status is None or status.state == "absent":
            try:
                status = await self._runs.start(job, spec)
            except JobwireError as error:
                status = await self._runs.resolve(job, spec, error.detail)
        if status.state in ("absent", "burned"):
            status = await self._runs.resolve(job, spec, status.detail)
        if status.state in ALIVE:
            await self._reporter.alive(assignment, status)
            return status
        await self._reporter.ended(assignment, status)
        return None

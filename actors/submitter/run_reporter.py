"""Reports what is found of attempts."""

from __future__ import annotations

from jobwire.actors.batch_systems.base import RunStatus
from jobwire.actors.runtime.failpoints import failpoint
from jobwire.actors.submitter.end_report import report_of
from jobwire.actors.submitter.runs import Runs
from jobwire.actors.workers.gateway import Assignment, WorkerGateway
from jobwire.schemas.jobs import Job
from jobwire.schemas.reports import Queued, Running
from jobwire.schemas.specs import Cause


class RunReporter:
    """Sends the events of a site's attempts; the same finding twice is the same event."""

    def __init__(self, gateway: WorkerGateway, runs: Runs) -> None:
        """Report through `gateway`."""
        self._gateway = gateway
        self._runs = runs

    async def alive(self, assignment: Assignment, status: RunStatus) -> None:
        """Report that an attempt runs, or waits in the queue of its batch system."""
        job, native = assignment.job, status.native or assignment.job.native
        is_running = status.state == "running"
        report = Running(pid=status.pid, native=native) if is_running else Queued(native=native)
        await self._gateway.report(job.id, job.attempt, report, _counter(job))
        failpoint("submitter.after_run_reported")

    async def ended(self, assignment: Assignment, status: RunStatus) -> None:
        """Report how an attempt ended; of one that left no exit code nothing may be left."""
        job, spec = assignment.job, assignment.spec
        if status.state == "gone":
            found = await self._runs.end(job, spec, Cause.INTERRUPTED, status.native)
            status = found if found.state == "ended" else status
        report = report_of(status, spec)
        await self._gateway.report(job.id, job.attempt, report, _counter(job))


def _counter(job: Job) -> int:
    """Return the counter of a report; an answer to `suspect` has its seq, and so another id."""
    return job.suspected if job.state == "UNKNOWN" else 0

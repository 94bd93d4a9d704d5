"""Reports what is found of attempts."""

from __future__ import annotations

from jobwire.actors.batch_systems.base import RunStatus
from jobwire.actors.runtime.failpoints import failpoint
from jobwire.actors.submitter.end_report import report_of
from jobwire.actors.submitter.runs import Runs
from jobwire.actors.workers.gateway import Assignment, WorkerGateway
from jobwire.schemas.jobs import Job
from jobwire.schemas.specs import Cause


class RunReporter:
    """Sends the events of a site's attempts; the same finding twice is the same event."""

    def __init__(self, work: WorkerGateway, runs: Runs) -> None:
        """Report through `work`."""
        self._work = work
        self._runs = runs

    async def running(self, assignment: Assignment, status: RunStatus) -> None:
        """Report that an attempt runs."""
        job = assignment.job
        data = {"pid": status.pid}
        await self._work.report(job.id, job.attempt, "run", data, _counter(job))
        failpoint("submitter.after_run_reported")

    async def ended(self, assignment: Assignment, status: RunStatus) -> None:
        """Report how an attempt ended; of one that left no exit code nothing may be left."""
        job, spec = assignment.job, assignment.spec
        if status.state == "gone":
            found = await self._runs.end(job, spec, Cause.INTERRUPTED)
            status = found if found.state == "ended" else status
        report = report_of(status, spec)
        await self._work.report(job.id, job.attempt, report.name, report.data, _counter(job))


def _counter(job: Job) -> int:
    """Tell an answer to a doubt apart from the report that was made before it."""
    return job.suspected if job.state == "UNKNOWN" else 0

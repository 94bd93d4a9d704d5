"""The attempts of one site: started, looked up, watched and ended through its host."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext, suppress
from datetime import datetime

import structlog

from jobwire.actors.batch_systems.base import ALIVE, Launch, RunStatus
from jobwire.actors.runtime.failpoints import failpoint
from jobwire.actors.runtime.secrets import JobSecrets
from jobwire.actors.sites import Sandbox, Site
from jobwire.actors.staging_roots import folder_name
from jobwire.actors.submitter.lookups import Lookups
from jobwire.actors.submitter.poller import Poller
from jobwire.actors.workers.gateway import WorkerGateway
from jobwire.schemas.commands import Command
from jobwire.schemas.errors import JobwireError, NotFound, Unavailable
from jobwire.schemas.jobs import Job
from jobwire.schemas.specs import Cause, Secret, Spec

_log = structlog.get_logger()

#: How long ending an attempt may take beside the time that its processes have.
_CANCEL_S = 60.0
#: Attempts that are ended at a time.
_ENDS = 64


class Runs:
    """Turns attempts into commands for the host, and their output into the state of the runs."""

    def __init__(
        self, *, site: Site, gateway: WorkerGateway, secrets: JobSecrets, began: datetime
    ) -> None:
        """Run at a site; this process began at `began`."""
        self._began = began
        self._site = site
        self._gateway = gateway
        self._secrets = secrets
        self._lookups = Lookups(site)
        self._poller = Poller(site, self._lookups)
        # Without a queue the slots bound the starts.
        has_queue = site.batch.has_queue
        self._starts = asyncio.Semaphore(site.settings.starts) if has_queue else nullcontext()
        self._ends = asyncio.Semaphore(_ENDS)

    def start_polling(self) -> None:
        """Begin to ask for what shows its end in no other way."""
        self._poller.start()

    async def stop_polling(self) -> None:
        """Stop polling."""
        await self._poller.stop()

    def is_from_before(self, command: Command) -> bool:
        """Return whether a command may have been carried out in part by an earlier process."""
        return command.since is None or command.since < self._began

    async def has_begun(self, command: Command) -> bool:
        """Return whether an attempt may have been started before, by an earlier process."""
        if not self.is_from_before(command):
            return False
        try:
            await self._site.host.files.stat(Sandbox(command.job, command.attempt).control)
        except NotFound:
            return False
        return True

    async def start(self, job: Job, spec: Spec) -> RunStatus:
        """
        Start the attempt, unless it was started before; return what is found of it then.

        Raises:
            NotFound: a secret is not there.
            Unavailable: it could not be started; or it was, and nobody can tell.

        """
        environment = self._environment(job, spec)
        sandbox, files = Sandbox(job.id, job.attempt), self._site.host.files
        await files.make_directory(sandbox.control, sandbox.work, *_folders(sandbox, spec))
        launch, batch = self._launch(job, spec), self._site.batch
        failpoint("submitter.before_start")
        async with self._starts:
            done = await self._site.host.run(
                batch.submit_argv(launch), stdin=batch.submit_stdin(launch, environment)
            )
        failpoint("submitter.after_start")
        return batch.parse_submitted(done)

    async def look_up(self, job: Job, spec: Spec, native: str | None = None) -> RunStatus:
        """
        Return what is found of the attempt; several asked for at once cost one command.

        Args:
            job: whose it is.
            spec: what the job was asked to be.
            native: the batch system's id, where it is known before the job shows it.

        Raises:
            Unavailable: the site cannot be asked, or reports nothing about it.

        """
        launch = self._launch(job, spec, native)
        found = await self._lookups.of(launch)
        if found is None:
            raise Unavailable(f"the site reports nothing about {launch.run}")
        return found

    async def resolve(self, job: Job, spec: Spec, detail: str | None) -> RunStatus:
        """
        Find out what became of a start that failed, and make sure that it stays so.

        Raises:
            Unavailable: nobody can tell. Then nothing is said of it: the command comes again, and
                the latch keeps a repeated start from running twice.

        """
        _log.warning("start_failed", job_id=job.id, error=detail)
        status = await self.look_up(job, spec)
        if status.state == "absent":
            status = await self.end(job, spec, Cause.COULD_NOT_START)
        if status.state in ("burned", "absent"):
            return RunStatus(state="ended", cause=Cause.COULD_NOT_START, detail=detail)
        return status

    async def end(self, job: Job, spec: Spec, cause: str, native: str | None = None) -> RunStatus:
        """End the attempt, or keep it from ever starting; return what is found of it then."""
        # Without the folder there is no latch to burn, nor one that a start could take.
        with suppress(JobwireError):
            await self._site.host.files.make_directory(Sandbox(job.id, job.attempt).control)
        launch, batch = self._launch(job, spec, native), self._site.batch
        limit_s = launch.grace_s + _CANCEL_S
        async with self._ends:
            dones = [
                await self._site.host.run(argv, timeout_s=limit_s)
                for argv in batch.cancel_argvs(launch, cause)
            ]
        found = batch.parse_cancelled(dones)
        return await self._until_ended(launch, limit_s) if found is None else found

    async def _until_ended(self, launch: Launch, limit_s: float) -> RunStatus:
        """Poll until nothing of an attempt is alive whose end was asked for."""
        try:
            async with asyncio.timeout(limit_s + self._site.settings.interval_s):
                while True:
                    found = await self._poller.next_status(launch)
                    if found is not None and found.state not in ALIVE:
                        return found
        except TimeoutError as error:
            raise Unavailable(f"{launch.run} is alive {limit_s:g} s after its cancel") from error

    async def change(self, job: Job, spec: Spec, status: RunStatus) -> RunStatus | None:
        """
        Return when an attempt that is alive may not be so any more.

        Where its process shows the end, return None then; else what the next poll finds of it.

        Raises:
            Unavailable: the site cannot be asked, or says nothing of it.

        """
        if not self._site.batch.has_queue and status.pid is not None and status.started is not None:
            await self._site.host.gone(status.pid, status.started)
            return None
        launch = self._launch(job, spec, status.native)
        found = await self._poller.next_status(launch)
        if found is None:
            raise Unavailable(f"the site says nothing of {launch.run}")
        return found

    def _launch(self, job: Job, spec: Spec, native: str | None = None) -> Launch:
        site, sandbox = self._site, Sandbox(job.id, job.attempt)
        root, limits = site.host.root, site.settings
        return Launch(
            run=f"{job.id}.{job.attempt}",
            shim=site.shim,
            control=f"{root}/{sandbox.control}",
            work=f"{root}/{sandbox.work}",
            stdout=spec.stdout,
            stderr=spec.stderr,
            argv=spec.invocation.argv,
            resources=spec.resources,
            grace_s=limits.grace_s,
            file_bytes=limits.file_bytes,
            open_files=limits.open_files,
            native=native or job.native,
        )

    def _environment(self, job: Job, spec: Spec) -> dict[str, str]:
        """Build the job's environment from nothing: none of the service's own gets in."""
        owner = folder_name(job.owner)
        asked = {
            name: self._secrets.read(owner, value.secret) if isinstance(value, Secret) else value
            for name, value in spec.env.items()
        }
        return {
            **self._site.host.environment,
            **asked,
            "JOBWIRE_JOB": job.id,
            "JOBWIRE_ATTEMPT": str(job.attempt),
            "JOBWIRE_RUN": f"{job.id}.{job.attempt}",
            "JOBWIRE_URL": self._site.url(),
            "JOBWIRE_TOKEN": self._gateway.token(job),
        }


def _folders(sandbox: Sandbox, spec: Spec) -> set[str]:
    """Return the directories that the files of the output need."""
    parents = {path.rpartition("/")[0] for path in (spec.stdout, spec.stderr)}
    return {f"{sandbox.work}/{parent}" for parent in parents if parent}

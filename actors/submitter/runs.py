"""The attempts of one site: started, looked up, watched and ended through its host."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import structlog

from jobwire.actors.batch_systems.base import Launch, RunStatus
from jobwire.actors.operations.staging_roots import folder_name
from jobwire.actors.runtime.failpoints import failpoint
from jobwire.actors.runtime.secrets import JobSecrets
from jobwire.actors.runtime.settings import LocalSite
from jobwire.actors.sites import Sandbox, Site
from jobwire.actors.submitter.lookups import Lookups
from jobwire.actors.workers.gateway import WorkerGateway
from jobwire.schemas.commands import Command
from jobwire.schemas.errors import JobwireError, NotFound, Unavailable
from jobwire.schemas.jobs import Job
from jobwire.schemas.specs import Cause, Secret, Spec

_log = structlog.get_logger()

_SHIM = str(Path(__file__).with_name("shim.sh"))
#: How long ending an attempt may take beside the time that its processes have.
_CANCEL_S = 60.0


class Runs:
    """Turns attempts into commands for the host, and what these print into what is so."""

    def __init__(
        self,
        *,
        site: Site,
        work: WorkerGateway,
        secrets: JobSecrets,
        settings: LocalSite,
        url: Callable[[], str],
        began: datetime,
    ) -> None:
        """Run at a site; jobs report to the service at `url`; this process began at `began`."""
        self._began = began
        self._site = site
        self._work = work
        self._secrets = secrets
        self._settings = settings
        self._url = url
        self._lookups = Lookups(site)
        self._user = _user()

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
        Start the attempt, unless it was started before; give what is found of it then.

        Raises:
            NotFound: a secret is not there.
            Unavailable: it could not be started; or it was, and nobody can tell.

        """
        environment = self._environment(job, spec)
        sandbox, files = Sandbox(job.id, job.attempt), self._site.host.files
        await files.make_directory(sandbox.control, sandbox.work, *_folders(sandbox, spec))
        launch, batch = self._launch(job, spec), self._site.batch
        failpoint("submitter.before_start")
        done = await self._site.host.run(
            batch.submit_argv(launch), stdin=batch.submit_stdin(launch, environment)
        )
        failpoint("submitter.after_start")
        return batch.parse_submitted(done.stdout)

    async def look_up(self, job: Job, spec: Spec) -> RunStatus:
        """Return what is found of the attempt; several asked for at once cost one command."""
        launch = self._launch(job, spec)
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

    async def end(self, job: Job, spec: Spec, cause: str) -> RunStatus:
        """End the attempt, or keep it from ever starting; give what is found of it then."""
        # Without the folder there is no latch to burn, nor one that a start could take.
        with suppress(JobwireError):
            await self._site.host.files.make_directory(Sandbox(job.id, job.attempt).control)
        launch, batch = self._launch(job, spec), self._site.batch
        done = await self._site.host.run(
            batch.cancel_argv(launch, cause), timeout_s=self._settings.grace_s + _CANCEL_S
        )
        return batch.parse_cancelled(done.stdout)

    async def gone(self, status: RunStatus) -> None:
        """Return when a running attempt has ended."""
        if status.pid is not None and status.started is not None:
            await self._site.host.gone(status.pid, status.started)

    def _launch(self, job: Job, spec: Spec) -> Launch:
        sandbox, root = Sandbox(job.id, job.attempt), self._site.host.root
        return Launch(
            run=f"{job.id}.{job.attempt}",
            shim=_SHIM,
            control=f"{root}/{sandbox.control}",
            work=f"{root}/{sandbox.work}",
            stdout=spec.stdout,
            stderr=spec.stderr,
            argv=spec.invocation.argv,
            resources=spec.resources,
            grace_s=self._settings.grace_s,
            file_bytes=self._settings.file_bytes,
            open_files=self._settings.open_files,
        )

    def _environment(self, job: Job, spec: Spec) -> dict[str, str]:
        """Build the job's environment from nothing: none of the service's own gets in."""
        owner = folder_name(job.owner)
        asked = {
            name: self._secrets.read(owner, value.secret) if isinstance(value, Secret) else value
            for name, value in spec.env.items()
        }
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            **self._user,
            **asked,
            "JOBWIRE_JOB": job.id,
            "JOBWIRE_ATTEMPT": str(job.attempt),
            "JOBWIRE_RUN": f"{job.id}.{job.attempt}",
            "JOBWIRE_URL": self._url(),
            "JOBWIRE_TOKEN": self._work.token(job),
        }


def _user() -> dict[str, str]:
    """Return the variables that say who runs; in a container that user may have no name."""
    try:
        user = pwd.getpwuid(os.getuid())
    except KeyError:
        return {"HOME": "/"}
    return {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}


def _folders(sandbox: Sandbox, spec: Spec) -> set[str]:
    """Return the directories that the files of the output need."""
    parents = {path.rpartition("/")[0] for path in (spec.stdout, spec.stderr)}
    return {f"{sandbox.work}/{parent}" for parent in parents if parent}

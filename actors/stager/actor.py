"""
The actor: takes the commands of the queue `commands.stager`, a few jobs at a time.

Nothing that it does counts before it is reported, and everything may be done twice: a copy shows
under its name only when it is whole, and replaces what an earlier try has left. So a crash at any
moment needs no care; the command is published again, and carried out from its beginning.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

import structlog

from jobwire.actors.filesystems.base import FileLocation, FileSystem
from jobwire.actors.runtime.failpoints import failpoint
from jobwire.actors.runtime.settings import StagingSettings
from jobwire.actors.runtime.tasks import Loop
from jobwire.actors.sites import Sandbox, Site
from jobwire.actors.stager.cleaning import clean_up
from jobwire.actors.stager.ending import end_of, shortened
from jobwire.actors.stager.plan import Bounds, Line
from jobwire.actors.stager.transfer_set import TransferSet
from jobwire.actors.staging_roots import StagingRoots
from jobwire.actors.transports.base import Transport
from jobwire.actors.workers.command_consumer import CommandConsumer
from jobwire.actors.workers.fair_queue import FairQueue
from jobwire.actors.workers.gateway import Assignment, WorkerGateway
from jobwire.actors.workers.in_hand import InHand
from jobwire.schemas.addresses import STAGER
from jobwire.schemas.commands import Command
from jobwire.schemas.errors import Invalid, JobwireError, NotFound
from jobwire.schemas.reports import Failed, Staging
from jobwire.schemas.specs import Cause

_log = structlog.get_logger()

#: Pauses before further tries of a copy that failed for want of space or the like.
_PAUSES_S = (0.5, 2.0, 8.0)
#: How often a running transfer is looked at: whether it is still wanted, and how far it has come.
_LOOK_S = 1.0


class Stager:
    """Carries out `StageIn`, `StageOut` and `CleanUp`."""

    name = "stager"

    def __init__(
        self,
        *,
        transport: Transport,
        gateway: WorkerGateway,
        sites: Mapping[str, Site],
        roots: StagingRoots,
        settings: StagingSettings,
        pauses_s: Sequence[float] = _PAUSES_S,
        look_s: float = _LOOK_S,
    ) -> None:
        """Copy between the roots of a job's owner and its sandbox."""
        self._commands = CommandConsumer(transport, gateway, STAGER)
        self._gateway = gateway
        self._sites = sites
        self._roots = roots
        self._bounds = Bounds(settings.job_files, settings.job_bytes, settings.file_bytes)
        self._pauses_s = pauses_s
        self._look_s = look_s
        self._waiting = FairQueue(by_priority=False)
        self._ready = asyncio.Semaphore(0)
        self._in_hand = InHand()
        self._loops = [Loop(f"stager.{n}", self._run) for n in range(settings.parallel)]
        self._closed: dict[str, list[Command]] = {name: [] for name in sites}
        """The commands of sites whose hosts are not open yet."""
        self._openings = [
            Loop(f"stager.opening.{name}", partial(self._open, site))
            for name, site in sites.items()
        ]

    async def start(self) -> None:
        """Take what an earlier process has left, then what comes."""
        for loop in (*self._loops, *self._openings):
            loop.start()
        await self._commands.open(self._accept)

    async def stop(self) -> None:
        """Leave what is in hand; nothing half stays, and the next start begins it anew."""
        await self._commands.close()
        await asyncio.gather(*(loop.stop() for loop in (*self._loops, *self._openings)))

    def not_ready(self) -> str | None:
        """Name what is missing."""
        return "stager" if any(loop.failing for loop in self._loops) else None

    def _accept(self, command: Command) -> None:
        if self._in_hand.add(command):
            # A command of a host that is away must not hold what carries out those of others.
            closed = self._closed.get(command.site)
            self._queue(command) if closed is None else closed.append(command)

    def _queue(self, command: Command) -> None:
        self._waiting.put(command)
        self._ready.release()

    async def _open(self, site: Site) -> None:
        """Let the commands of a site go on as soon as its host is open."""
        await site.opened()
        for command in self._closed.pop(site.name, ()):
            self._queue(command)

    async def _run(self) -> None:
        while True:
            await self._ready.acquire()
            command = self._waiting.pop()
            try:
                async with self._in_hand.lock(command):
                    await self._carry_out(command)
            except Exception:  # noqa: BLE001 - logged; the command is published again
                _log.exception("command_failed", job_id=command.job, kind=command.kind)
            finally:
                self._in_hand.discard(command)

    async def _carry_out(self, command: Command) -> None:
        assignment = await self._gateway.assignment(command)
        if assignment is None:
            return
        site = self._sites.get(assignment.spec.site)
        if site is None:
            _log.warning("site_missing", job_id=command.job, site=assignment.spec.site)
            return
        files = site.host.files
        match command.kind:
            case "StageIn":
                await self._while_awaited(command, self._stage_in(assignment, files))
            case "StageOut":
                await self._while_awaited(command, self._stage_out(assignment, files))
            case "CleanUp":
                await self._clean_up(assignment, files)
            case _:
                _log.error("command_misplaced", job_id=command.job, kind=command.kind)

    async def _while_awaited(self, command: Command, work: Coroutine[Any, Any, None]) -> None:
        """Stop a piece of work when something else was decided meanwhile."""
        running = asyncio.create_task(work)
        try:
            while not (await asyncio.wait([running], timeout=self._look_s))[0]:
                if not await self._gateway.is_awaited(command):
                    _log.info("command_dropped", job_id=command.job, kind=command.kind)
                    return
        finally:
            if not running.done():
                running.cancel()
                await asyncio.wait([running])
        running.result()

    async def _stage_in(self, assignment: Assignment, files: FileSystem) -> None:
        command, job, _ = assignment
        if not await self._gateway.intend(command, Staging()):
            return
        transfers = self._transfers(assignment, files, ())
        try:
            await self._check_directory(assignment)
            transfers = self._transfers(assignment, files, self._lines_in(assignment, files))
            await self._with_progress(command, transfers, "in", transfers.bring_in())
            problem = transfers.said_problems()
        except JobwireError as error:
            problem = error.detail
        if problem:
            if not await self._gateway.is_awaited(command):
                return  # a cancel came first, and what it finds decides how the attempt ends
            detail = shortened(f"staging in failed: {problem}")
            failed = Failed(cause=Cause.STAGING, detail=detail)
            await self._gateway.report(job.id, command.attempt, failed)
            return
        failpoint("stager.before_staged")
        await self._gateway.report(job.id, command.attempt, transfers.staged())

    async def _stage_out(self, assignment: Assignment, files: FileSystem) -> None:
        command, job, _ = assignment
        transfers = self._transfers(assignment, files, ())
        try:
            transfers = self._transfers(assignment, files, self._lines_out(assignment, files))
            await self._with_progress(command, transfers, "out", transfers.bring_out())
            problem = transfers.said_problems()
        except JobwireError as error:
            problem = error.detail
        failpoint("stager.before_finish")
        end = end_of(job, transfers.collected(), problem)
        await self._gateway.report(job.id, command.attempt, end)
        failpoint("stager.after_finish")

    async def _clean_up(self, assignment: Assignment, files: FileSystem) -> None:
        command, job, spec = assignment
        await self._gateway.report(job.id, command.attempt, await clean_up(files, job, spec))

    def _transfers(
        self, assignment: Assignment, files: FileSystem, lines: Sequence[Line]
    ) -> TransferSet:
        sandbox = Sandbox(assignment.job.id, assignment.command.attempt)
        return TransferSet(
            lines,
            work=_below(files, sandbox.work, ""),
            bounds=self._bounds,
            pauses_s=self._pauses_s,
            tag=f"{sandbox.job}.{sandbox.attempt}",
        )

    async def _with_progress(
        self, command: Command, transfers: TransferSet, stage: str, work: Coroutine[Any, Any, None]
    ) -> None:
        """Do a piece of work, and report progress while it takes long."""
        running = asyncio.create_task(work)
        pause_s = self._look_s
        try:
            while not (await asyncio.wait([running], timeout=pause_s))[0]:
                pause_s = 2 * self._look_s
                report, counter = transfers.progress(stage), secrets.randbits(48)
                await self._gateway.report(command.job, command.attempt, report, counter)
        finally:
            if not running.done():
                running.cancel()
                await asyncio.wait([running])
        running.result()

    async def _check_directory(self, assignment: Assignment) -> None:
        """Make sure that the directory is there which the job says it needs."""
        spec = assignment.spec
        if not spec.needs_directory or spec.directory is None:
            return
        place = self._roots.resolve(assignment.job.owner, spec.directory, None, "/spec/directory")
        try:
            found = await place.files.stat(place.path)
        except NotFound:
            found = None
        if found is None or found.kind != "directory":
            detail = f"there is no directory {place.address!r}; links are not followed"
            raise Invalid(detail, code="no_directory")

    def _lines_in(self, assignment: Assignment, files: FileSystem) -> list[Line]:
        """Find the places once more, at the moment of use: roots may have been taken away."""
        command, job, spec = assignment
        work = Sandbox(job.id, command.attempt).work
        return [
            Line(
                label=each.source,
                source=self._roots.resolve(
                    job.owner, each.source, spec.directory, f"/spec/stage_in/{index}/from"
                ),
                target=_below(files, work, (each.target or "").rstrip("/")),
                into=each.target is None or each.target.endswith("/"),
                sha256=each.sha256,
            )
            for index, each in enumerate(spec.stage_in)
        ]

    def _lines_out(self, assignment: Assignment, files: FileSystem) -> list[Line]:
        command, job, spec = assignment
        work = Sandbox(job.id, command.attempt).work
        return [
            Line(
                label=each.source,
                source=_below(files, work, each.source),
                target=self._roots.resolve(
                    job.owner, each.target, spec.directory, f"/spec/stage_out/{index}/to"
                ),
                into=each.target.endswith("/"),
                optional=each.optional,
            )
            for index, each in enumerate(spec.brings_out(succeeded=job.cause is None))
        ]


def _below(files: FileSystem, directory: str, path: str) -> FileLocation:
    return FileLocation(
        files, f"{directory}/{path}".rstrip("/"), f"/{directory}/{path}".rstrip("/")
    )

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
from typing import Any
from weakref import WeakValueDictionary

import structlog

from jobwire.actors.filesystems.base import FileLocation, FileSystem
from jobwire.actors.operations.staging_roots import StagingRoots
from jobwire.actors.runtime.failpoints import failpoint
from jobwire.actors.runtime.settings import StagingSettings
from jobwire.actors.runtime.tasks import Loop
from jobwire.actors.sites import Sandbox, Site
from jobwire.actors.stager.cleaning import clean_up
from jobwire.actors.stager.ending import end_of, shortened
from jobwire.actors.stager.plan import Bounds, Line
from jobwire.actors.stager.transfer_set import TransferSet
from jobwire.actors.stager.turns import Turns
from jobwire.actors.transports.base import Transport
from jobwire.actors.workers.command_consumer import CommandConsumer
from jobwire.actors.workers.gateway import Assignment, WorkerGateway
from jobwire.schemas.addresses import STAGER
from jobwire.schemas.commands import Command
from jobwire.schemas.errors import Invalid, JobwireError, NotFound
from jobwire.schemas.identifiers import EventId, JobId
from jobwire.schemas.specs import Cause

_log = structlog.get_logger()

#: Pauses before further tries of a copy that failed for want of space or the like.
_PAUSES_S = (0.5, 2.0, 8.0)
#: How often a running haul is looked at: whether it is still wanted, and how far it has come.
_LOOK_S = 1.0


class Stager:
    """Carries out `StageIn`, `StageOut` and `CleanUp`."""

    name = "stager"

    def __init__(
        self,
        *,
        transport: Transport,
        work: WorkerGateway,
        sites: Mapping[str, Site],
        roots: StagingRoots,
        settings: StagingSettings,
        pauses_s: Sequence[float] = _PAUSES_S,
        look_s: float = _LOOK_S,
    ) -> None:
        """Copy between the roots of a job's owner and its sandbox."""
        self._commands = CommandConsumer(transport, work, STAGER)
        self._work = work
        self._sites = sites
        self._roots = roots
        self._bounds = Bounds(settings.job_files, settings.job_bytes, settings.file_bytes)
        self._pauses_s = pauses_s
        self._look_s = look_s
        self._waiting = Turns()
        self._ready = asyncio.Semaphore(0)
        self._in_hand: set[tuple[JobId, EventId, int]] = set()
        self._locks: WeakValueDictionary[JobId, asyncio.Lock] = WeakValueDictionary()
        self._loops = [Loop(f"stager.{n}", self._run) for n in range(settings.parallel)]

    async def start(self) -> None:
        """Take what an earlier process has left, then what comes."""
        for loop in self._loops:
            loop.start()
        await self._commands.open(self._accept)

    async def stop(self) -> None:
        """Leave what is in hand; nothing half stays, and the next start begins it anew."""
        await self._commands.close()
        await asyncio.gather(*(loop.stop() for loop in self._loops))

    def not_ready(self) -> str | None:
        """Name what is missing."""
        return "stager" if any(loop.failing for loop in self._loops) else None

    def _accept(self, command: Command) -> None:
        if (key := _key(command)) not in self._in_hand:
            self._in_hand.add(key)
            self._waiting.wait(command)
            self._ready.release()

    async def _run(self) -> None:
        while True:
            await self._ready.acquire()
            command = self._waiting.take()
            lock = self._locks.setdefault(command.job, asyncio.Lock())
            try:
                async with lock:
                    await self._carry_out(command)
            except Exception:  # noqa: BLE001 - logged; the command is published again
                _log.exception("command_failed", job_id=command.job, kind=command.kind)
            finally:
                self._in_hand.discard(_key(command))

    async def _carry_out(self, command: Command) -> None:
        assignment = await self._work.take(command)
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
                if not await self._work.is_awaited(command):
                    _log.info("command_dropped", job_id=command.job, kind=command.kind)
                    return
        finally:
            if not running.done():
                running.cancel()
                await asyncio.wait([running])
        running.result()

    async def _stage_in(self, assignment: Assignment, files: FileSystem) -> None:
        command, job, _ = assignment
        if not await self._work.intend(command, "stage"):
            return
        haul = self._haul(assignment, files, ())
        try:
            await self._check_directory(assignment)
            haul = self._haul(assignment, files, self._lines_in(assignment, files))
            await self._with_progress(command, haul, "in", haul.bring_in())
            problem = haul.said_problems()
        except JobwireError as error:
            problem = error.detail
        if problem:
            if not await self._work.is_awaited(command):
                return  # a cancel came first, and what it finds decides how the attempt ends
            data = {"cause": Cause.STAGING, "detail": shortened(f"staging in failed: {problem}")}
            await self._work.report(job.id, command.attempt, "fail", data)
            return
        failpoint("stager.before_staged")
        await self._work.report(job.id, command.attempt, "staged", haul.report())

    async def _stage_out(self, assignment: Assignment, files: FileSystem) -> None:
        command, job, _ = assignment
        haul = self._haul(assignment, files, ())
        try:
            haul = self._haul(assignment, files, self._lines_out(assignment, files))
            await self._with_progress(command, haul, "out", haul.bring_out())
            problem = haul.said_problems()
        except JobwireError as error:
            problem = error.detail
        failpoint("stager.before_finish")
        name, data = end_of(job, haul.report(), problem)
        await self._work.report(job.id, command.attempt, name, data)
        failpoint("stager.after_finish")

    async def _clean_up(self, assignment: Assignment, files: FileSystem) -> None:
        command, job, spec = assignment
        data = await clean_up(files, job, spec)
        await self._work.report(job.id, command.attempt, "cleaned", data)

    def _haul(
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
        self, command: Command, haul: TransferSet, stage: str, work: Coroutine[Any, Any, None]
    ) -> None:
        """Do a piece of work, and tell of its progress where it takes long."""
        running = asyncio.create_task(work)
        pause_s = self._look_s
        try:
            while not (await asyncio.wait([running], timeout=pause_s))[0]:
                pause_s = 2 * self._look_s
                data = {"stage": stage, **haul.progress()}
                counter = secrets.randbits(48)
                await self._work.report(command.job, command.attempt, "update", data, counter)
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


def _key(command: Command) -> tuple[JobId, EventId, int]:
    return command.job, command.entry, command.attempt

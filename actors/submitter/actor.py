"""
The submitter of one site: starts what may start, watches what runs, ends what is to end.

It keeps nothing that is not written elsewhere: what was started names itself in its sandbox, and
what must be watched is an awaited command, which comes again after a restart. So a job is found
again whoever died meanwhile, and runs once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from weakref import WeakValueDictionary

import msgspec
import structlog

from actors.batch_systems.base import RunStatus
from actors.operations.work import Assignment, Work
from actors.runtime.failpoints import failpoint
from actors.runtime.secrets import JobSecrets
from actors.runtime.settings import LocalSite
from actors.sites import Site
from actors.submitter.reports import report_of
from actors.submitter.runs import Runs
from actors.submitter.slots import Slots
from actors.transports.base import Delivery, Transport
from schemas.commands import Command
from schemas.errors import JobwireError
from schemas.identifiers import JobId
from schemas.specs import Cause

_log = structlog.get_logger()
_decoder = msgspec.msgpack.Decoder(Command)

#: Commands to the host that run at a time, beside the starts, which the slots bound.
_AT_A_TIME = 16

Run = tuple[JobId, int]
"""A job and an attempt of it."""


class Submitter:
    """Takes the commands of one site."""

    def __init__(
        self,
        *,
        site: Site,
        transport: Transport,
        work: Work,
        secrets: JobSecrets,
        settings: LocalSite,
        url: Callable[[], str],
        clock: Callable[[], datetime],
    ) -> None:
        """Serve a site; jobs report to the service at `url`."""
        self.name = f"submitter.{site.name}"
        self._queue = f"commands.site.{site.name}"
        self._transport = transport
        self._work = work
        self._settings = settings
        self._clock = clock
        self._runs = Runs(
            site=site, work=work, secrets=secrets, settings=settings, url=url, began=clock()
        )
        self._slots = Slots(site.slots)
        self._in_hand: set[Command] = set()
        self._watched: dict[Run, Command] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._locks: WeakValueDictionary[JobId, asyncio.Lock] = WeakValueDictionary()
        self._few = asyncio.Semaphore(_AT_A_TIME)
        self._started = False

    async def start(self) -> None:
        """Begin to take commands; those that are awaited come again."""
        self._started = True
        await self._transport.consume(self._queue, self._put)

    async def stop(self) -> None:
        """Leave everything as it is: what runs, runs on, and is found again."""
        self._started = False
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def missing(self) -> str | None:
        """Name what is missing."""
        return None if self._started else self.name

    async def _put(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            try:
                command = _decoder.decode(delivery.body)
            except msgspec.DecodeError as error:
                _log.error("command_not_read", error=str(error))
                continue
            if command not in self._in_hand:
                self._in_hand.add(command)
                if command.kind != "Cancel" and self._runs.is_from_before(command):
                    self._slots.expect(command)  # it may run already
                self._spawn(self._take(command), command)

    def _spawn(self, doing: Coroutine[None, None, None], command: Command) -> None:
        """Do something as a task of its own; its errors are seen, and the command comes again."""
        task = asyncio.create_task(self._guard(doing, command))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, doing: Coroutine[None, None, None], command: Command) -> None:
        try:
            await doing
        except JobwireError as error:
            _log.warning("command_waits", job_id=command.job, kind=command.kind, error=error.detail)
            self._in_hand.discard(command)
        except Exception:  # noqa: BLE001 - logged; the command is published again
            _log.exception("command_failed", job_id=command.job, kind=command.kind)
            self._in_hand.discard(command)
        finally:
            self._slots.settle(command)
            self._fill()

    async def _take(self, command: Command) -> None:
        if command.kind == "Submit":
            await self._arrive(command)
            return
        run = (command.job, command.attempt)
        async with self._lock(command), self._few:
            if command.kind == "Watch" and run in self._watched:
                self._watched[run] = command
                assignment = None  # the usual case: this process has started it
            else:
                assignment = await self._work.take(command)
            if assignment is not None and command.kind == "Cancel":
                await self._end(assignment)
            elif assignment is not None:
                await self._find_again(assignment)
        self._in_hand.discard(command)

    # --- starting

    async def _arrive(self, command: Command) -> None:
        """Let a command wait for its turn; one that was begun by an earlier process has had it."""
        if await self._runs.has_begun(command):
            self._slots.take(command.cores)
            self._slots.settle(command)
            self._fill()
            await self._submit(command, begun=True)
        else:
            self._slots.wait(command)

    def _fill(self) -> None:
        """Start what may start now."""
        if not self._started:
            return  # stopping: whatever waits comes again after the next start
        for command in self._slots.ready():
            self._spawn(self._submit(command, begun=False), command)

    async def _submit(self, command: Command, *, begun: bool) -> None:
        """Start a job in the slots that were taken for it, and hold them until its end."""
        try:
            async with self._lock(command):
                assignment = await self._work.take(command)
                failpoint("submitter.before_intent")
                if assignment is None or not await self._work.intend(command, "submit"):
                    return
                failpoint("submitter.after_intent")
                status = await self._launch(assignment, begun=begun)
            self._in_hand.discard(command)
            if status is not None:
                await self._watch(assignment, status)
        finally:
            self._in_hand.discard(command)
            self._slots.give_back(command.cores)
            self._fill()

    async def _launch(self, assignment: Assignment, *, begun: bool) -> RunStatus | None:
        """Start an attempt; give its status when it runs, None when it has been reported on."""
        job, spec = assignment.job, assignment.spec
        status = await self._runs.look_up(job, spec) if begun else None
        if status is None or status.state == "absent":
            try:
                status = await self._runs.start(job, spec)
            except JobwireError as error:
                status = await self._runs.resolve(job, spec, error.detail)
        if status.state in ("absent", "burned"):
            status = await self._runs.resolve(job, spec, status.detail)
        if status.state == "running":
            await self._report_running(assignment, status)
            return status
        await self._report_end(assignment, status)
        return None

    # --- watching

    async def _find_again(self, assignment: Assignment) -> None:
        """Look at a job that should run: after a restart, or because nobody reports on it."""
        job, spec, command = assignment.job, assignment.spec, assignment.command
        status = await self._runs.look_up(job, spec)
        if status.state == "running":
            if job.state != "RUNNING":
                await self._report_running(assignment, status)
            self._slots.take(command.cores)
            self._spawn(self._hold(assignment, status), command)
        elif status.state in ("ended", "gone"):
            await self._report_end(assignment, status)
        else:
            await self._doubt(assignment)

    async def _hold(self, assignment: Assignment, status: RunStatus) -> None:
        try:
            await self._watch(assignment, status)
        finally:
            self._slots.give_back(assignment.command.cores)
            self._fill()

    async def _watch(self, assignment: Assignment, status: RunStatus) -> None:
        """Wait for the end of a running attempt and report it."""
        job, spec = assignment.job, assignment.spec
        run = (job.id, job.attempt)
        self._watched[run] = assignment.command
        try:
            while status.state == "running":
                await self._runs.gone(status)
                async with self._lock(assignment.command):
                    status = await self._runs.look_up(job, spec)
                    if status.state in ("ended", "gone"):
                        failpoint("submitter.before_end_reported")
                        await self._report_end(assignment, status)
                        failpoint("submitter.after_end_reported")
                    elif status.state != "running":
                        # Its sandbox is gone. The command that awaits its end says what it is now.
                        now = await self._work.take(self._watched[run])
                        if now is not None:
                            await self._doubt(now)
        finally:
            del self._watched[run]

    async def _doubt(self, assignment: Assignment) -> None:
        """Show a job of which nothing is found as UNKNOWN, and give it up in the end."""
        job, command = assignment.job, assignment.command
        detail = "nothing of it is found at its site: its sandbox is gone"
        unknown_s = (self._clock() - job.updated).total_seconds()
        if job.state != "UNKNOWN":
            await self._work.suspect(job, detail)
            unknown_s = 0.0
        elif unknown_s >= self._settings.lost_after_s:
            await self._work.lose(job, detail)
            return
        self._spawn(self._look_later(command, self._settings.lost_after_s - unknown_s), command)

    async def _look_later(self, command: Command, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if command not in self._in_hand:
            self._in_hand.add(command)
            await self._take(command)

    # --- ending

    async def _end(self, assignment: Assignment) -> None:
        """End a job, and report it when nothing of it is alive; or report how it ended before."""
        status = await self._runs.end(assignment.job, assignment.spec, Cause.CANCELLED)
        if status.state == "running":
            _log.error("not_ended", job_id=assignment.job.id, pid=status.pid)
            return  # it comes again
        if status.state == "ended":
            await self._report_end(assignment, status)
        else:
            cancelled = RunStatus(state="ended", cause=Cause.CANCELLED)
            await self._report_end(assignment, cancelled)

    async def _report_running(self, assignment: Assignment, status: RunStatus) -> None:
        job = assignment.job
        counter = job.suspected if job.state == "UNKNOWN" else 0
        await self._work.report(job.id, job.attempt, "run", {"pid": status.pid}, counter)
        failpoint("submitter.after_run_reported")

    async def _report_end(self, assignment: Assignment, status: RunStatus) -> None:
        job, spec = assignment.job, assignment.spec
        if status.state == "gone":
            await self._runs.end(job, spec, Cause.INTERRUPTED)  # nothing of it may be left
        report = report_of(status, spec)
        counter = job.suspected if job.state == "UNKNOWN" else 0
        await self._work.report(job.id, job.attempt, report.name, report.data, counter)

    def _lock(self, command: Command) -> asyncio.Lock:
        return self._locks.setdefault(command.job, asyncio.Lock())

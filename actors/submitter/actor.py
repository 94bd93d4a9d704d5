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
from actors.submitter.reporter import Reporter
from actors.submitter.runs import Runs
from actors.submitter.slots import Slots
from actors.transports.base import Delivery, Transport
from schemas.commands import Command
from schemas.errors import JobwireError
from schemas.identifiers import JobId
from schemas.specs import Cause

_log = structlog.get_logger()
_decoder = msgspec.msgpack.Decoder(Command)

#: Looks and cancels that run at a time, beside the starts, which the slots bound.
_AT_A_TIME = 64

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
        self._reporter = Reporter(work, self._runs)
        self._slots = Slots(site.slots)
        self._in_hand: set[Command] = set()
        self._watched: set[Run] = set()
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
            if command in self._in_hand or self._is_watched(command):
                continue
            self._in_hand.add(command)
            if command.kind != "Cancel" and self._runs.is_from_before(command):
                self._slots.expect(command)  # it may run already
            self._spawn(self._carry_out(command), command)

    def _carry_out(self, command: Command) -> Coroutine[None, None, None]:
        match command.kind:
            case "Submit":
                return self._arrive(command)
            case "Watch":
                return self._adopt(command)
            case _:
                return self._cancel(command)

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

    def _is_watched(self, command: Command) -> bool:
        """Say whether a command is about a run that this process has started: the usual case."""
        return command.kind == "Watch" and (command.job, command.attempt) in self._watched

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
        run = (command.job, command.attempt)
        try:
            async with self._lock(command):
                assignment = await self._work.take(command)
                self._watched.add(run)
                failpoint("submitter.before_intent")
                if assignment is None or not await self._work.intend(command, "submit"):
                    return
                failpoint("submitter.after_intent")
                status = await self._launch(assignment, begun=begun)
            self._in_hand.discard(command)
            if status is not None:
                await self._watch(assignment, status)
        finally:
            self._watched.discard(run)
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
            await self._reporter.running(assignment, status)
            return status
        await self._reporter.ended(assignment, status)
        return None

    # --- watching

    async def _adopt(self, command: Command) -> None:
        """Find a job again that should run: after a restart, or when nobody reports on it."""
        run = (command.job, command.attempt)
        async with self._lock(command), self._few:
            found = None if run in self._watched else await self._find(command)
            if found is not None:
                self._watched.add(run)
                self._slots.take(command.cores)
        self._in_hand.discard(command)
        self._slots.settle(command)
        self._fill()
        if found is not None:
            await self._hold(command, *found)

    async def _hold(self, command: Command, assignment: Assignment, status: RunStatus) -> None:
        """Watch a run to its end in the slots that were taken for it."""
        try:
            await self._watch(assignment, status)
        finally:
            self._watched.discard((command.job, command.attempt))
            self._slots.give_back(command.cores)
            self._fill()

    async def _find(self, command: Command) -> tuple[Assignment, RunStatus] | None:
        """Look a job up; give what is needed to watch it, None when it does not run."""
        assignment = await self._work.take(command)
        if assignment is None:
            return None
        status = await self._runs.look_up(assignment.job, assignment.spec)
        if status.state != "running":
            await self._report_or_doubt(assignment, status)
            return None
        if assignment.job.state != "RUNNING":
            await self._reporter.running(assignment, status)
        return assignment, status

    async def _watch(self, assignment: Assignment, status: RunStatus) -> None:
        """Wait for the end of a running attempt and report it."""
        while status.state == "running":
            await self._runs.gone(status)
            async with self._lock(assignment.command):
                status = await self._runs.look_up(assignment.job, assignment.spec)
                if status.state != "running":
                    failpoint("submitter.before_end_reported")
                    await self._report_or_doubt(assignment, status)
                    failpoint("submitter.after_end_reported")

    async def _report_or_doubt(self, assignment: Assignment, status: RunStatus) -> None:
        if status.state in ("ended", "gone"):
            await self._reporter.ended(assignment, status)
        else:
            await self._doubt(assignment.command)

    async def _doubt(self, command: Command) -> None:
        """Show a job of which nothing is found as UNKNOWN, and give it up in the end."""
        job = await self._work.job(command)
        awaited = job.command() if job else None
        if job is None or awaited is None or awaited.attempt != command.attempt:
            return  # somebody else has decided about it
        detail = "nothing of it is found at its site: its sandbox is gone"
        unknown_s = (self._clock() - job.updated).total_seconds()
        if job.state != "UNKNOWN":
            await self._work.suspect(job, detail)
            unknown_s = 0.0
        elif unknown_s >= self._settings.lost_after_s:
            await self._work.lose(job, detail)
            return
        self._spawn(self._look_later(awaited, self._settings.lost_after_s - unknown_s), awaited)

    async def _look_later(self, command: Command, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if command not in self._in_hand and not self._is_watched(command):
            self._in_hand.add(command)
            await self._adopt(command)

    # --- ending

    async def _cancel(self, command: Command) -> None:
        async with self._lock(command), self._few:
            assignment = await self._work.take(command)
            if assignment is not None:
                await self._end(assignment)
        self._in_hand.discard(command)

    async def _end(self, assignment: Assignment) -> None:
        """End a job, and report it when nothing of it is alive; or report how it ended before."""
        status = await self._runs.end(assignment.job, assignment.spec, Cause.CANCELLED)
        if status.state == "running":
            _log.error("not_ended", job_id=assignment.job.id, pid=status.pid)
            return  # it comes again
        if status.state == "ended":
            await self._reporter.ended(assignment, status)
        else:
            cancelled = RunStatus(state="ended", cause=Cause.CANCELLED)
            await self._reporter.ended(assignment, cancelled)

    def _lock(self, command: Command) -> asyncio.Lock:
        return self._locks.setdefault(command.job, asyncio.Lock())

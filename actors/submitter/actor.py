"""
The submitter of one site: starts what may start, watches what runs, ends what is to end.

It keeps nothing that is not written elsewhere: what was started names itself in its sandbox, and
what must be watched is an awaited command, which comes again after a restart. So a job is found
again whatever process died meanwhile, and runs once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime

import structlog

from jobwire.actors.batch_systems.base import ALIVE, RunStatus
from jobwire.actors.runtime.backoff import Backoff
from jobwire.actors.runtime.periodic import Periodic
from jobwire.actors.runtime.secrets import JobSecrets
from jobwire.actors.runtime.tasks import Loop
from jobwire.actors.sites import Site
from jobwire.actors.submitter.end_report import never_starts
from jobwire.actors.submitter.launcher import Launcher
from jobwire.actors.submitter.run_reporter import RunReporter
from jobwire.actors.submitter.runs import Runs
from jobwire.actors.submitter.sandbox_root import SandboxRoot
from jobwire.actors.submitter.slots import Slots
from jobwire.actors.submitter.watcher import Watcher, run_of
from jobwire.actors.transports.base import Transport
from jobwire.actors.workers.command_consumer import CommandConsumer
from jobwire.actors.workers.gateway import Assignment, WorkerGateway
from jobwire.actors.workers.in_hand import InHand
from jobwire.schemas.addresses import site_queue
from jobwire.schemas.commands import Command
from jobwire.schemas.errors import JobwireError
from jobwire.schemas.specs import Cause

_log = structlog.get_logger()

#: Runs that are looked for at a time.
_AT_A_TIME = 64
#: How long a start waits for a host: where all is in one process, and where a role has its own.
_OPEN_S, _OPEN_ALONE_S = 0.2, 3.0
#: First and longest pause before a site that could not be taken is tried again.
_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
#: Pause between two looks at who waits for cores, and before a look that failed is repeated.
_LOOK_S = 1.0


class Submitter:
    """Takes the commands of one site."""

    def __init__(
        self,
        *,
        site: Site,
        transport: Transport,
        gateway: WorkerGateway,
        secrets: JobSecrets,
        clock: Callable[[], datetime],
        root: SandboxRoot | None = None,
    ) -> None:
        """Serve a site; where other processes may serve it too, check `root` first."""
        self.name = f"submitter.{site.name}"
        self._site = site
        self._root = root
        self._commands = CommandConsumer(transport, gateway, site_queue(site.name))
        self._gateway = gateway
        self._in_hand = InHand()
        self._runs = Runs(site=site, gateway=gateway, secrets=secrets, began=clock())
        self._reporter = RunReporter(gateway, self._runs)
        self._watcher = Watcher(
            runs=self._runs,
            gateway=gateway,
            reporter=self._reporter,
            lost_after_s=site.settings.lost_after_s,
            clock=clock,
            lock=self._in_hand.lock,
            look_again=self._look_again,
        )
        self._launcher = Launcher(
            runs=self._runs,
            gateway=gateway,
            reporter=self._reporter,
            watched=self._watcher.watched,
            lock=self._in_hand.lock,
        )
        self._clock = clock
        self._slots = Slots(site.slots)
        self._turns = Periodic(f"{self.name}.turns", self._check_turns, _LOOK_S, pauses_first=True)
        self._opening = Loop(f"{self.name}.opening", self._take_commands_later)
        self._tasks: set[asyncio.Task[None]] = set()
        self._few = asyncio.Semaphore(_AT_A_TIME)
        self._started = False
        self._trouble: str | None = None

    async def start(self) -> None:
        """
        Take what an earlier process has left, then what comes.

        Where the host is away, its commands wait for it, and nothing else does.
        """
        self._started = True
        self._turns.start()
        self._runs.start_polling()
        try:
            async with asyncio.timeout(_OPEN_S if self._root is None else _OPEN_ALONE_S):
                await self._site.opened()
        except TimeoutError:
            self._opening.start()
        else:
            await self._take_commands()

    async def _take_commands_later(self) -> None:
        """Take commands as soon as the host is there; until then readiness says what is wrong."""
        backoff = Backoff(_PAUSE_S, _LONGEST_PAUSE_S)
        while not self._commands.is_open:
            await self._site.opened()
            try:
                await self._take_commands()
            except JobwireError as error:
                self._trouble = error.detail
                _log.warning("site_not_taken", site=self._site.name, error=error.detail)
                await asyncio.sleep(backoff.next_s())

    async def _take_commands(self) -> None:
        if self._root is not None:
            await self._root.check()
        await self._commands.open(self._accept)
        self._trouble = None

    async def stop(self) -> None:
        """Leave everything as it is: what runs, runs on, and is found again."""
        self._started = False
        await self._opening.stop()
        await self._commands.close()
        await self._turns.stop()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._runs.stop_polling()

    def not_ready(self) -> str | None:
        """Name what is missing; a host that is away keeps nobody but its own jobs waiting."""
        if self._commands.is_open or not self._site.is_open:
            return None
        return f"{self.name}: {self._trouble}" if self._trouble else self.name

    def _accept(self, command: Command) -> None:
        """Take a command into hand; one that comes when the process stops is published again."""
        if not self._started or self._is_watched(command) or not self._in_hand.add(command):
            return
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
        """Return whether a command is about a run that this process has started: the usual case."""
        return command.kind == "Watch" and run_of(command) in self._watcher.watched

    # --- starting

    async def _arrive(self, command: Command) -> None:
        """Let a command wait for its turn; one that was begun by an earlier process has had it."""
        if await self._runs.has_begun(command):
            self._slots.take(command.cores)
            self._slots.settle(command)
            self._fill()
            await self._submit(command, begun=True)
        elif (never := never_starts(command, self._site.slots, self._clock())) is not None:
            await self._refuse(command, never)
        else:
            self._slots.wait(command)

    async def _refuse(self, command: Command, why: RunStatus) -> None:
        """Fail a job that would wait for ever, or has waited for too long."""
        async with self._in_hand.lock(command):
            assignment = await self._gateway.assignment(command)
            if assignment is not None:
                await self._reporter.ended(assignment, why)
        self._in_hand.discard(command)

    async def _check_turns(self) -> None:
        """Let nobody wait behind a job that was cancelled or held, and nobody for too long."""
        for late in self._slots.late(self._clock()):
            self._spawn(self._arrive(late), late)
        while (head := self._slots.blocked()) and not await self._gateway.is_awaited(head):
            self._slots.withdraw(head)
            self._in_hand.discard(head)
        self._fill()

    def _fill(self) -> None:
        """Start what may start now."""
        if not self._started:
            return  # stopping: whatever waits comes again after the next start
        for command in self._slots.ready():
            self._spawn(self._submit(command, begun=False), command)

    async def _submit(self, command: Command, *, begun: bool) -> None:
        """Start a job in the slots that were taken for it, and hold them until its end."""
        found = None
        try:
            found = await self._launcher.begin(command, begun=begun)
        finally:
            self._in_hand.discard(command)
            if found is None:
                self._slots.give_back(command.cores)
                self._fill()
        if found is not None:
            await self._hold(command, *found)

    # --- watching

    async def _adopt(self, command: Command) -> None:
        """Find a job again that should run: after a restart, or when nobody reports on it."""
        run, watched = run_of(command), self._watcher.watched
        async with self._in_hand.lock(command), self._few:
            found = None if run in watched else await self._watcher.find(command)
            if found is not None:
                watched.add(run)
                self._slots.take(command.cores)
        self._in_hand.discard(command)
        self._slots.settle(command)
        self._fill()
        if found is not None:
            await self._hold(command, *found)

    async def _hold(self, command: Command, assignment: Assignment, status: RunStatus) -> None:
        """Watch a run to its end in the slots that were taken for it."""
        try:
            await self._watcher.watch(assignment, status)
        finally:
            self._watcher.watched.discard(run_of(command))
            self._slots.give_back(command.cores)
            self._fill()

    def _look_again(self, command: Command, seconds: float) -> None:
        self._spawn(self._look_later(command, seconds), command)

    async def _look_later(self, command: Command, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if not self._is_watched(command) and self._in_hand.add(command):
            await self._adopt(command)

    # --- ending

    async def _cancel(self, command: Command) -> None:
        async with self._in_hand.lock(command):
            assignment = await self._gateway.assignment(command)
            if assignment is not None:
                await self._end(assignment)
        self._in_hand.discard(command)

    async def _end(self, assignment: Assignment) -> None:
        """End a job, and report it when nothing of it is alive; or report how it ended before."""
        status = await self._runs.end(assignment.job, assignment.spec, Cause.CANCELLED)
        if status.state in ALIVE:
            _log.error("not_ended", job_id=assignment.job.id, pid=status.pid)
            return  # it comes again
        if status.state != "ended":
            status = RunStatus(state="ended", cause=Cause.CANCELLED)
        await self._reporter.ended(assignment, status)
        # Its watcher would report the same end once more.
        self._watcher.watched.discard(run_of(assignment.command))

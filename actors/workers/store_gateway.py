"""The gateway of workers that reach the store and the bus themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import datetime, timedelta
from hashlib import blake2b

import msgspec
import structlog

from jobwire.actors.messaging.poster import EventPoster
from jobwire.actors.messaging.signed_event import signed_event
from jobwire.actors.stores.base import OutstandingJob, Store
from jobwire.actors.workers.gateway import Assignment
from jobwire.schemas.commands import Command
from jobwire.schemas.errors import Unavailable
from jobwire.schemas.events import Event
from jobwire.schemas.identifiers import RESERVED_ID, EventId, JobId
from jobwire.schemas.jobs import LONGEST_REPUBLISH_S, Job, JobCreation
from jobwire.schemas.lifecycle import Role
from jobwire.schemas.reports import Lost, Report, Suspected
from jobwire.schemas.specs import Spec
from jobwire.schemas.tokens import Keyring, mint_token

_log = structlog.get_logger()

#: How long an intent waits for its outcome before it is sent again.
_OUTCOME_S = 5.0
#: First and longest pause before a report is sent again.
_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
#: Jobs of one look.
_PAGE = 500
#: Why a job is given up of which nothing is known.
_LOST = "lost"
#: A report that says no more than its event.
_NOTHING = b"{}"


class StoreWorkerGateway:
    """Reads jobs from the store, and posts reports as events."""

    def __init__(
        self, *, store: Store, events: EventPoster, keyring: Keyring, clock: Callable[[], datetime]
    ) -> None:
        """Read jobs from `store`; post through `events`, as everybody does."""
        self._store = store
        self._events = events
        self._keyring = keyring
        self._clock = clock

    async def assignment(self, command: Command) -> Assignment | None:
        """Read the job of a command; see `WorkerGateway.assignment`."""
        job = await self._store.get(command.owner, command.job)
        if job is None or not job.awaits(command) or job.outstanding is None:
            return None
        if job.outstanding.since > self._clock():
            return None
        spec = await self._spec(job)
        return Assignment(command, job, spec) if spec is not None else None

    async def recall(self, queue: str) -> AsyncGenerator[Command, None]:
        """Yield the commands of a queue that are awaited now; see `WorkerGateway.recall`."""
        async for command in self._awaited(queue, lambda kind: kind == "Watch"):
            yield command
        async for command in self._awaited(queue, lambda kind: kind != "Watch"):
            yield command

    async def _awaited(
        self, queue: str, is_meant: Callable[[str], bool]
    ) -> AsyncGenerator[Command, None]:
        now = self._clock()
        # A command that was published often is due again only much later.
        until = now + timedelta(seconds=LONGEST_REPUBLISH_S)
        after: OutstandingJob | None = None
        while True:
            page = await self._store.outstanding(until, after, _PAGE)
            for each in page:
                command = each.job.command()
                if command is None or command.queue != queue or not is_meant(command.kind):
                    continue
                if command.since is not None and command.since <= now:
                    yield command
            if len(page) < _PAGE:
                return
            after = page[-1]

    async def _spec(self, job: Job) -> Spec | None:
        """Return what a job was asked to be; None: it runs elsewhere."""
        entry = await self._store.entry(job.owner, job.id, job.born)
        creation = entry.change.creation if entry else None
        return creation.spec if isinstance(creation, JobCreation) else None

    async def job(self, command: Command) -> Job | None:
        """Read the job of a command as it is now."""
        return await self._store.get(command.owner, command.job)

    async def suspected_at(self, job: Job) -> datetime:
        """Return the moment from which on nothing has been known of a job."""
        entry = await self._store.entry(job.owner, job.id, job.suspected)
        return entry.received if entry else job.updated

    async def is_awaited(self, command: Command) -> bool:
        """Return whether a command is awaited still; a long piece of work asks now and then."""
        job = await self._store.get(command.owner, command.job)
        return job is not None and job.awaits(command)

    async def intend(self, command: Command, report: Report) -> bool:
        """Announce a step and wait until that is settled; see `WorkerGateway.intend`."""
        # The entry that caused the command is part of the id: an announcement that a hold kept
        # back must not answer for the one that follows the release.
        cause = blake2b(command.entry.encode(), digest_size=6).hexdigest()
        event = self._event(command.job, command.attempt, report, cause)
        while True:
            try:
                outcome = await self._events.post(event, _OUTCOME_S)
            except Unavailable:
                await asyncio.sleep(_PAUSE_S)
                continue
            if outcome is None:
                continue
            awaited = outcome.outstanding
            return (
                outcome.verdict == "applied"
                and awaited is not None
                and (awaited.entry, awaited.attempt) == (command.entry, command.attempt)
            )

    async def report(self, job: JobId, attempt: int, report: Report, counter: int = 0) -> None:
        """Report what happened; see `WorkerGateway.report`."""
        await self._post(self._event(job, attempt, report, counter))

    async def suspect(self, job: Job, detail: str) -> None:
        """Report that nothing is known of a job that should be there; it shows as UNKNOWN."""
        await self._post(self._doubt(job, Suspected(cause=_LOST, detail=detail)))

    async def lose(self, job: Job, detail: str) -> None:
        """Give a job up whose fate cannot be found out."""
        await self._post(self._doubt(job, Lost(cause=_LOST, detail=detail)))

    def token(self, job: Job) -> str:
        """Return the job's own token, for the job itself."""
        return mint_token(self._keyring, job.id, job.generation)

    async def _post(self, event: Event) -> None:
        pause = _PAUSE_S
        while True:
            try:
                await self._events.post(event)
            except Unavailable as error:
                _log.warning("report_waits", job_id=event.job, name=event.name, error=error.detail)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)
            else:
                return

    def _event(self, job: JobId, attempt: int, report: Report, counter: int | str) -> Event:
        event_id = EventId(f"{RESERVED_ID}a{attempt}.{report.event}.{counter}")
        return self._signed(job, event_id, report, "worker", attempt=attempt)

    def _doubt(self, job: Job, report: Suspected | Lost) -> Event:
        event_id = EventId(f"{RESERVED_ID}{report.event}.{job.seq}")
        return self._signed(job.id, event_id, report, "reaper", expects=job.seq)

    def _signed(
        self,
        job: JobId,
        event_id: EventId,
        report: Report,
        role: Role,
        *,
        attempt: int | None = None,
        expects: int | None = None,
    ) -> Event:
        encoded = msgspec.json.encode(report)
        return signed_event(
            self._keyring,
            role,
            job=job,
            event_id=event_id,
            name=report.event,
            received=self._clock(),
            data=encoded if encoded != _NOTHING else None,
            attempt=attempt,
            expects=expects,
        )

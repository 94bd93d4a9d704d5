"""
What a worker may ask: is this command still awaited, and may I report that.

A worker answers a command only with events. The id of each is made of the attempt, the event and a
counter, so that a command that is carried out twice, by whomever, reports the same event once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
import structlog

from jobwire.actors.messaging.poster import EventPoster
from jobwire.actors.messaging.signed_event import signed_event
from jobwire.actors.stores.base import OutstandingJob, Store
from jobwire.schemas.commands import Command
from jobwire.schemas.errors import Unavailable
from jobwire.schemas.events import Event
from jobwire.schemas.identifiers import RESERVED_ID, EventId, JobId
from jobwire.schemas.jobs import LONGEST_REPUBLISH_S, Job, JobCreation
from jobwire.schemas.lifecycle import Role
from jobwire.schemas.specs import Spec
from jobwire.schemas.tokens import Keyring, mint_token

_log = structlog.get_logger()

#: How long an intent waits for its outcome before it is sent again.
_OUTCOME_S = 5.0
#: First and longest pause before a report is sent again.
_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
#: Jobs of one look.
_PAGE = 500


class Assignment(NamedTuple):
    """A command that is awaited, the job as it was read, and what the job is asked to be."""

    command: Command
    job: Job
    spec: Spec


class WorkerGateway:
    """Serves the workers of one process."""

    def __init__(
        self, *, store: Store, events: EventPoster, keyring: Keyring, clock: Callable[[], datetime]
    ) -> None:
        """Read jobs from a store; report through the same door as everybody."""
        self._store = store
        self._events = events
        self._keyring = keyring
        self._clock = clock

    async def take(self, command: Command) -> Assignment | None:
        """Read the job of a command; None: the command is not awaited, or not yet, so drop it."""
        job = await self._store.get(command.owner, command.job)
        if job is None or not job.awaits(command) or job.outstanding is None:
            return None
        if job.outstanding.since > self._clock():
            return None
        spec = await self.spec(job)
        return Assignment(command, job, spec) if spec is not None else None

    async def recall(self, queue: str) -> AsyncGenerator[Command, None]:
        """
        Yield the commands of a queue that are awaited now: what an earlier process had taken.

        What runs comes first, so that it is found again before anything starts in its place.
        """
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

    async def spec(self, job: Job) -> Spec | None:
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

    async def intend(self, command: Command, name: str) -> bool:
        """
        Announce a step and wait until that is settled.

        Returns:
            Whether the step may be done: the announcement stands, and this very command is
            awaited still. If not, something else was decided meanwhile.

        """
        # The entry that caused the command is part of the id: an announcement that a hold kept
        # back must not answer for the one that follows the release.
        cause = blake2b(command.entry.encode(), digest_size=6).hexdigest()
        event = self._event(command.job, command.attempt, name, cause, {})
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

    async def report(
        self, job: JobId, attempt: int, name: str, data: dict[str, Any], counter: int = 0
    ) -> None:
        """
        Report what happened; return when it is safe, however long that takes.

        Args:
            job: whose it is.
            attempt: the attempt that it happened to.
            name: the event.
            data: what to say of it; the same for every repetition of the same report.
            counter: tells reports of the same name apart; in an answer to `suspect` its seq.

        """
        await self._post(self._event(job, attempt, name, counter, data))

    async def suspect(self, job: Job, detail: str) -> None:
        """Say that nothing is known of a job that should be there; it shows as UNKNOWN."""
        await self._post(self._mark_unknown(job, "suspect", detail))

    async def lose(self, job: Job, detail: str) -> None:
        """Give a job up whose fate cannot be found out."""
        await self._post(self._mark_unknown(job, "lose", detail))

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

    def _event(
        self, job: JobId, attempt: int, name: str, counter: int | str, data: dict[str, Any]
    ) -> Event:
        event_id = EventId(f"{RESERVED_ID}a{attempt}.{name}.{counter}")
        return self._signed(job, event_id, name, data, "worker", attempt=attempt)

    def _mark_unknown(self, job: Job, name: str, detail: str) -> Event:
        event_id = EventId(f"{RESERVED_ID}{name}.{job.seq}")
        data = {"cause": "lost", "detail": detail}
        return self._signed(job.id, event_id, name, data, "reaper", expects=job.seq)

    def _signed(
        self,
        job: JobId,
        event_id: EventId,
        name: str,
        data: dict[str, Any],
        role: Role,
        *,
        attempt: int | None = None,
        expects: int | None = None,
    ) -> Event:
        return signed_event(
            self._keyring,
            role,
            job=job,
            event_id=event_id,
            name=name,
            received=self._clock(),
            data=msgspec.json.encode(data) if data else None,
            attempt=attempt,
            expects=expects,
        )

"""What a client may ask about events: post one, post many, wait for the outcome."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from msgspec import structs

from jobwire.actors.messaging.packer import Packer
from jobwire.actors.messaging.replies import PendingOutcome, ReplyInbox
from jobwire.actors.runtime.failpoints import failpoint
from jobwire.schemas.codec import canonical
from jobwire.schemas.errors import Forbidden, Invalid, JobwireError, TooLarge, Unauthorized
from jobwire.schemas.events import Event, SignedAuthority, TokenAuthority, payload_digest
from jobwire.schemas.identifiers import EventId, JobId, shard_of
from jobwire.schemas.jobs import JobCreation
from jobwire.schemas.lifecycle import CREATE, DELETE, ROTATE
from jobwire.schemas.outcomes import Outcome
from jobwire.schemas.principals import Principal, Scope
from jobwire.schemas.tokens import Keyring, sign

#: Events that make, delete or change a record need the right to do that, however they arrive.
_OF_THE_RECORD = (CREATE, DELETE, ROTATE)


#: Years of the time that a sender may name: all that a packet can carry in any time zone.
_FIRST_YEAR, _LAST_YEAR = 1970, 9998


class Posted(NamedTuple):
    """
    What became of one event of many.

    Stored (with its outcome, where it was waited for), or an error.
    """

    error: JobwireError | None
    outcome: Outcome | None


class Events:
    """Takes events in."""

    def __init__(
        self,
        *,
        packer: Packer,
        replies: ReplyInbox,
        keyring: Keyring,
        clock: Callable[[], datetime],
        shards: int,
        data_bytes: int,
    ) -> None:
        """Send through a packer; check tokens with a keyring; bound `data` to `data_bytes`."""
        self._packer = packer
        self._replies = replies
        self._keyring = keyring
        self._clock = clock
        self._shards = shards
        self._data_bytes = data_bytes

    def now(self) -> datetime:
        """Tell the time that events are stamped with."""
        return self._clock()

    def build(
        self,
        *,
        job: JobId,
        name: str,
        token: str | None = None,
        principal: Principal | None = None,
        data: bytes | None = None,
        event_id: str | None = None,
        occurred: datetime | None = None,
        source: str | None = None,
        attempt: int | None = None,
        creation: JobCreation | None = None,
    ) -> Event:
        """
        Make an event of what a client sent; the job's token is checked here, by arithmetic only.

        One that names an `attempt` counts only while that is the job's newest one.

        Raises:
            Unauthorized: neither a genuine token of this job nor an API key.
            Forbidden: the API key may not send events.
            Invalid: the time it occurred at lies outside of the years 1970 to 9998.
            TooLarge: `data` is over its limit.

        """
        if data is not None and len(data) > self._data_bytes:
            detail = f"data has {len(data)} bytes, more than {self._data_bytes}"
            raise TooLarge(detail, pointer="/data", limit=self._data_bytes)
        identifier = EventId(event_id or secrets.token_hex(16))
        return Event(
            id=identifier,
            job=job,
            name=name,
            authority=self._authority(job, name, identifier, token, principal, attempt),
            received=self._clock(),
            digest=payload_digest(name, canonical(data) if data else b""),
            data=data,
            occurred=None if occurred is None else _storable(occurred),
            source=source,
            creation=creation,
        )

    def _authority(
        self,
        job: JobId,
        name: str,
        event: EventId,
        token: str | None,
        principal: Principal | None,
        attempt: int | None,
    ) -> TokenAuthority | SignedAuthority:
        if token is not None:
            if self._keyring.generation(job, token) is None:
                raise Unauthorized("the token is not one of this job", code="wrong_token")
            return TokenAuthority(token, attempt)
        if principal is None:
            raise Unauthorized(
                "an event needs the job's token, as `token` "
                "or as Authorization: Bearer, or an API key",
                code="token_missing",
            )
        scope: Scope = "jobs" if name in _OF_THE_RECORD else "events"
        if scope not in principal.scopes:
            raise Forbidden(f"this API key lacks the scope {scope!r}", code="scope_missing")
        return sign(self._keyring, job, event, "caller", principal.name, attempt=attempt)

    async def post(self, event: Event, wait_s: float | None = None) -> Outcome | None:
        """
        Return when the event is safe; with `wait_s`, when its outcome is known.

        The time that it takes until the event is safe is part of the wait.

        Returns:
            The outcome; None when none was waited for, or none came in time.

        Raises:
            InDoubt: it may be stored or not; the same id makes a repetition harmless.
            Unavailable: it was not taken.

        """
        if wait_s is None:
            await self._packer.put(shard_of(event.job, self._shards), event)
            failpoint("gateway.before_answer")
            return None
        reply = self._replies.expect()
        until = asyncio.get_running_loop().time() + wait_s
        try:
            event = structs.replace(event, reply=reply.address)
            await self._packer.put(shard_of(event.job, self._shards), event)
            failpoint("gateway.before_answer")
            async with asyncio.timeout_at(until):
                return await reply.outcome
        except TimeoutError:
            return None
        finally:
            self._replies.forget(reply)

    async def post_many(self, events: Sequence[Event], wait_s: float | None = None) -> list[Posted]:
        """
        Post events in their order; give what became of each.

        After an event that could not be stored, later ones of the same job are not sent.
        """
        if wait_s is None:
            errors = await self._put_by_shard(events)
            failpoint("gateway.before_answer")
            return [Posted(error, None) for error in errors]
        replies = [self._replies.expect() for _ in events]
        try:
            return await self._post_and_wait(events, replies, wait_s)
        finally:
            for reply in replies:
                self._replies.forget(reply)

    async def _post_and_wait(
        self, events: Sequence[Event], replies: Sequence[PendingOutcome], wait_s: float
    ) -> list[Posted]:
        until = asyncio.get_running_loop().time() + wait_s
        awaited = [
            structs.replace(event, reply=reply.address)
            for event, reply in zip(events, replies, strict=True)
        ]
        errors = await self._put_by_shard(awaited)
        failpoint("gateway.before_answer")
        outcomes = [reply.outcome for reply in replies]
        pending = [each for each, error in zip(outcomes, errors, strict=True) if error is None]
        if pending:
            left_s = max(0.0, until - asyncio.get_running_loop().time())
            await asyncio.wait(pending, timeout=left_s)
        return [
            Posted(error, each.result() if each.done() else None)
            for error, each in zip(errors, outcomes, strict=True)
        ]

    async def _put_by_shard(self, events: Sequence[Event]) -> list[JobwireError | None]:
        lanes: dict[int, list[int]] = {}
        for index, event in enumerate(events):
            lanes.setdefault(shard_of(event.job, self._shards), []).append(index)
        results = await asyncio.gather(
            *(
                self._packer.put_many(shard, [events[index] for index in lane])
                for shard, lane in lanes.items()
            )
        )
        errors: list[JobwireError | None] = [None] * len(events)
        for lane, result in zip(lanes.values(), results, strict=True):
            for index, error in zip(lane, result, strict=True):
                errors[index] = error
        return errors


def _storable(moment: datetime) -> datetime:
    """Return a moment in UTC; packets carry no moment from the very ends of the calendar."""
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        detail = f"the time of an event lies in the years {_FIRST_YEAR} to {_LAST_YEAR}"
        raise Invalid(detail, pointer="/time")
    return moment.astimezone(UTC)

"""What a client may ask about events: build one of what it sent, post it, wait for its outcome."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime

from jobwire.actors.messaging.packer import Packer
from jobwire.actors.messaging.poster import EventPoster, Posted
from jobwire.actors.messaging.replies import ReplyInbox
from jobwire.schemas.codec import canonical
from jobwire.schemas.errors import Forbidden, Invalid, TooLarge, Unauthorized
from jobwire.schemas.events import Event, SignedAuthority, TokenAuthority, payload_digest
from jobwire.schemas.identifiers import EventId, JobId
from jobwire.schemas.jobs import JobCreation
from jobwire.schemas.lifecycle import CREATE, DELETE, ROTATE
from jobwire.schemas.principals import Principal, Scope
from jobwire.schemas.tokens import Keyring, sign

__all__ = ["Events", "Posted"]

#: Events that make, delete or change a record need the right to do that, however they arrive.
_OF_THE_RECORD = (CREATE, DELETE, ROTATE)

#: Years of the time that a sender may name: all that a packet can carry in any time zone.
_FIRST_YEAR, _LAST_YEAR = 1970, 9998


class Events(EventPoster):
    """Builds events of clients, and posts them."""

    def __init__(
        self,
        *,
        packer: Packer,
        replies: ReplyInbox,
        keyring: Keyring,
        clock: Callable[[], datetime],
        data_bytes: int,
    ) -> None:
        """Send through a packer; check tokens with a keyring; bound `data` to `data_bytes`."""
        super().__init__(packer, replies)
        self._keyring = keyring
        self._clock = clock
        self._data_bytes = data_bytes

    def now(self) -> datetime:
        """Return the time that events are stamped with."""
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
        Build an event of what a client sent; the job's token is checked here, by arithmetic only.

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
                raise Unauthorized("the token does not belong to this job", code="wrong_token")
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


def _storable(moment: datetime) -> datetime:
    """Return a moment in UTC; packets carry no moment from the very ends of the calendar."""
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        detail = f"the time of an event must be in the years {_FIRST_YEAR} to {_LAST_YEAR}"
        raise Invalid(detail, pointer="/time")
    return moment.astimezone(UTC)

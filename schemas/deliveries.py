"""
Deliveries: the callbacks of a job, the messages to them, and every try to send one.

The form of a message is that of Standard Webhooks: an id that stays the same with every try, a
time stamp of the try, and a signature over both and the body.
"""

from __future__ import annotations

import re
from base64 import b64decode
from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct
from msgspec.structs import replace

from jobwire.schemas.errors import Invalid
from jobwire.schemas.identifiers import EventId, JobId, Name
from jobwire.schemas.lifecycle import JobOutcome, Word

DeliveryStatus = Literal["pending", "delivered", "gave_up"]

GaveUp = Literal["tries_ended", "disabled", "gone", "unsubscribed", "overtaken"]
"""
Why there is no further try: the schedule has ended; the receiver failed for so long that it gets
none any more; it said that this address is gone for good; nobody knows its secret any more; or,
where order counts, it was told of something later meanwhile.
"""

#: Head of the ids of subscriptions: a message without it holds nothing that is to be told.
SUBSCRIPTION_HEAD = "sub_"
#: Head of the secrets that sign.
SECRET_HEAD = "whsec_"  # noqa: S105 - not a secret, the head of all
#: Most tries that a delivery remembers, the newest.
MOST_ATTEMPTS = 50

#: Parameters of an address that open something at the receiver's.
_OPENING = re.compile(
    r"([?&](?:x-nonce|nonce|token|access_token|key|api_key|apikey|secret|signature|sig)=)[^&#]+",
    re.IGNORECASE,
)

#: Bytes that a secret may have.
_LEAST_SECRET, _MOST_SECRET = 24, 64


class Callback(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A receiver, and what it is notified of; without a filter: of every change of state."""

    url: Annotated[str, Meta(min_length=1, max_length=2048)]
    states: Annotated[tuple[Word, ...], Meta(max_length=100)] = ()
    """Notify when the job enters one of these states."""
    outcomes: Annotated[tuple[JobOutcome, ...], Meta(max_length=4)] = ()
    """Notify when the job reaches one of these outcomes."""
    events: Annotated[tuple[Name, ...], Meta(max_length=100)] = ()
    """Notify when one of these events is applied, whether it changes the state or not."""
    secret: Annotated[str, Meta(max_length=200)] | None = None
    """The signing key: `whsec_` and 24 to 64 bytes in base-64; default: the service makes one."""


class Interest(Struct, frozen=True, array_like=True):
    """What one subscription of a job is notified of: all that the state manager must know."""

    subscription: str
    states: tuple[str, ...] = ()
    outcomes: tuple[JobOutcome, ...] = ()
    events: tuple[str, ...] = ()

    def wants(self, name: str, *, entered: str | None, outcome: JobOutcome | None) -> bool:
        """
        Return whether an applied event is to be told.

        Args:
            name: the event.
            entered: the state that it led to, None when it changed none.
            outcome: the outcome of that state.

        """
        if name in self.events:
            return True
        if entered is None:
            return False
        if not (self.states or self.outcomes or self.events):
            return True
        return entered in self.states or outcome in self.outcomes


class Subscription(Struct, frozen=True, kw_only=True):
    """One callback of one job as it is stored; its secret signs and is not shown again."""

    id: str
    owner: str
    job: JobId
    url: str
    secret: str
    interest: Interest
    created: datetime
    made: bool = False
    """Whether the service generated its secret; else the creator of the callback gave it."""
    authorization: str = ""
    """Sent with every try, and shown nowhere; empty: none."""


class Attempt(Struct, frozen=True, array_like=True):
    """One try to deliver."""

    at: datetime
    duration_s: float
    status: int | None
    """The HTTP status of the answer; None: there was none."""
    error: str | None
    """Why it did not count as delivered."""


class Delivery(Struct, frozen=True, kw_only=True, array_like=True):
    """One message for one subscription, and what became of it."""

    id: str
    """The same for every try and after every crash; receivers recognize repetitions by it."""
    owner: str
    job: JobId
    seq: int
    """Of the entry that it is about."""
    event: str
    state: str
    subscription: str
    url: str
    endpoint: str
    """Owner and origin of the address: deliveries to one endpoint wait for each other only."""
    body: bytes
    created: datetime
    status: DeliveryStatus
    next_at: datetime | None
    """When the next try is due; None: there will be none unless somebody asks for it."""
    tries: int = 0
    """How often it was tried since it was made, or since somebody asked for it again."""
    attempts: tuple[Attempt, ...] = ()
    gave_up: GaveUp | None = None
    by_hand: bool = False
    """Somebody asked for it again: it is tried at a disabled receiver too."""
    asked: int = 0
    """How often somebody asked for it again: what was begun before does not end what came since."""
    method: str = "POST"
    headers: tuple[tuple[str, str], ...] = ()
    """Sent beside those that every callback has; one of the same name replaces it."""
    signer: str = ""
    """Whose `Authorization` every try carries; empty: nobody's."""
    in_order: bool = False
    """Whether it waits for those before it, of its subscription, unless their next try is far."""
    lenient: bool = False
    """Whether every answer counts as taken that does not ask for another try."""

    @property
    def is_worth_another_try(self) -> bool:
        """Whether sending it again is of use: not if a later message was delivered."""
        return self.gave_up != "overtaken"

    def asked_again(self, now: datetime) -> Delivery:
        """Return it as it is when somebody asks for it again: due now, with its schedule anew."""
        return replace(
            self,
            status="pending",
            next_at=now,
            tries=0,
            gave_up=None,
            by_hand=True,
            asked=self.asked + 1,
        )

    def onto(self, stored: Delivery) -> Delivery:
        """Return what is to be stored when this is what became of a try and `stored` is there."""
        if stored.asked <= self.asked:
            return self
        return replace(stored, attempts=self.attempts)

    def after(self, attempt: Attempt) -> Delivery:
        """Return it with one more try; what follows of that is to be said yet."""
        attempts = (*self.attempts, attempt)[-MOST_ATTEMPTS:]
        return replace(self, tries=self.tries + 1, attempts=attempts)

    def ended_at(self) -> datetime | None:
        """Return the moment since which nothing is to be done; None: a try is to come."""
        if self.next_at is not None:
            return None
        return self.attempts[-1].at if self.attempts else self.created


class WebhookData(Struct, frozen=True, kw_only=True):
    """The content of a message: enough to need no further request."""

    job: JobId
    name: str | None
    tags: tuple[str, ...]
    lifecycle: str
    event: str
    event_id: EventId
    seq: int
    """Grows by one with each entry of a job; drop the message if a higher one was seen."""
    state: str
    """The state after the event."""
    outcome: JobOutcome | None
    attempt: int
    cause: str | None
    """Why it did not succeed."""
    exit_code: int | None
    signal: str | None
    detail: str | None
    data: Raw
    """What came with the event."""
    source: str | None
    occurred: datetime | None
    """The sender's own time stamp."""


class WebhookMessage(Struct, frozen=True, kw_only=True):
    """The body of a callback, in the form of Standard Webhooks."""

    type: str
    """`job.` and the name of the event."""
    timestamp: datetime
    """When the service received the event."""
    data: WebhookData


def shown_url(url: str) -> str:
    """Return an address as readers of the job may see it: without credentials."""
    return _OPENING.sub(r"\1[redacted]", url)


def check_secret(secret: str, pointer: str) -> str:
    """
    Return a secret back that can sign.

    Raises:
        Invalid: it is not `whsec_` and 24 to 64 bytes in base-64.

    """
    try:
        key = b64decode(secret.removeprefix(SECRET_HEAD), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith(SECRET_HEAD) or not _LEAST_SECRET <= len(key) <= _MOST_SECRET:
        detail = (
            f"a secret is {SECRET_HEAD} and {_LEAST_SECRET} to {_MOST_SECRET} bytes in base-64; "
            "omit it, and the service makes one"
        )
        raise Invalid(detail, pointer=pointer, code="bad_secret")
    return secret

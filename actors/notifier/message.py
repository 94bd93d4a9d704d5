"""The body of a message about an entry (pure): the same bytes at every try."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from jobwire.schemas.deliveries import WebhookData, WebhookMessage
from jobwire.schemas.identifiers import RESERVED_ID, JobId
from jobwire.schemas.jobs import Ending, Entry, Job, JobCreation

Value = TypeVar("Value")

_encode = msgspec.json.Encoder().encode
_NULL = Raw(b"null")
_NO_ENDING = Ending()
#: Head of the id of an event by which a worker reports on an attempt.
_OF_ATTEMPT = re.compile(re.escape(RESERVED_ID) + r"a([0-9]{1,9})\.")


def delivery_id(job: JobId, seq: int, subscription: str) -> str:
    """Return the id of the delivery of an entry to a subscription; planning again keeps it."""
    message = f"{job}|{seq}|{subscription}".encode()
    return f"msg_{blake2b(message, digest_size=16).hexdigest()}"


def write_body(entry: Entry, job: Job | None) -> bytes:
    """
    Write the body.

    Args:
        entry: what the message is about.
        job: as it is now, which may be later than the entry; None: nothing is left of it.

    """
    ending = _as_of(entry, entry.change.ending, job, job.ending if job else None) or _NO_ENDING
    creation = entry.change.creation
    source: JobCreation | Job | None = creation if isinstance(creation, JobCreation) else job
    news = WebhookData(
        job=entry.job,
        name=source.name if source else None,
        tags=source.tags if source else (),
        lifecycle=source.lifecycle if source else "",
        event=entry.name,
        event_id=entry.id,
        seq=entry.seq,
        state=entry.state,
        outcome=entry.outcome,
        attempt=_attempt(entry, job),
        cause=_as_of(entry, entry.change.cause, job, job.cause if job else None),
        exit_code=ending.exit_code,
        signal=ending.signal,
        detail=ending.detail,
        data=_NULL if entry.data is None else Raw(entry.data),
        source=entry.source,
        occurred=entry.occurred,
    )
    return _encode(WebhookMessage(type=f"job.{entry.name}", timestamp=entry.received, data=news))


def _attempt(entry: Entry, job: Job | None) -> int:
    """Return the attempt that an entry is about: one that begins the next is about the last."""
    begun = entry.change.attempt
    if begun is not UNSET:
        return begun if entry.change.creation is not UNSET else begun - 1
    if (said := _OF_ATTEMPT.match(entry.id)) is not None:
        return int(said[1])
    return job.attempt if job else 1


def _as_of(
    entry: Entry, changed: Value | UnsetType | None, job: Job | None, now: Value | None
) -> Value | None:
    """Return a value of the job as the entry left it; None where that cannot be known any more."""
    if changed is not UNSET:
        return changed
    is_same = job is not None and (job.seq == entry.seq or entry.outcome is not None)
    return now if is_same else None

"""An event of a part of the service itself, signed with the service's key."""

from __future__ import annotations

from datetime import datetime

from jobwire.schemas.codec import canonical
from jobwire.schemas.events import Event, payload_digest
from jobwire.schemas.identifiers import EventId, JobId
from jobwire.schemas.lifecycle import Role
from jobwire.schemas.tokens import Keyring, sign


def signed_event(
    keyring: Keyring,
    role: Role,
    *,
    job: JobId,
    event_id: EventId,
    name: str,
    received: datetime,
    data: bytes | None,
    same: bytes | None = None,
    attempt: int | None = None,
    expects: int | None = None,
) -> Event:
    """
    Build an event of the service.

    Args:
        keyring: signs it.
        role: the part of the service that reports; the event's source too.
        job: the job that it is about.
        event_id: made of what happened, so that a repeated report has the same id.
        name: the event's name.
        received: the time now.
        data: JSON text.
        same: what repeated reports have in common, where their data differ; default: the data.
        attempt: the attempt that the report is about.
        expects: the `seq` of the job that the report is about.

    """
    common = (canonical(data) if data else b"") if same is None else same
    return Event(
        id=event_id,
        job=job,
        name=name,
        authority=sign(keyring, job, event_id, role, attempt=attempt),
        received=received,
        digest=payload_digest(name, common),
        data=data,
        source=role,
        expects=expects,
    )

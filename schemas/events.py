"""
Events: what somebody reports, as it travels from the gateway or a worker to the state manager.

Everything that happens is an event; only the state manager turns events into state. Events travel
in packets, one packet for one shard. The records are arrays on the wire: a new field goes to the
end and has a default, so that releases n and n+1 read each other.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import blake2b

from msgspec import Struct

from jobwire.schemas.identifiers import EventId, JobId
from jobwire.schemas.jobs import JobCreation

#: Version of the packet format; a newer one is set aside, never guessed at.
PACKET_VERSION = 1


class TokenAuthority(Struct, frozen=True, array_like=True, tag="token"):
    """The job's own token; hooks inside a job add the attempt that they belong to."""

    token: str
    attempt: int | None = None


class SignedAuthority(Struct, frozen=True, array_like=True, tag="signed"):
    """A role of the service, or a caller it has authenticated, signed by a service key."""

    role: str
    """One of `ROLES`, or one of another release."""
    principal: str
    attempt: int | None
    key_id: str
    signature: bytes


class Event(Struct, frozen=True, kw_only=True, array_like=True):
    """One reported fact about one job."""

    id: EventId
    job: JobId
    name: str
    authority: TokenAuthority | SignedAuthority
    received: datetime
    """The gateway's time stamp (UTC); token overlap is judged by it and by no other clock."""
    digest: bytes
    """Digest of name and data: distinguishes a repetition from another event of this id."""
    data: bytes | None = None
    """JSON text exactly as it was sent."""
    occurred: datetime | None = None
    """The sender's own time stamp: kept and shown, never used for order."""
    source: str | None = None
    expects: int | None = None
    """The `seq` its sender saw; an event that overtakes another one is then kept, not applied."""
    reply: str | None = None
    """Where the Outcome is awaited."""
    creation: JobCreation | None = None
    """Of `create` only: what the job is for its whole life."""


class Packet(Struct, frozen=True, array_like=True):
    """Events of one shard that travel, and are confirmed, as one message."""

    version: int
    events: tuple[Event, ...]
    sender: str = ""
    """The sender that is notified when it is stored; empty: none."""
    number: int = 0
    """The sender's own, larger with each packet."""


def payload_digest(name: str, canonical_data: bytes) -> bytes:
    """Fingerprint what an event says: its name and its data in canonical form."""
    return blake2b(name.encode() + b"\0" + canonical_data, digest_size=16).digest()

"""Ids: how they are made, how they are read, and which shard a job belongs to."""

from __future__ import annotations

import hmac
import re
import zlib
from typing import Annotated, NewType
from uuid import UUID

from msgspec import Meta

from jobwire.schemas.errors import Invalid

JobId = NewType("JobId", str)
"""Canonical lower-case UUID text of one job."""

EventId = NewType("EventId", str)
"""Id of an event, unique within its job; chosen by the sender or made by the gateway."""

#: No control characters anywhere: these texts become log fields, headers and terminal output.
_NO_CONTROL = r"(?#one line without control characters)^(?![\s\S]*[\x00-\x1f\x7f])"

Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=_NO_CONTROL)]
"""One line of 1 to 255 characters: names of jobs and events, event ids, sources."""

Tag = Annotated[str, Meta(min_length=1, max_length=64, pattern=_NO_CONTROL)]
"""One line of 1 to 64 characters that groups jobs."""

#: Head of the event ids that the service makes itself; nobody else may use it, or they could be
#: taken in advance.
RESERVED_ID = "jobwire."

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def parse_job_id(text: str, pointer: str = "/uuid") -> JobId:
    """
    Read a job id strictly: 36 characters, hyphens in place, either case.

    Raises:
        Invalid: the text is anything else; nothing is trimmed or guessed.

    """
    lowered = text.lower()
    if _UUID.fullmatch(lowered) is None:
        detail = (
            f"a job id is a UUID such as 2f1c6c1e-7f43-4c0e-9a51-0d6a3c1f5a10; {pointer} is not"
        )
        raise Invalid(detail, pointer=pointer)
    return JobId(lowered)


def random_job_id(entropy: bytes) -> JobId:
    """Turn 16 random bytes into a job id (UUID version 4: 122 random bits)."""
    return JobId(str(UUID(bytes=entropy, version=4)))


def derived_job_id(secret: bytes, owner: str, key: str) -> JobId:
    """
    Return the one job id that belongs to an owner's idempotency key.

    The same key always gives the same id, so a repeated creation meets its first one (promise P7);
    the secret keeps ids of other owners unguessable.
    """
    message = f"{len(owner)}:{owner}{key}".encode()
    return random_job_id(hmac.digest(secret, message, "sha256")[:16])


def shard_of(job_id: JobId, shards: int) -> int:
    """Place a job on one of `shards` event queues; the same for every sender and release."""
    return zlib.crc32(job_id.encode()) % shards

"""Rows in and out: records as bytes, ids and moments as columns, and what a job is found by."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, Literal, NamedTuple, get_args
from uuid import UUID

import msgspec

from jobwire.actors.stores.base import Count
from jobwire.schemas.deliveries import Delivery
from jobwire.schemas.identifiers import JobId
from jobwire.schemas.jobs import Entry, Job, Refusal
from jobwire.schemas.lifecycle import JobOutcome

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_WORD = re.compile(r"\w+")
#: Words of one job's name and tags that it can be found by.
_MOST_WORDS = 64

JobKind = tuple[str, str, JobOutcome | None]
"""Lifecycle, state and outcome, by which jobs are counted."""

encode = msgspec.msgpack.Encoder().encode
decode_entry = msgspec.msgpack.Decoder(Entry).decode
decode_job = msgspec.msgpack.Decoder(Job).decode
decode_delivery = msgspec.msgpack.Decoder(Delivery).decode
decode_refusal = msgspec.msgpack.Decoder(Refusal).decode


@lru_cache(maxsize=16_384)
def job_key(job: JobId) -> bytes:
    """Return the 16 bytes that stand for a job id in every table."""
    return bytes.fromhex(job.replace("-", ""))


def job_id(key: bytes) -> JobId:
    """Return the job id back."""
    return JobId(str(UUID(bytes=key)))


def microseconds(moment: datetime) -> int:
    """Return a moment as whole microseconds since 1970: what time columns hold."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(microseconds_: int) -> datetime:
    """Return the moment that a time column holds."""
    return _EPOCH + microseconds_ * _MICROSECOND


def counts(counted: Mapping[JobKind, int], most: int) -> list[Count]:
    """Return counts in their order; at `most` jobs of one state it was looked at no further."""
    of_state: Counter[str] = Counter()
    for (_, state, _), jobs in counted.items():
        of_state[state] += jobs
    in_order = sorted(counted.items(), key=lambda each: (*each[0][:2], each[0][2] or ""))
    return [Count(*kind, jobs, of_state[kind[1]] >= most) for kind, jobs in in_order]


class IndexedTimes(NamedTuple):
    """The moments by which the service itself finds a job, in microseconds since 1970."""

    publish_at: int | None
    """When its command is published."""
    watch_at: int | None
    """When somebody looks whether it is stale."""
    ended: int | None
    """Since when nothing is to be done for it."""


def indexed_times(job: Job) -> IndexedTimes:
    """Return the moments by which a job is found."""
    is_over = job.outcome is not None or job.deleted
    publish_at = job.publish_at()
    watch_at = None if is_over else job.stale_at()
    ended = job.updated if is_over and job.outstanding is None else None
    return IndexedTimes(*(microseconds(at) if at else None for at in (publish_at, watch_at, ended)))


def words(*texts: str | None) -> list[str]:
    """Return the words of some texts as they are looked up: lower case, letters, digits and `_`."""
    found = {word.lower(): None for text in texts if text for word in _WORD.findall(text)}
    return list(found)[:_MOST_WORDS]


def terms(job: Job) -> list[str]:
    """Return what a job can be found by."""
    return [f"#{tag}" for tag in job.tags] + [f"~{word}" for word in words(job.name, *job.tags)]


Table = Literal["entries", "jobs", "refused", "records", "deliveries"]
"""What a store keeps, by the names under which both kinds keep it."""

TABLES: Final[tuple[Table, ...]] = get_args(Table)

Row = tuple[Any, ...]
"""
One row on its way from store to store.

    entries     job, seq, id, owner, digest, body or None, whether it is due
    jobs        id, publish_at, watch_at, ended, body
    refused     owner, body
    records     kind, owner, key, body
    deliveries  id, body
"""


class TableChecksum:
    """The number of a table's rows and one digest of all of them, in whatever order they come."""

    def __init__(self) -> None:
        """Begin with no row."""
        self.count = 0
        self._sum = 0

    def add(self, *row: object) -> None:
        """Add one row."""
        self.count += 1
        self._sum += int.from_bytes(sha256(encode(row)).digest(), "big")

    @property
    def digest(self) -> str:
        """The digest so far, as hexadecimal digits."""
        return f"{self._sum % 2**256:064x}"

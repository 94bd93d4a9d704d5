"""
The contract of the store: job verbs, not queries.

The state manager is the only writer of jobs and entries. Every reading verb that serves a caller
takes the owner, and someone else's record is not there.

How a store is made from the settings, and found by its name, is in `plugins`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from msgspec import Struct

from jobwire.actors.stores.leases import Leases
from jobwire.actors.stores.outbox import DeliveryCursor, DeliveryFilter, EventKey, Outbox
from jobwire.actors.stores.places import Place, Positioned, is_after, moved_to
from jobwire.schemas.identifiers import EventId, JobId
from jobwire.schemas.jobs import Entry, Job, Refusal
from jobwire.schemas.lifecycle import JobOutcome

__all__ = [
    "Commit",
    "Committed",
    "Count",
    "DeliveryCursor",
    "DeliveryFilter",
    "EventKey",
    "JobCursor",
    "JobFilter",
    "KnownEvent",
    "Loaded",
    "OutstandingJob",
    "Place",
    "Positioned",
    "Record",
    "Store",
    "is_after",
    "moved_to",
]


class KnownEvent(Struct, frozen=True):
    """An event that is in the history; of a deleted job's only seq and digest are left."""

    seq: int
    digest: bytes
    entry: Entry | None


class Loaded(Struct, frozen=True):
    """The answer to `load`: jobs, and what is known of the events that were asked for."""

    jobs: Mapping[JobId, Job]
    tails: Mapping[JobId, Sequence[Entry]]
    """
    Entries after the projection's seq, of the jobs whose fold was asked for or that have no
    projection.
    """
    known: Mapping[EventKey, KnownEvent]
    refused: Mapping[EventKey, Sequence[Refusal]]
    """Every owner's refusals under these ids: the same id may be refused to several."""


class Commit(Struct, frozen=True, kw_only=True):
    """What one batch writes, in this order."""

    refusals: Sequence[Refusal]
    entries: Sequence[Entry]
    jobs: Sequence[Job]
    """Projections after the entries; written only over a smaller seq."""
    created: Collection[JobId]
    """The jobs whose projection may be inserted; of all others it can only be updated."""
    moved: Collection[JobId]
    """
    The jobs whose state, outcome, deletion or outstanding command may differ from what is
    stored.
    """


class Committed(Struct, frozen=True):
    """What became of a commit."""

    stored: Sequence[Positioned]
    """The entries that are in the history now: a prefix of those in the commit."""
    conflict: EventKey | None = None
    """
    The first entry that was not stored: its id or its seq was taken.

    Load again and plan anew.
    """


class JobFilter(Struct, frozen=True, kw_only=True):
    """Which jobs a caller wants to see; an unset part does not filter."""

    state: str | None = None
    outcome: JobOutcome | None = None
    tag: str | None = None
    lifecycle: str | None = None
    parent: JobId | None = None
    since: datetime | None = None
    until: datetime | None = None
    words: tuple[str, ...] = ()
    is_live: bool = False
    """Only jobs that have no outcome yet."""


class JobCursor(Struct, frozen=True, array_like=True):
    """The last job of a page, after which the next begins: newest first, ids decide equals."""

    created: datetime
    id: JobId


class Count(Struct, frozen=True):
    """How many jobs of an owner are in one state of one lifecycle."""

    lifecycle: str
    state: str
    outcome: JobOutcome | None
    jobs: int
    at_least: bool = False
    """There may be more: not all jobs of the state were looked at."""


class OutstandingJob(NamedTuple):
    """A job with an outstanding command, and the moment at which that is published again."""

    at: datetime
    job: Job


class Record(Struct, frozen=True):
    """A stored document of another kind than jobs: its owner, its key and its text."""

    owner: str
    key: str
    body: bytes


class Store(Outbox, Leases, Protocol):
    """Keeps everything; a write that returned is on disk."""

    is_gapless: bool
    """
    Whether the positions of one owner in one lane are 1, 2, 3 and so on.

    Then a reader that hears of the entries sees when it has not heard of one.
    """

    async def open(self) -> None:
        """
        Make tables and indexes, or bring older ones up to date.

        Return when ready for traffic.
        """

    async def close(self) -> None:
        """Finish what runs and close."""

    async def check(self) -> None:
        """
        Prove that reading and writing work now.

        Raises:
            Unavailable: they do not.

        """

    async def load(
        self,
        jobs: Collection[JobId],
        keys: Collection[EventKey],
        *,
        fold: Collection[JobId],
        known: bool,
    ) -> Loaded:
        """
        Load jobs, then ask which events are refused and, if `known`, which are in the history.

        The ids are asked after the jobs are read, never before: an entry that appears in between
        then shows as a conflict at the commit, not as a second entry.
        """

    async def commit(self, commit: Commit) -> Committed:
        """
        Write refusals, then entries in order up to the first conflict, then projections.

        Raises:
            InDoubt: some of it may be written.
            Unavailable: nothing is.

        """

    async def get(self, owner: str, job: JobId) -> Job | None:
        """Return a job of this owner; a deleted one is not there."""

    async def find(
        self, owner: str, which: JobFilter, after: JobCursor | None, limit: int
    ) -> list[Job]:
        """Return an owner's jobs, newest first."""

    async def history(self, owner: str, job: JobId, after: int, limit: int) -> list[Entry]:
        """Return a job's entries with a seq above `after`, in order."""

    async def entry(self, owner: str, job: JobId, seq: int) -> Entry | None:
        """Return one entry of a job."""

    async def since(self, owner: str, place: Place, limit: int) -> tuple[list[Positioned], Place]:
        """
        Return an owner's entries after a place, each lane in its order, and where to go on.

        The page may be short, or empty, before the end is reached; the end is reached when the
        place to go on from is the one that was given.
        """

    async def newest(self, owner: str) -> Place:
        """Return the place after which everything of an owner is new."""

    async def count(self, owner: str, most: int) -> list[Count]:
        """
        Count an owner's jobs by lifecycle and state.

        Of each state at most `most` jobs are counted, the newest. When the limit is reached, the
        count of the state is `at_least`.
        """

    async def refusals(self, owner: str, after: int, limit: int) -> list[Refusal]:
        """Return an owner's refused events, oldest first."""

    async def refusal(self, owner: str, key: EventKey) -> Refusal | None:
        """Return one refused event of this owner."""

    async def mark_replayed(self, owner: str, key: EventKey, replayed_as: EventId) -> None:
        """Remember under which id a refused event was sent again."""

    async def outstanding(
        self, until: datetime, after: OutstandingJob | None, limit: int
    ) -> list[OutstandingJob]:
        """
        Return jobs whose awaited command is to be published by a moment, in the order of that.

        `after` is the last one of the page before.
        """

    async def postpone(self, jobs: Sequence[tuple[Job, datetime]]) -> None:
        """
        Publish the command of each job again at that moment.

        Nothing happens to one that has moved on since.
        """

    async def stale(self, now: datetime, limit: int) -> list[Job]:
        """Return jobs whose watch has run out, the longest overdue first."""

    async def watch(self, job: Job, until: datetime | None) -> None:
        """
        Look at a job again at that moment, None: no more.

        Nothing happens if it has moved on since.
        """

    async def put(self, kind: str, record: Record, *, fresh: bool = False) -> bool:
        """Write a record; with `fresh` only where none is, and say whether it was written."""

    async def swap(self, kind: str, record: Record, expected: bytes) -> bool:
        """
        Write a record if its text is still the expected one, in one step; say whether.

        Of several writers with the same expectation exactly one succeeds.
        """

    async def fetch(self, kind: str, owner: str | None, key: str) -> Record | None:
        """Return one record; `owner` None is for the service's own look-ups, such as keys by id."""

    async def select(self, kind: str, owner: str | None, after: str, limit: int) -> list[Record]:
        """Return records with a key above `after`, in the order of keys."""

    async def drop(self, kind: str, owner: str, key: str) -> bool:
        """Remove a record; say whether it was there."""

    async def forget(self, before: datetime, limit: int) -> int:
        """
        Remove whole jobs that ended or were deleted before a moment, the oldest first.

        Their entries and tombstones go too; one that still awaits a command, or of which somebody
        must still be told, stays.

        Returns:
            The number of jobs that were removed.

        """

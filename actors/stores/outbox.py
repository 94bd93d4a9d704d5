"""
The contract of the store for what must be told: due entries, deliveries, and their tries.

Part of the contract in `base`. An entry stays due until its deliveries are written, and a delivery
until its receiver has taken it or its schedule has ended; so a crash repeats, and loses nothing.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from msgspec import Struct

from jobwire.schemas.deliveries import Delivery, DeliveryStatus
from jobwire.schemas.identifiers import EventId, JobId
from jobwire.schemas.jobs import Entry


class EventKey(NamedTuple):
    """What makes an event the same event: its job and its id."""

    job: JobId
    event: EventId


class DeliveryFilter(Struct, frozen=True, kw_only=True):
    """Which deliveries a caller wants to see; an unset part does not filter."""

    job: JobId | None = None
    status: DeliveryStatus | None = None
    subscription: str | None = None
    since: datetime | None = None


class DeliveryCursor(Struct, frozen=True, array_like=True):
    """The last delivery of a page, after which the next begins: newest first, ids decide equals."""

    created: datetime
    id: str


class Outbox(Protocol):
    """Stores deliveries and their tries."""

    async def due(self, limit: int) -> list[Entry]:
        """Return the oldest entries whose deliveries are still to be planned."""

    async def plan_deliveries(
        self, deliveries: Sequence[Delivery], told: Sequence[EventKey]
    ) -> list[Delivery]:
        """
        Write deliveries and mark the entries that they tell of as told, both or neither.

        A delivery that is there already stays as it is.

        Returns:
            Those that were not there before.

        """

    async def deliverable(
        self, now: datetime, busy: Container[str], each: int, limit: int
    ) -> list[Delivery]:
        """
        Return deliveries whose next try is due, the longest overdue first.

        The work grows with the number of endpoints that wait, not with that of their deliveries.

        Args:
            now: the moment by which they are due.
            busy: endpoints to leave out; asked in another thread, so it must not change meanwhile.
            each: most of one endpoint, so that none hides the others.
            limit: most of all together.

        """

    async def next_delivery(self, now: datetime, busy: Container[str]) -> datetime | None:
        """Return the moment of the earliest try after `now` at any endpoint that is not busy."""

    async def save_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """
        Write down what became of tries; one whose delivery was dropped is forgotten.

        Of one that somebody has asked for again since, only the tries made are added: it stays due.
        """

    async def redeliver(self, owner: str, key: str, now: datetime) -> Delivery | None:
        """Make one delivery of this owner due again, whatever became of it; None: no such one."""

    async def recover(self, owner: str, since: datetime, now: datetime, limit: int) -> int:
        """
        Make an owner's deliveries due again that gave up, the oldest first; return their number.

        Those of which the receiver was told something later meanwhile stay as they are.

        Args:
            owner: whose they are.
            since: only those made since then.
            now: when they are due.
            limit: most of them.

        """

    async def deliveries(
        self, owner: str, which: DeliveryFilter, after: DeliveryCursor | None, limit: int
    ) -> list[Delivery]:
        """Return an owner's deliveries, newest first."""

    async def delivery(self, owner: str, key: str) -> Delivery | None:
        """Return one delivery of this owner."""

    async def drop_deliveries(self, before: datetime, limit: int) -> int:
        """Remove deliveries that ended before a moment, the oldest first; return their number."""

"""A notifier over a store on disk, fed as the state manager would."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult

from jobwire.actors.dialects.base import ForeignDialect, Signer
from jobwire.actors.messaging.entry_feed import EntryFeed, broadcast_entries
from jobwire.actors.notifier.actor import Notifier
from jobwire.actors.operations.deliveries import Deliveries
from jobwire.actors.runtime.egress import Egress
from jobwire.actors.runtime.settings import CallbackSettings
from jobwire.actors.runtime.telemetry import Telemetry
from jobwire.actors.stores.base import DeliveryFilter
from jobwire.actors.stores.sqlite import SqliteStore
from jobwire.actors.transports.embedded import EmbeddedTransport
from jobwire.schemas.deliveries import Callback, Delivery, Subscription
from jobwire.schemas.jobs import Entry
from jobwire.schemas.principals import ALL_SCOPES, Principal
from tests.support.commits import make_commit
from tests.support.deadlines import PATIENCE_S, until
from tests.support.factories import OWNER, fold, job_id, make_creation, make_entry, make_history

#: Retries that a test does not have to wait for.
QUICK = (0.0, 0.02, 0.02, 0.02)
LOOPBACK = ("127.0.0.0/8",)


def now() -> datetime:
    """Return the time: receivers check the time stamp."""
    return datetime.now(UTC)


class Leading(AbstractResolver):
    """A name server that leads every name to one address."""

    def __init__(self, address: str) -> None:
        """Lead to an address."""
        self.address = address
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Answer."""
        self.asked.append(host)
        return [
            ResolveResult(
                hostname=host, host=self.address, port=port, family=family, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        """Do nothing."""


class CommitPublisher:
    """Commits entries that somebody is to be told of, and runs a notifier over them."""

    def __init__(
        self,
        folder: Path,
        settings: CallbackSettings,
        allow: Sequence[str] = LOOPBACK,
        resolver: AbstractResolver | None = None,
        dialects: Mapping[str, ForeignDialect] = MappingProxyType({}),
        signers: Mapping[str, Signer] = MappingProxyType({}),
    ) -> None:
        """Make everything anew over the data in a folder, as a start of the service does."""
        self.store = SqliteStore(folder / "jobwire.db")
        self.transport = EmbeddedTransport()
        self.egress = Egress(allow, resolver)
        self.telemetry = Telemetry()
        # Whoever subscribes may name any loopback address; what may be called is judged later.
        self.deliveries = Deliveries(self.store, b"identity", Egress(LOOPBACK), now, self.transport)
        self.notifier = Notifier(
            store=self.store,
            transport=self.transport,
            feed=EntryFeed(self.transport),
            deliveries=self.deliveries,
            dialects=dialects,
            signers=signers,
            egress=self.egress,
            settings=settings,
            telemetry=self.telemetry,
            clock=now,
            jitter=lambda: 0.0,
        )

    async def subscribe(
        self, url: str, *, number: int = 1, owner: str = OWNER, **fields: object
    ) -> Subscription:
        """Subscribe a job that is not made yet."""
        callback = msgspec.convert({"url": url, **fields}, Callback)
        digest = f"{url}{fields}".encode()
        (made,) = await self.deliveries.subscribe(owner, job_id(number), [callback], digest)
        return made

    async def tell(
        self,
        subscriptions: Sequence[Subscription],
        *,
        number: int = 1,
        events: int = 1,
        quietly: bool = False,
        dialect: str = "",
        **fields: object,
    ) -> list[Entry]:
        """
        Make a job with some events after its birth, of which the subscriptions are to be told.

        Args:
            subscriptions: all that are told of each event.
            number: of the job.
            events: how many events it has.
            quietly: whether the bus loses the news.
            dialect: the one that the job is made in.
            fields: of each entry.

        """
        due = tuple(each.id for each in subscriptions)
        interests = tuple(each.interest for each in subscriptions)
        owner = subscriptions[0].owner
        creation = make_creation(
            owner=owner, interests=interests, name="fit", tags=("nightly",), dialect=dialect
        )
        (first,) = make_history(job=job_id(number), creation=creation)
        rest = [
            make_entry(
                job=job_id(number),
                seq=seq,
                name="update",
                owner=owner,
                due=due,
                received=now(),
                **fields,
            )
            for seq in range(2, events + 2)
        ]
        committed = await self.store.commit(make_commit([first, *rest]))
        assert committed.conflict is None
        if not quietly:
            await broadcast_entries(self.transport, committed.stored[1:])
        return rest

    async def add(self, before: Sequence[Entry], entry: Entry) -> None:
        """Commit one more entry of a job and tell of it."""
        job = fold(list(before))
        committed = await self.store.commit(make_commit([entry], before=[job]))
        await broadcast_entries(self.transport, committed.stored)

    async def all(self, owner: str = OWNER) -> list[Delivery]:
        """Return all deliveries, oldest first."""
        found = await self.store.deliveries(owner, DeliveryFilter(), None, 10_000)
        return found[::-1]

    async def one(self) -> Delivery:
        """Return the one delivery."""
        (delivery,) = await self.all()
        return delivery

    async def wait_for(
        self, status: str, count: int = 1, within_s: float = PATIENCE_S
    ) -> list[Delivery]:
        """Wait until so many deliveries have a status; return all."""

        async def have_it() -> bool:
            found = await self.all()
            return sum(each.status == status for each in found) >= count

        await until(have_it, within_s)
        return await self.all()


@asynccontextmanager
async def telling(
    folder: Path,
    settings: CallbackSettings | None = None,
    allow: Sequence[str] = LOOPBACK,
    resolver: AbstractResolver | None = None,
    dialects: Mapping[str, ForeignDialect] = MappingProxyType({}),
    signers: Mapping[str, Signer] = MappingProxyType({}),
) -> AsyncIterator[CommitPublisher]:
    """Run a notifier over the data in a folder."""
    settings = settings or CallbackSettings(schedule_s=QUICK)
    teller = CommitPublisher(folder, settings, allow, resolver, dialects, signers)
    await teller.store.open()
    await teller.transport.open()
    await teller.notifier.start()
    try:
        yield teller
    finally:
        await teller.transport.close()
        await teller.notifier.stop()
        await teller.store.close()


def principal(name: str = OWNER) -> Principal:
    """Make a caller who may do everything."""
    return Principal(name, frozenset(ALL_SCOPES))

"""
The notifier: sends signed callbacks to those who subscribed to a job.

Which subscriptions an entry is due to is part of its commit; the broadcast only makes it quick.
Deliveries are planned in one write with the mark that the entry is no longer due, and a delivery
stays pending until its receiver has taken it or its schedule has ended. So a crash at any place
repeats a message under the same id, and loses none.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType

import aiohttp
import structlog

from jobwire.actors.dialects.base import ForeignDialect, Signer
from jobwire.actors.messaging.entry_buffer import EntryBuffer
from jobwire.actors.messaging.entry_feed import EntryFeed
from jobwire.actors.notifier.breaker import Breaker
from jobwire.actors.notifier.callback_sender import CallbackSender
from jobwire.actors.notifier.delivery_attempt import DeliveryAttempt
from jobwire.actors.notifier.delivery_order import DeliveryOrder
from jobwire.actors.notifier.delivery_retention import DeliveryRetention
from jobwire.actors.notifier.dispatcher import POLL_S, Dispatcher
from jobwire.actors.notifier.endpoints import Endpoints
from jobwire.actors.notifier.planner import Planner
from jobwire.actors.operations.deliveries import Deliveries
from jobwire.actors.runtime.egress import Egress
from jobwire.actors.runtime.periodic import Periodic
from jobwire.actors.runtime.settings import CallbackSettings
from jobwire.actors.runtime.tasks import Loop
from jobwire.actors.runtime.telemetry import Telemetry
from jobwire.actors.stores.base import EventKey, Store
from jobwire.actors.transports.base import ConsumerHandle, Transport
from jobwire.schemas.addresses import DELIVERIES_ASKED
from jobwire.schemas.deliveries import SUBSCRIPTION_HEAD, Delivery
from jobwire.schemas.errors import JobwireError, Unavailable
from jobwire.schemas.jobs import Entry

_log = structlog.get_logger()

#: Pause between two removals of what is no longer needed.
_RETENTION_S = 60.0
#: Entries that are planned at a time.
_PORTION = 64
#: Entries that wait to be planned; when there are more, they are read from the store.
_MOST_ENTRIES = 1_000
#: Entries in quarantine: their planning failed by a fault of the service.
_MOST_QUARANTINED = 1_000


class Notifier:
    """Plans deliveries, makes attempts, and removes old deliveries."""

    name = "notifier"

    def __init__(
        self,
        *,
        store: Store,
        transport: Transport,
        feed: EntryFeed,
        deliveries: Deliveries,
        dialects: Mapping[str, ForeignDialect] = MappingProxyType({}),
        signers: Mapping[str, Signer] = MappingProxyType({}),
        egress: Egress,
        settings: CallbackSettings,
        telemetry: Telemetry,
        clock: Callable[[], datetime],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Follow entries by a feed; call out through an egress, in the formats of `dialects`."""
        self._store = store
        self._transport = transport
        self._feed = feed
        self._deliveries = deliveries
        self._egress = egress
        self._signers = signers
        self._settings = settings
        self._telemetry = telemetry
        self._clock = clock
        self._jitter = jitter
        self._entries = EntryBuffer(
            lambda each: each.entry if each.entry.due else None,
            _MOST_ENTRIES,
            mark=SUBSCRIPTION_HEAD.encode(),
        )
        self._poll_at = clock()
        self._quarantine: set[EventKey] = set()
        self._session: aiohttp.ClientSession | None = None
        self._dispatcher: Dispatcher | None = None
        self._subscriptions: list[ConsumerHandle] = []
        self._loops: list[Loop] = []
        self._breaker = Breaker(
            parallel=settings.parallel, each=settings.parallel_per_endpoint, clock=clock
        )
        self._planner = Planner(
            store=store,
            deliveries=deliveries,
            dialects=dialects,
            schedule_s=settings.schedule_s,
            clock=clock,
        )

    async def start(self) -> None:
        """Begin with what an earlier run has left, and follow what is committed."""
        self._dispatcher = dispatcher = self._make_dispatcher()
        self._entries.on_missed()
        self._subscriptions = [
            await self._feed.follow(self._entries),
            await self._transport.listen(DELIVERIES_ASKED, self._on_asked),
        ]
        self._loops = [
            Loop("notifier.plan", self._plan),
            Loop("notifier.dispatch", dispatcher.keep_starting),
            Loop("notifier.record", dispatcher.keep_recording),
            Periodic("notifier.retention", self._retention.drop, _RETENTION_S),
        ]
        for loop in self._loops:
            loop.start()

    async def stop(self) -> None:
        """Start no further attempts, and let those in flight end for a moment."""
        for subscription in self._subscriptions:
            await subscription.close()
        for loop in self._loops:
            await loop.stop()
        self._subscriptions, self._loops = [], []
        if self._dispatcher is not None:
            await self._dispatcher.stop()
            self._dispatcher = None
        if self._session is not None:
            await self._session.close()
            self._session = None

    def not_ready(self) -> str | None:
        """Name what is missing."""
        works = self._loops and not any(loop.failing for loop in self._loops)
        return None if works else self.name

    def _make_dispatcher(self) -> Dispatcher:
        settings = self._settings
        self._session = self._egress.session(
            connections=settings.parallel, timeout_s=settings.timeout_s
        )
        endpoints = Endpoints(self._store, settings.disable_after_s)
        self._retention = DeliveryRetention(
            store=self._store,
            deliveries=self._deliveries,
            endpoints=endpoints,
            keep_s=settings.keep_s,
            clock=self._clock,
        )
        sender = CallbackSender(
            self._egress,
            self._session,
            timeout_s=settings.timeout_s,
            clock=self._clock,
            signers=self._signers,
        )
        attempt = DeliveryAttempt(
            sender=sender,
            planner=self._planner,
            endpoints=endpoints,
            order=DeliveryOrder(self._store, self._clock),
            schedule_s=settings.schedule_s,
            telemetry=self._telemetry,
            clock=self._clock,
            jitter=self._jitter,
        )
        return Dispatcher(
            store=self._store,
            attempt=attempt,
            breaker=self._breaker,
            each=settings.parallel_per_endpoint,
            telemetry=self._telemetry,
            clock=self._clock,
        )

    def _on_asked(self, _topic: str, endpoint: bytes) -> None:
        """Attempt at once what somebody has asked for."""
        self._breaker.reset(endpoint.decode() or None)
        if self._dispatcher is not None:
            self._dispatcher.poll()

    async def _plan(self) -> None:
        while True:
            try:
                if not await self._plan_some():
                    # What the bus has lost is found in the store after a while.
                    await self._entries.wait(POLL_S)
            except Unavailable as error:
                _log.warning("notifier_waits", error=error.detail)
                self._entries.on_missed()
                await asyncio.sleep(POLL_S)

    async def _plan_some(self) -> bool:
        """Plan a portion: now and then of what the store has due, else of what was broadcast."""
        entries: list[Entry] = []
        if self._entries.is_behind or self._clock() >= self._poll_at:
            self._poll_at = self._clock() + timedelta(seconds=POLL_S)
            self._entries.catch_up()
            due = await self._store.due(_PORTION + len(self._quarantine))
            entries = [each for each in due if _key(each) not in self._quarantine]
            if len(entries) >= _PORTION:
                self._entries.on_missed()  # there are more, and they are in the store
        if not entries:
            entries = self._entries.take(_PORTION)
        if not entries or self._dispatcher is None:
            return False
        # An entry that was both broadcast and read is planned twice, as the same delivery.
        for delivery in await self._plan_or_isolate(entries):
            self._dispatcher.offer(delivery)
        return True

    async def _plan_or_isolate(self, entries: Sequence[Entry]) -> list[Delivery]:
        """Plan entries; one whose planning fails is in quarantine until the next start."""
        try:
            return await self._planner.plan(entries)
        except JobwireError:
            raise
        except Exception:
            _log.exception("plan_failed", entries=len(entries))
            if len(entries) > 1:
                return [each for entry in entries for each in await self._plan_or_isolate([entry])]
            if len(self._quarantine) >= _MOST_QUARANTINED:
                raise
            self._quarantine.add(_key(entries[0]))
            return []


def _key(entry: Entry) -> EventKey:
    return EventKey(entry.job, entry.id)

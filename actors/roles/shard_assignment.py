"""
Which shards a state manager takes, and the consumers of their queues.

State managers that share a store each keep a lease there, and divide the shards among those whose
lease is good. A shard is given up by closing its consumer when the batch in hand is done, so its
order is kept; and where two believe that a shard is theirs for a moment, the queue has one active
consumer, and the store's unique indexes refuse the one that comes late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence

import structlog

from jobwire.actors.runtime.periodic import Periodic
from jobwire.actors.stores.base import Store
from jobwire.actors.stores.leases import LEASE_S, RENEW_S
from jobwire.actors.transports.base import BusMessage, ConsumerHandle, Transport
from jobwire.schemas.addresses import shard_queue
from jobwire.schemas.errors import Unavailable
from jobwire.schemas.releases import LEVEL, level_of

_log = structlog.get_logger()

#: What the leases of state managers begin with.
STATE_MANAGERS = "state_manager."

Take = Callable[[str, Sequence[BusMessage]], Awaitable[None]]
"""Handles messages of a queue."""


class ShardAssignment:
    """Consumes the queues of the shards that are assigned to this state manager."""

    def __init__(
        self, *, transport: Transport, store: Store, shards: int, holder: str, take: Take
    ) -> None:
        """
        Take part in the assignment.

        Args:
            transport: where the queues are.
            store: where leases are.
            shards: how many there are.
            holder: the name of this state manager, unlike all others; empty: it has no others.
            take: handles what the queues hold.

        """
        self._transport = transport
        self._store = store
        self._shards = shards
        self._holder = holder
        self._take = take
        self._consumers: dict[int, ConsumerHandle] = {}
        self._is_aside = False
        self._loop = Periodic("state_manager.shards", self._share, RENEW_S)

    async def start(self) -> None:
        """Begin to consume."""
        if self._holder:
            self._loop.start()
        else:
            await self._settle_on(range(self._shards))

    async def stop(self) -> None:
        """Release every shard, and the lease."""
        await self._loop.stop()
        await self._settle_on(())
        if self._holder:
            try:
                await self._store.release(STATE_MANAGERS + self._holder, self._holder)
            except Unavailable:
                _log.warning("lease_not_released")  # it runs out by itself

    def step_aside(self) -> None:
        """Leave all shards to the others, for as long as one of a newer release is alive."""
        self._is_aside = True

    @property
    def shards(self) -> Collection[int]:
        """The shards that are consumed here."""
        return self._consumers.keys()

    async def _share(self) -> None:
        # A state manager that cannot reach the store commits nothing, so it may keep its shards.
        await self._settle_on(await self._fair_share())

    async def _fair_share(self) -> Collection[int]:
        if self._is_aside:
            others = (await self._store.holders(STATE_MANAGERS)).values()
            self._is_aside = any(level_of(each) > LEVEL for each in others)
        if self._is_aside:
            await self._settle_on(())
            await self._store.release(STATE_MANAGERS + self._holder, self._holder)
            return ()
        await self._store.claim(STATE_MANAGERS + self._holder, self._holder, LEASE_S)
        alive = sorted((await self._store.holders(STATE_MANAGERS)).values())
        return share_of(self._holder, alive, self._shards)

    async def _settle_on(self, shards: Collection[int]) -> None:
        leaving = [shard for shard in self._consumers if shard not in shards]
        await asyncio.gather(*(self._consumers[shard].close() for shard in leaving))
        for shard in leaving:
            del self._consumers[shard]
        for shard in shards:
            if shard not in self._consumers:
                queue = shard_queue(shard)
                self._consumers[shard] = await self._transport.consume(queue, self._taker(queue))
        if leaving:
            _log.info("shards_given_up", shards=leaving)

    def _taker(self, queue: str) -> Callable[[Sequence[BusMessage]], Awaitable[None]]:
        return lambda deliveries: self._take(queue, deliveries)


def share_of(holder: str, alive: Sequence[str], shards: int) -> Collection[int]:
    """Return the shards of a holder: equal parts, but for one shard more or less."""
    if holder not in alive:
        return ()
    return range(sorted(alive).index(holder), shards, len(alive))

"""
Receivers that are disabled: they have failed for days, or have answered that they are gone.

Their health is kept in records, so that days count across restarts. An endpoint is an owner and an
origin; an answer of 410 speaks for the one address only.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import blake2b

import msgspec
import structlog
from msgspec import Struct
from yarl import URL

from jobwire.actors.runtime.cache import BoundedCache
from jobwire.actors.stores.base import Record, Store
from jobwire.schemas.deliveries import Delivery, GaveUp

_log = structlog.get_logger()

#: Kind of the records.
ENDPOINTS = "endpoint"

_MOST_CACHED = 10_000
#: How old the record of an endpoint may become while it goes on failing.
_WRITTEN_AGAIN = timedelta(hours=1)


class EndpointHealth(Struct, frozen=True, array_like=True):
    """Since when a receiver fails, and why it is disabled; None: it is not."""

    failing_since: datetime
    written: datetime
    disabled: GaveUp | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(EndpointHealth).decode


def endpoint_of(owner: str, url: URL) -> str:
    """Name the endpoint of an address: deliveries to one endpoint wait for each other only."""
    return f"{url.origin()} {owner}"


def owner_of(endpoint: str) -> str:
    """Return the owner of an endpoint; an origin holds no space."""
    return endpoint.split(" ", 1)[-1]


class Endpoints:
    """Keeps the health of receivers that fail."""

    def __init__(self, store: Store, disable_after_s: float) -> None:
        """Disable a receiver that has failed for `disable_after_s` and never succeeded."""
        self._store = store
        self._disable_after = timedelta(seconds=disable_after_s)
        self._cache = BoundedCache[tuple[str, str], EndpointHealth | None](_MOST_CACHED)

    async def disabled(self, delivery: Delivery) -> GaveUp | None:
        """Return why the receiver of a delivery is disabled; None: it is not."""
        for key in _keys(delivery):
            health = await self._get(delivery.owner, key)
            if health is not None and health.disabled is not None:
                return health.disabled
        return None

    async def succeeded(self, delivery: Delivery) -> None:
        """Forget all failures: a receiver that was disabled is enabled again."""
        for key in _keys(delivery):
            if await self._get(delivery.owner, key) is not None:
                await self._store.drop(ENDPOINTS, delivery.owner, key)
                self._cache[delivery.owner, key] = None
                _log.info("receiver_recovered", endpoint=delivery.endpoint)

    async def failed(self, delivery: Delivery, now: datetime) -> GaveUp | None:
        """Note a failure; return why the receiver is disabled now, if it is."""
        key, _ = _keys(delivery)
        before = await self._get(delivery.owner, key)
        since = before.failing_since if before else now
        disabled = before.disabled if before else None
        if disabled is None and before is not None and now - since >= self._disable_after:
            disabled = "disabled"
            _log.warning("receiver_disabled", endpoint=delivery.endpoint, failing_since=since)
        if before is None or disabled != before.disabled or now - before.written >= _WRITTEN_AGAIN:
            await self._put(delivery.owner, key, EndpointHealth(since, now, disabled))
        return disabled

    async def gone(self, delivery: Delivery, now: datetime) -> None:
        """Note that an address has answered that it is gone for good."""
        _, key = _keys(delivery)
        _log.warning("receiver_gone", endpoint=delivery.endpoint)
        await self._put(delivery.owner, key, EndpointHealth(now, now, "gone"))

    async def drop(self, record: Record, before: datetime) -> None:
        """Drop the record of a receiver that is older than a moment."""
        if _decode(record.body).written < before:
            await self._store.drop(ENDPOINTS, record.owner, record.key)
            self._cache.pop((record.owner, record.key))

    async def _get(self, owner: str, key: str) -> EndpointHealth | None:
        if (owner, key) in self._cache:
            return self._cache[owner, key]
        record = await self._store.fetch(ENDPOINTS, owner, key)
        health = self._cache[owner, key] = _decode(record.body) if record else None
        return health

    async def _put(self, owner: str, key: str, health: EndpointHealth) -> None:
        await self._store.put(ENDPOINTS, Record(owner, key, _encode(health)))
        self._cache[owner, key] = health


def _keys(delivery: Delivery) -> tuple[str, str]:
    """Return the keys of the endpoint and of the one address."""
    address = blake2b(delivery.url.encode(), digest_size=16).hexdigest()
    return f"{delivery.endpoint} origin", f"{delivery.endpoint} {address}"

"""What a client may ask about callbacks: subscribe with a job, list deliveries, send again."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from hashlib import blake2b
from typing import NamedTuple

import msgspec
from msgspec import structs

from jobwire.actors.runtime.egress import Egress
from jobwire.actors.stores.base import DeliveryCursor, DeliveryFilter, Record, Store
from jobwire.actors.transports.base import Transport
from jobwire.schemas.addresses import DELIVERIES_ASKED
from jobwire.schemas.cursors import Cursors
from jobwire.schemas.deliveries import (
    SECRET_HEAD,
    SUBSCRIPTION_HEAD,
    Callback,
    Delivery,
    Interest,
    Subscription,
    check_secret,
)
from jobwire.schemas.errors import NotFound, Unavailable
from jobwire.schemas.identifiers import JobId
from jobwire.schemas.jobs import Job
from jobwire.schemas.principals import Principal

#: Kind of the records that hold subscriptions.
SUBSCRIPTIONS = "subscription"

#: Most deliveries that one request sends again, and of one write.
_MOST_RECOVERED, _RECOVERED_AT_ONCE = 10_000, 200

_decoder = msgspec.msgpack.Decoder(Subscription)
_encode = msgspec.msgpack.Encoder().encode


class DeliveryPage(NamedTuple):
    """One page of deliveries and the cursor of the next."""

    deliveries: list[Delivery]
    cursor: str | None


class Recovered(NamedTuple):
    """How many deliveries are sent again, and whether another request would find more."""

    deliveries: int
    is_cut: bool


class Deliveries:
    """Keeps subscriptions, and shows deliveries."""

    def __init__(
        self,
        store: Store,
        identity: bytes,
        egress: Egress,
        clock: Callable[[], datetime],
        transport: Transport,
    ) -> None:
        """
        Keep subscriptions in a store.

        Args:
            store: where subscriptions and deliveries are.
            identity: the installation's: secrets and cursors are made of it.
            egress: judges where a callback may go.
            clock: returns the time.
            transport: reaches the notifier.

        """
        self._store = store
        self._identity = identity
        self._egress = egress
        self._clock = clock
        self._transport = transport
        self._cursors = Cursors(identity)

    async def subscribe(
        self,
        owner: str,
        job: JobId,
        callbacks: Sequence[Callback],
        digest: bytes,
        authorization: str = "",
    ) -> tuple[Subscription, ...]:
        """
        Store the callbacks of a job that is about to be created.

        Their ids are made of the whole request, so that a repeated one finds the same ones.
        Every try of each carries the `authorization`.

        Raises:
            Invalid: an address may not be called, or a secret cannot sign.

        """
        for index, callback in enumerate(callbacks):
            self._egress.check_url(callback.url, f"/callbacks/{index}/url")
            if callback.secret is not None:
                check_secret(callback.secret, f"/callbacks/{index}/secret")
        subscriptions = []
        for index, callback in enumerate(callbacks):
            message = b"%s|%d|%s" % (job.encode(), index, digest)
            key = f"{SUBSCRIPTION_HEAD}{blake2b(message, digest_size=12).hexdigest()}"
            subscription = Subscription(
                id=key,
                owner=owner,
                job=job,
                url=callback.url,
                secret=callback.secret or self._secret(key),
                interest=Interest(key, callback.states, callback.outcomes, callback.events),
                created=self._clock(),
                made=callback.secret is None,
                authorization=authorization,
            )
            record = Record(owner, key, _encode(subscription))
            await self._store.put(SUBSCRIPTIONS, record, fresh=True)
            subscriptions.append(subscription)
        return tuple(subscriptions)

    async def subscription(self, owner: str, key: str) -> Subscription | None:
        """Return one subscription with its secret, for signing."""
        record = await self._store.fetch(SUBSCRIPTIONS, owner, key)
        return _decoder.decode(record.body) if record else None

    async def subscriptions(self, after: str, limit: int) -> list[Subscription]:
        """Return subscriptions of all owners with an id above `after`, for retention."""
        records = await self._store.select(SUBSCRIPTIONS, None, after, limit)
        return [_decoder.decode(record.body) for record in records]

    async def unsubscribe(self, subscription: Subscription) -> None:
        """Remove a subscription and its secret."""
        await self._store.drop(SUBSCRIPTIONS, subscription.owner, subscription.id)

    async def callbacks(self, job: Job) -> tuple[Callback, ...]:
        """
        Return the callbacks of a job as they were asked for, for another job like it.

        A secret that the service made is made anew for that job.
        """
        return tuple(
            Callback(
                url=each.url,
                states=each.interest.states,
                outcomes=each.interest.outcomes,
                events=each.interest.events,
                secret=None if each.made else each.secret,
            )
            for each in await self.of_job(job)
        )

    async def authorization(self, job: Job) -> str:
        """Return what the callbacks of a job carry as `Authorization`, for another job like it."""
        return next((each.authorization for each in await self.of_job(job)), "")

    async def of_job(self, job: Job) -> list[Subscription]:
        """Return the subscriptions of a job."""
        found = [await self.subscription(job.owner, each.subscription) for each in job.interests]
        return [each for each in found if each is not None]

    async def find(
        self, principal: Principal, which: DeliveryFilter, cursor: str | None, limit: int
    ) -> DeliveryPage:
        """
        Return a page of the owner's deliveries, newest first.

        Raises:
            Invalid: the cursor belongs to another list.

        """
        listed = f"deliveries {principal.name} {which!r}"
        after = self._cursors.read(cursor, listed, DeliveryCursor) if cursor else None
        if which.subscription is not None and which.job is None:
            # A job has few deliveries, an owner may have a million.
            subscription = await self.subscription(principal.name, which.subscription)
            if subscription is None:
                return DeliveryPage([], None)
            which = structs.replace(which, job=subscription.job)
        found = await self._store.deliveries(principal.name, which, after, limit + 1)
        page = found[:limit]
        if len(found) <= limit:
            return DeliveryPage(page, None)
        last = DeliveryCursor(page[-1].created, page[-1].id)
        return DeliveryPage(page, self._cursors.write(last, listed))

    async def get(self, principal: Principal, delivery: str) -> Delivery:
        """
        Return one delivery.

        Raises:
            NotFound: unknown, dropped since, or someone else's.

        """
        found = await self._store.delivery(principal.name, delivery)
        if found is None:
            raise _unknown()
        return found

    async def redeliver(self, principal: Principal, delivery: str) -> Delivery:
        """
        Send one delivery again under its id, whatever became of it; its schedule begins anew.

        Raises:
            NotFound: unknown, dropped since, or someone else's.

        """
        found = await self._store.redeliver(principal.name, delivery, self._clock())
        if found is None:
            raise _unknown()
        await self._ask(found.endpoint)
        return found

    async def recover(self, principal: Principal, since: datetime) -> Recovered:
        """
        Send those again that gave up, of all that were made since a moment.

        Not those that were overtaken: an old state would come after a newer one.
        """
        now, done = self._clock(), 0
        while done < _MOST_RECOVERED:
            some = await self._store.recover(principal.name, since, now, _RECOVERED_AT_ONCE)
            done += some
            await self._ask(None)
            if some < _RECOVERED_AT_ONCE:
                return Recovered(done, is_cut=False)
        return Recovered(done, is_cut=True)

    async def _ask(self, endpoint: str | None) -> None:
        """Have the notifier read the store at once; it would do so a moment later anyway."""
        with suppress(Unavailable):
            await self._transport.broadcast(DELIVERIES_ASKED, (endpoint or "").encode())

    def _secret(self, key: str) -> str:
        """Derive the secret of a subscription: always the same one, and nobody can guess it."""
        made = hmac.digest(self._identity, f"callback|{key}".encode(), "sha256")
        return SECRET_HEAD + base64.b64encode(made).decode()


def _unknown() -> NotFound:
    return NotFound("there is no delivery with this id", code="unknown_delivery")

"""Deliveries of callbacks: list them, look at their attempts, send them again."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from urllib.parse import quote

from jobwire.actors.client.calls import Calls, encode, given
from jobwire.actors.client.connection import Call
from jobwire.schemas.deliveries import DeliveryStatus
from jobwire.schemas.views import DeliveryView, RecoveredView


class DeliveryCalls(Calls):
    """Deliveries of callbacks: list them, look at their attempts, send them again."""

    def deliveries(
        self,
        job: str | None = None,
        *,
        status: DeliveryStatus | None = None,
        subscription: str | None = None,
        since: datetime | None = None,
        page: int = 200,
    ) -> AsyncGenerator[DeliveryView, None]:
        """Yield deliveries, newest first, also of jobs that were deleted since."""
        query = given(
            job=job and job.lower(),
            status=status,
            subscription=subscription,
            since=since and since.isoformat(),
        )
        return self._pages("/v1/deliveries", DeliveryView, {**query, "limit": str(page)})

    async def delivery(self, delivery: str) -> DeliveryView:
        """Return one delivery with its tries."""
        return await self._get(_path(delivery), DeliveryView)

    async def redeliver(self, delivery: str) -> DeliveryView:
        """Send one delivery again under its id, whatever became of it."""
        call = Call("POST", f"{_path(delivery)}/redeliver")
        return (await self._connection.call(call)).read(DeliveryView)

    async def recover_deliveries(self, since: datetime) -> RecoveredView:
        """Send those again that gave up, of all that were made since a moment."""
        call = Call("POST", "/v1/deliveries/recover", encode({"since": since}))
        return (await self._connection.insist(call)).read(RecoveredView)


def _path(delivery: str) -> str:
    return f"/v1/deliveries/{quote(delivery, safe='')}"

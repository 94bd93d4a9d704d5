"""Events: post them, look at the refused ones, send those again."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Iterable
from datetime import datetime
from typing import Any
from urllib.parse import quote

from jobwire.actors.client.calls import Calls, encode
from jobwire.actors.client.connection import Call
from jobwire.actors.client.posting import NewEvent, post_lines
from jobwire.schemas.views import Accepted, LineResult, OutcomeView, RefusalView

_ACCEPTED = 202


class EventCalls(Calls):
    """Events."""

    async def post_event(
        self,
        job: str,
        name: str,
        *,
        data: Any = None,  # any JSON
        token: str | None = None,
        event_id: str | None = None,
        occurred: datetime | None = None,
        source: str | None = None,
        attempt: int | None = None,
        wait_s: float | None = None,
    ) -> OutcomeView | Accepted:
        """
        Post an event; return when it is safe, or with `wait_s` when its outcome is known.

        No answer and 503 are tried again under the same event id, so the event counts once.
        One that names an `attempt` counts only while that is the job's newest one.

        Raises:
            Conflict: its outcome was waited for: the event is kept, but was not applied.
            Unavailable: no answer within `patience_s`; the same id makes another call harmless.

        """
        event = NewEvent(
            uuid=job,
            name=name,
            token=token,
            data=data,
            id=event_id or secrets.token_hex(16),
            time=occurred,
            source=source,
            attempt=attempt,
        )
        query = {"wait": f"{wait_s:g}"} if wait_s else None
        call = Call("POST", "/v1/events", encode(event), query=query, waits_s=wait_s or 0.0)
        reply = await self._connection.insist(call)
        return reply.read(Accepted) if reply.status == _ACCEPTED else reply.read(OutcomeView)

    async def post_events(
        self, events: Iterable[NewEvent], *, wait_s: float | None = None
    ) -> list[LineResult]:
        """
        Post many events in their order; return what became of each.

        What could not be stored now is tried again under the same ids, in the same order.
        """
        return await post_lines(self._connection, list(events), wait_s)

    def refused(self) -> AsyncGenerator[RefusalView, None]:
        """Yield events that were accepted but belong to no history, oldest first."""
        return self._pages("/v1/refused", RefusalView, {})

    async def replay(self, job: str, event: str) -> OutcomeView:
        """Send a refused event again under a new id."""
        path = f"/v1/refused/{quote(job, safe='')}/{quote(event, safe='')}/replay"
        return (await self._connection.insist(Call("POST", path))).read(OutcomeView)

"""
The Python SDK.

    async with Client("http://127.0.0.1:8640", api_key) as jobwire:
        job = await jobwire.create_job(name="fit", tags=["nightly"])
        await jobwire.post_event(job.id, "run")
        async for entry in jobwire.stream(job.id):
            print(entry.name, entry.state)

What went wrong is raised as the error of `schemas/errors.py` that the service answered. Calls that
write carry an id: one whose answer was lost is sent again under the same id, and counts once.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Raw

from actors.client.connection import Call, Connection, OnRetry
from actors.client.following import follow
from actors.client.paging import items
from actors.client.posting import NewEvent, post_lines
from schemas.lifecycle import JobOutcome, Lifecycle
from schemas.principals import Scope
from schemas.views import (
    Accepted,
    CreatedView,
    EntryView,
    FullJobView,
    JobView,
    KeyView,
    LineResult,
    NewKeyView,
    RefusalView,
    RotatedView,
    Settled,
    StatsView,
)

__all__ = ["Client", "NewEvent"]

Item = TypeVar("Item")

_ACCEPTED = 202
_encode = msgspec.json.Encoder().encode


class Client:
    """One service, seen by one caller."""

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        patience_s: float = 60.0,
        on_retry: OnRetry | None = None,
    ) -> None:
        """Call the service at `url`; repeat what is safe to repeat for at most `patience_s`."""
        self._connection = Connection(url, api_key, patience_s, on_retry)

    async def __aenter__(self) -> Self:
        """Open the connections."""
        await self._connection.open()
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self._connection.close()

    async def create_job(
        self,
        *,
        name: str | None = None,
        tags: Sequence[str] = (),
        lifecycle: str = "pipeline",
        data: Any = None,  # any JSON
        deadline_s: float | None = None,
        heartbeat_s: float | None = None,
        parent: str | None = None,
        idempotency_key: str | None = None,
    ) -> CreatedView:
        """Make a job; the same idempotency key gives the same job."""
        body = _given(
            name=name,
            tags=tags,
            lifecycle=lifecycle,
            data=data,
            deadline_s=deadline_s,
            heartbeat_s=heartbeat_s,
            parent=parent,
        )
        headers = {"Idempotency-Key": idempotency_key or secrets.token_hex(16)}
        call = Call("POST", "/v1/jobs", _encode(body), headers=headers)
        return (await self._connection.insist(call)).read(CreatedView)

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
        wait_s: float | None = None,
    ) -> Settled | Accepted:
        """
        Post an event; return when it is safe, or with `wait_s` when its outcome is known.

        No answer and 503 are tried again under the same event id, so the event counts once.

        Raises:
            Conflict: its outcome was waited for: the event is kept, but was not applied.
            Unavailable: no answer within the patience; the same id makes another call harmless.

        """
        event = NewEvent(
            uuid=job,
            name=name,
            token=token,
            data=data,
            id=event_id or secrets.token_hex(16),
            time=occurred,
            source=source,
        )
        query = {"wait": f"{wait_s:g}"} if wait_s else None
        call = Call("POST", "/v1/events", _encode(event), query=query, waits_s=wait_s or 0.0)
        reply = await self._connection.insist(call)
        return reply.read(Accepted) if reply.status == _ACCEPTED else reply.read(Settled)

    async def post_events(
        self, events: Iterable[NewEvent], *, wait_s: float | None = None
    ) -> list[LineResult]:
        """
        Post many events in their order; give what became of each.

        What could not be stored now is tried again under the same ids, in the same order.
        """
        return await post_lines(self._connection, list(events), wait_s)

    async def job(self, job: str) -> FullJobView:
        """Give one job with the data that it was made with."""
        return await self._get(_path(job), FullJobView)

    def jobs(
        self,
        *,
        state: str | None = None,
        outcome: JobOutcome | None = None,
        tag: str | None = None,
        lifecycle: str | None = None,
        parent: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        q: str | None = None,
        page: int = 200,
    ) -> AsyncIterator[JobView]:
        """Give jobs, newest first; pages are read as they are needed."""
        query = _given(
            state=state,
            outcome=outcome,
            tag=tag,
            lifecycle=lifecycle,
            parent=parent,
            since=since and since.isoformat(),
            until=until and until.isoformat(),
            q=q,
        )
        return self._pages("/v1/jobs", JobView, {**query, "limit": str(page)})

    def history(self, job: str, *, page: int = 500) -> AsyncIterator[EntryView]:
        """Give a job's history, oldest first."""
        return self._pages(_path(job, "history"), EntryView, {"limit": str(page)})

    def stream(
        self,
        job: str | None = None,
        *,
        after: str | None = None,
        state: str | None = None,
        name: str | None = None,
        applied: bool | None = None,
    ) -> AsyncIterator[EntryView]:
        """
        Follow one job from its beginning, or all jobs from now on; `after` begins elsewhere.

        Lost connections are made again where they broke off; each entry comes once.
        """
        flag = None if applied is None else str(applied).lower()
        query = _given(state=state, name=name, applied=flag)
        path = _path(job, "stream") if job else "/v1/stream"
        return follow(self._connection, Call("GET", path, query=query), after)

    async def delete(self, job: str, *, force: bool = False) -> None:
        """Delete a job; one that has not ended only with `force`."""
        query = {"force": "true"} if force else None
        await self._connection.call(Call("DELETE", _path(job), query=query))

    async def rotate_token(self, job: str, *, overlap_s: float | None = None) -> RotatedView:
        """Give a job a new token; the one before stays good for `overlap_s`."""
        body = _encode(_given(overlap_s=overlap_s))
        call = Call("POST", _path(job, "token"), body)
        return (await self._connection.call(call)).read(RotatedView)

    async def revoke_tokens(self, job: str) -> None:
        """End every token of a job at once."""
        await self._connection.call(Call("DELETE", _path(job, "token")))

    async def stats(self) -> StatsView:
        """Count jobs by lifecycle and state."""
        return await self._get("/v1/stats", StatsView)

    def lifecycles(self) -> AsyncIterator[Lifecycle]:
        """Give the built-in lifecycles and the newest versions of the caller's own."""
        return self._pages("/v1/lifecycles", Lifecycle, {})

    async def lifecycle(self, name: str, version: int | None = None) -> Lifecycle:
        """Give one lifecycle, the newest version where none is named."""
        query = {"version": str(version)} if version else None
        return await self._get(f"/v1/lifecycles/{quote(name, safe='')}", Lifecycle, query)

    async def register_lifecycle(self, lifecycle: Lifecycle | Raw) -> Lifecycle:
        """Register a table, as a record or as JSON text."""
        call = Call("POST", "/v1/lifecycles", _encode(lifecycle))
        return (await self._connection.insist(call)).read(Lifecycle)

    def keys(self) -> AsyncIterator[KeyView]:
        """Give all API keys, without their secrets; for administrators."""
        return self._pages("/v1/keys", KeyView, {})

    async def create_key(
        self,
        principal: str,
        *,
        scopes: Sequence[Scope] | None = None,
        label: str | None = None,
        expires_in_s: float | None = None,
    ) -> NewKeyView:
        """Make an API key; its text is in this answer and nowhere else."""
        body = _given(principal=principal, scopes=scopes, label=label, expires_in_s=expires_in_s)
        call = Call("POST", "/v1/keys", _encode(body))
        return (await self._connection.call(call)).read(NewKeyView)

    async def revoke_key(self, key: str) -> KeyView:
        """Revoke an API key for good."""
        path = f"/v1/keys/{quote(key, safe='')}"
        return (await self._connection.call(Call("DELETE", path))).read(KeyView)

    def refused(self) -> AsyncIterator[RefusalView]:
        """Give events that were accepted but belong to no history, oldest first."""
        return self._pages("/v1/refused", RefusalView, {})

    async def replay(self, job: str, event: str) -> Settled:
        """Send a refused event again under a new id."""
        path = f"/v1/refused/{quote(job, safe='')}/{quote(event, safe='')}/replay"
        return (await self._connection.insist(Call("POST", path))).read(Settled)

    async def check_ready(self) -> None:
        """
        Ask whether the service can store events now.

        Raises:
            JobwireError: it cannot, or nobody answers.

        """
        await self._connection.call(Call("GET", "/health/ready"))

    async def _get(
        self, path: str, shape: type[Item], query: Mapping[str, str] | None = None
    ) -> Item:
        return (await self._connection.call(Call("GET", path, query=query))).read(shape)

    def _pages(self, path: str, shape: type[Item], query: Mapping[str, str]) -> AsyncIterator[Item]:
        return items(self._connection, path, shape, query)


def _given(**fields: Any) -> dict[str, Any]:
    """Leave out what the caller did not name."""
    return {name: value for name, value in fields.items() if value is not None}


def _path(job: str, part: str = "") -> str:
    return "/v1/jobs/" + "/".join(quote(text, safe="") for text in (job.lower(), part) if text)

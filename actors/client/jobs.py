"""Jobs: make them, read them, follow them, delete them; their tokens."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from typing import Any

from jobwire.actors.client.calls import Calls, encode, given, job_path
from jobwire.actors.client.connection import Call
from jobwire.actors.client.event_stream import follow
from jobwire.schemas.deliveries import Callback
from jobwire.schemas.lifecycle import JobOutcome
from jobwire.schemas.specs import Spec
from jobwire.schemas.views import (
    CreatedView,
    EntryView,
    FullJobView,
    JobView,
    RotatedView,
    StatsView,
)


class JobCalls(Calls):
    """Jobs."""

    async def create_job(
        self,
        *,
        name: str | None = None,
        tags: Sequence[str] = (),
        lifecycle: str | None = None,
        data: Any = None,  # any JSON
        deadline_s: float | None = None,
        heartbeat_s: float | None = None,
        parent: str | None = None,
        callbacks: Sequence[Callback] = (),
        spec: Spec | Mapping[str, Any] | None = None,
        start_after: datetime | None = None,
        priority: int | None = None,
        hold: bool = False,
        idempotency_key: str | None = None,
    ) -> CreatedView:
        """
        Make a job: one that runs elsewhere or, with `spec`, one that the service runs.

        The same idempotency key gives the same job. `start_after`, `priority` and `hold` are for
        jobs with a `spec`.

        Raises:
            Invalid: a field is wrong, `pointer` names it; or the job could never run.

        """
        request = given(
            name=name,
            tags=tags or None,
            lifecycle=lifecycle,
            data=data,
            deadline_s=deadline_s,
            heartbeat_s=heartbeat_s,
            parent=parent,
            callbacks=callbacks or None,
            spec=spec,
            start_after=start_after,
            priority=priority,
            hold=hold or None,
        )
        return await self.submit(request, idempotency_key=idempotency_key)

    async def submit(
        self, request: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> CreatedView:
        """Make a job of a whole request, as `POST /v1/jobs` takes it."""
        headers = {"Idempotency-Key": idempotency_key or secrets.token_hex(16)}
        call = Call("POST", "/v1/jobs", encode(request), headers=headers)
        return (await self._connection.insist(call)).read(CreatedView)

    async def job(self, job: str) -> FullJobView:
        """Return one job with the data that it was made with."""
        return await self._get(job_path(job), FullJobView)

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
    ) -> AsyncGenerator[JobView, None]:
        """Yield jobs, newest first; pages are read as they are needed."""
        query = given(
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

    def history(self, job: str, *, page: int = 500) -> AsyncGenerator[EntryView, None]:
        """Yield a job's history, oldest first."""
        return self._pages(job_path(job, "history"), EntryView, {"limit": str(page)})

    def stream(
        self,
        job: str | None = None,
        *,
        after: str | None = None,
        state: str | None = None,
        name: str | None = None,
        applied: bool | None = None,
    ) -> AsyncGenerator[EntryView, None]:
        """
        Follow one job from its beginning, or all jobs from now on; `after` begins elsewhere.

        Lost connections are made again where they broke off; each entry comes once.
        """
        flag = None if applied is None else str(applied).lower()
        query = given(state=state, name=name, applied=flag)
        path = job_path(job, "stream") if job else "/v1/stream"
        return follow(self._connection, Call("GET", path, query=query), after)

    async def delete(self, job: str, *, force: bool = False) -> None:
        """Delete a job; one that has not ended only with `force`."""
        query = {"force": "true"} if force else None
        await self._connection.call(Call("DELETE", job_path(job), query=query))

    async def rotate_token(self, job: str, *, overlap_s: float | None = None) -> RotatedView:
        """Return a job a new token; the one before stays good for `overlap_s`."""
        body = encode(given(overlap_s=overlap_s))
        call = Call("POST", job_path(job, "token"), body)
        return (await self._connection.call(call)).read(RotatedView)

    async def revoke_tokens(self, job: str) -> None:
        """End every token of a job at once."""
        await self._connection.call(Call("DELETE", job_path(job, "token")))

    async def stats(self) -> StatsView:
        """Count jobs by lifecycle and state."""
        return await self._get("/v1/stats", StatsView)

"""
The Python SDK for asynchronous programs.

    async with Client("http://127.0.0.1:8640", api_key) as jobwire:
        job = await jobwire.create_job(name="fit", tags=["nightly"])
        await jobwire.post_event(job.id, "run")
        async for entry in jobwire.stream(job.id):
            print(entry.name, entry.state)

What went wrong is raised as the error of `schemas/errors.py` that the service answered. Calls that
write carry an id: one whose answer was lost is sent again under the same id, and counts once.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from jobwire.actors.client.connection import Connection, OnRetry
from jobwire.actors.client.controls import ControlCalls
from jobwire.actors.client.deliveries import DeliveryCalls
from jobwire.actors.client.events import EventCalls
from jobwire.actors.client.files import FileCalls
from jobwire.actors.client.jobs import JobCalls
from jobwire.actors.client.records import RecordCalls


class Client(JobCalls, EventCalls, ControlCalls, FileCalls, DeliveryCalls, RecordCalls):
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

    async def open(self) -> Self:
        """Open the connections; `async with` does it too."""
        await self._connection.open()
        return self

    async def close(self) -> None:
        """Close the connections; streams that are read end."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        """Open the connections."""
        return await self.open()

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self.close()

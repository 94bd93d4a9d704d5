"""A whole service in this process, and callers that speak HTTP to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec

from jobwire.actors.runtime.folder import DataFolder
from jobwire.actors.runtime.settings import Settings
from jobwire.actors.system import System
from tests.support.leftovers import end_jobs

#: How long a test waits for one answer.
_ANSWER_S = 90.0


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as plain values."""
        return msgspec.json.decode(self.body)

    @property
    def lines(self) -> list[Any]:
        """The lines of an NDJSON body as plain values."""
        return [msgspec.json.decode(line) for line in self.body.splitlines()]


class Caller:
    """Sends requests with one API key, or with none."""

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str | None) -> None:
        """Speak to the service at a URL."""
        self._session = session
        self.url = url
        self.key = key

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        params: Any = None,
    ) -> Answer:
        """Send one request; `path` may be a whole URL."""
        sent = dict(headers or {})
        if self.key is not None:
            sent.setdefault("Authorization", f"Bearer {self.key}")
        if json is not None:
            body = msgspec.json.encode(json)
            sent.setdefault("Content-Type", "application/json")
        url = path if path.startswith("http") else self.url + path
        async with (
            asyncio.timeout(_ANSWER_S),
            self._session.request(method, url, data=body, headers=sent, params=params) as response,
        ):
            return Answer(response.status, response.headers.copy(), await response.read())

    def as_nobody(self) -> Caller:
        """Return a caller of the same service without a key."""
        return Caller(self._session, self.url, None)

    async def get(self, path: str, **rest: Any) -> Answer:
        """Send a GET."""
        return await self("GET", path, **rest)

    async def post(self, path: str, **rest: Any) -> Answer:
        """Send a POST."""
        return await self("POST", path, **rest)

    async def delete(self, path: str, **rest: Any) -> Answer:
        """Send a DELETE."""
        return await self("DELETE", path, **rest)

    async def make_job(self, headers: Mapping[str, str] | None = None, **fields: Any) -> Any:
        """Make a job; return the answer's JSON."""
        made = await self.post("/v1/jobs", json=fields, headers=headers)
        assert made.status == 201, made.body
        return made.json

    async def report(self, job: Any, name: str, **fields: Any) -> Any:
        """Report an event with the job's token and wait for it; return the answer's JSON."""
        event = {"uuid": job["id"], "name": name, "token": job["token"], **fields}
        answer = await self.post("/v1/events?wait=5", json=event)
        assert answer.status < 500, answer.body
        return answer.json

    @asynccontextmanager
    async def follow(
        self, path: str, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Feed]:
        """Open a stream of server-sent events; it has begun when this returns."""
        sent = {"Authorization": f"Bearer {self.key}", **(headers or {})}
        async with self._session.get(self.url + path, headers=sent) as response:
            assert response.status == 200, await response.read()
            feed = Feed(response)
            await feed.begin()
            yield feed


class Feed:
    """Server-sent events as they come."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        """Read from an answer."""
        self.response = response
        #: Where the stream began; whoever comes back with it misses nothing.
        self.place = ""

    async def begin(self) -> None:
        """Read the first block: that the stream has begun, and where."""
        following, place = await self.block()
        assert following == ": following"
        self.place = place.removeprefix("id: ")

    async def block(self) -> list[str]:
        """Return the lines of the next block; none: the stream has ended."""
        lines: list[str] = []
        async with asyncio.timeout(_ANSWER_S):
            while line := await self.response.content.readline():
                if line == b"\n":
                    return lines
                lines.append(line.decode().rstrip("\n"))
        return lines

    async def entry(self) -> tuple[str | None, Any]:
        """Return the next entry and its id, where it has one."""
        while True:
            lines = await self.block()
            fields = dict(line.split(": ", 1) for line in lines if not line.startswith(":"))
            if "data" in fields:
                return fields.get("id"), msgspec.json.decode(fields["data"])
            assert lines, "the stream has ended"

    async def entries(self, count: int) -> list[Any]:
        """Return the next so many entries."""
        return [(await self.entry())[1] for _ in range(count)]


class Service:
    """A running service and its callers."""

    def __init__(self, system: System, session: aiohttp.ClientSession, folder: DataFolder) -> None:
        """Keep what runs."""
        self.system = system
        self.folder = folder
        self._session = session
        self.admin = self.caller(folder.api_key())
        self.nobody = self.caller(None)

    @property
    def url(self) -> str:
        """Where it answers."""
        return self.system.url

    @property
    def port(self) -> int:
        """The port on which it answers."""
        return int(self.url.rpartition(":")[2])

    def caller(self, key: str | None) -> Caller:
        """Make a caller with a key."""
        return Caller(self._session, self.system.url, key)

    async def principal(
        self, name: str, scopes: tuple[str, ...] = ("read", "events", "jobs")
    ) -> Caller:
        """Make a caller with a new key of a principal."""
        made = await self.admin.post("/v1/keys", json={"principal": name, "scopes": scopes})
        assert made.status == 201, made.body
        return self.caller(made.json["key"])

    async def raw(self, request: bytes) -> bytes:
        """Send bytes on a connection of their own; return all that comes back until its end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            await writer.drain()
            async with asyncio.timeout(_ANSWER_S):
                return await reader.read()
        finally:
            writer.close()


async def _start(system: System) -> None:
    try:
        await system.start()
    except BaseException:
        await system.stop()
        raise


@asynccontextmanager
async def running(
    path: Path, settings: Settings | None = None, *, leaves_jobs: bool = False
) -> AsyncIterator[Service]:
    """Run a service on a free port over a data folder; what still runs at its end may run on."""
    folder = DataFolder(path)
    folder.claim()
    system = System(settings or Settings(port=0), folder)
    try:
        await _start(system)
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session:
            yield Service(system, session, folder)
        async with asyncio.timeout(_ANSWER_S):
            await system.stop()
    finally:
        folder.release()
        if not leaves_jobs:
            end_jobs(path)

"""Where dialects of other systems are mounted: below a path, and alone at a port of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import aiohttp
import msgspec
import pytest
from aiohttp import web

from jobwire.actors.dialects.base import ForeignDialect, Notice
from jobwire.actors.dialects.mounts import base_url
from jobwire.actors.dialects.pipelinejobs.settings import PipelineJobs
from jobwire.actors.gateway.actor import Gateway
from jobwire.actors.gateway.health import HealthRoutes
from jobwire.actors.messaging.entry_feed import EntryFeed
from jobwire.actors.operations.streams import Streams
from jobwire.actors.runtime.settings import Limits, Settings
from jobwire.actors.runtime.telemetry import Telemetry
from jobwire.actors.stores.sqlite import SqliteStore
from jobwire.actors.transports.embedded import EmbeddedTransport
from jobwire.schemas.deliveries import Subscription
from jobwire.schemas.errors import JobwireError
from jobwire.schemas.jobs import Entry, Job
from tests.support.service import Answer, Caller


class Greetings(ForeignDialect):
    """A language of one route, as another system may speak it."""

    name = "pipelinejobs"

    def routes(self) -> Iterable[web.RouteDef]:
        return [web.get("/hello", self.hello)]

    async def hello(self, request: web.Request) -> web.Response:
        return web.Response(text=f"{base_url(request)}/hello")

    def problem(self, error: JobwireError) -> web.Response:
        return web.json_response({"sorry": error.code}, status=error.status)

    async def callback(self, job: Job, entry: Entry, subscription: Subscription) -> Notice | None:
        del job, subscription
        return Notice(entry.state.encode(), "PUT", (("Content-Type", "text/plain"),))


class Silence(Greetings):
    """Another one, to stand at the root of the main port."""

    name = "native"

    def routes(self) -> Iterable[web.RouteDef]:
        return []

    def problem(self, error: JobwireError) -> web.Response:
        return web.json_response({"native": error.code}, status=error.status)


class Running:
    """A gateway over nothing, and a client of it."""

    def __init__(self, gateway: Gateway, session: aiohttp.ClientSession) -> None:
        self.below, self.alone = gateway.dialect_urls()["pipelinejobs"]
        self._caller = Caller(session, gateway.url, None)

    async def get(self, url: str, **headers: str) -> Answer:
        return await self._caller.get(url, headers=headers)

    async def post(self, url: str) -> Answer:
        return await self._caller.post(url)


async def _not_ready() -> list[str]:
    return []


def _gateway(folder: Path, settings: Settings, dialect: ForeignDialect) -> Gateway:
    telemetry = Telemetry()
    return Gateway(
        native=Silence(),
        foreign=[dialect],
        health=HealthRoutes(_not_ready, telemetry),
        streams=Streams(SqliteStore(folder / "jobwire.db"), EntryFeed(EmbeddedTransport()), 1),
        settings=settings,
        telemetry=telemetry,
    )


def _settings(public_url: str | None = None, own_url: str | None = None, **limits: int) -> Settings:
    mounting = PipelineJobs(enabled=True, listen="127.0.0.1:0", public_url=own_url)
    return Settings(
        port=0,
        public_url=public_url,
        limits=Limits(**limits),
        dialects={"pipelinejobs": mounting},
    )


async def _running(folder: Path, settings: Settings) -> AsyncIterator[Running]:
    gateway = _gateway(folder, settings, Greetings())
    gateway.bind()
    await gateway.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield Running(gateway, session)
    finally:
        await gateway.stop()


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async for each in _running(tmp_path, _settings()):
        yield each


async def test_a_dialect_answers_below_its_path_and_at_its_port(running: Running) -> None:
    below = await running.get(f"{running.below}/hello")
    alone = await running.get(f"{running.alone}/hello")

    assert running.below.endswith("/compat/pipelinejobs")
    assert (below.status, below.body.decode()) == (200, f"{running.below}/hello")
    assert (alone.status, alone.body.decode()) == (200, f"{running.alone}/hello")


async def test_links_are_built_of_the_address_that_the_client_used(running: Running) -> None:
    below = await running.get(f"{running.below}/hello", Host="jobs.example.org")
    wrong = await running.get(f"{running.below}/hello", Host="no host")

    assert below.body == b"http://jobs.example.org/compat/pipelinejobs/hello"
    assert (wrong.status, wrong.json) == (400, {"sorry": "bad_request"})


async def test_links_are_built_of_the_public_addresses_where_they_are_set(tmp_path: Path) -> None:
    settings = _settings("https://jobs.example.org/", "https://old.example.org")
    async for running in _running(tmp_path, settings):
        below = await running.get(f"{running.below}/hello")
        alone = await running.get(f"{running.alone}/hello")

    assert below.body == b"https://jobs.example.org/compat/pipelinejobs/hello"
    assert alone.body == b"https://old.example.org/hello"


@pytest.mark.parametrize("where", ["below", "alone"])
async def test_what_is_not_there_is_said_in_the_words_of_the_dialect(
    running: Running, where: str
) -> None:
    base = getattr(running, where)

    unknown = await running.get(f"{base}/nothing")
    wrong = await running.post(f"{base}/hello")

    assert (unknown.status, unknown.json) == (404, {"sorry": "unknown_route"})
    assert (wrong.status, wrong.json) == (405, {"sorry": "method_not_allowed"})
    assert wrong.headers["Allow"] == "GET, HEAD"


async def test_paths_beside_it_are_the_native_ones(running: Running) -> None:
    near = await running.get(f"{running.below}x/hello")
    health = await running.get(running.below.replace("/compat/pipelinejobs", "/health/live"))
    alone = await running.get(f"{running.alone}/health/live")

    assert (near.status, near.json) == (404, {"native": "unknown_route"})
    assert health.status == 200
    assert (alone.status, alone.json) == (404, {"sorry": "unknown_route"})


async def test_all_ports_share_the_limit_of_connections(tmp_path: Path) -> None:
    async for running in _running(tmp_path, _settings(connections=1)):
        host, port = running.below.split("/")[2].split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: here\r\n\r\n")
        await reader.readline()

        own = int(running.alone.rpartition(":")[2])
        other, hanging = await asyncio.open_connection(host, own)
        said = await other.read()
        hanging.close()
        writer.close()

    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"application/json" in head
    assert msgspec.json.decode(body) == {"sorry": "too_many_connections"}

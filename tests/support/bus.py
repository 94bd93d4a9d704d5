"""A service on a real broker, with a store on disk, in this process: HTTP and bus side by side."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from aiohttp import web

from jobwire.actors.dialects.mounts import MOUNT, Mount
from jobwire.actors.dialects.native.event_consumer import EventConsumer
from jobwire.actors.gateway.problems import problems
from jobwire.actors.notifier.transition_publisher import TransitionPublisher
from jobwire.actors.operations.keys import KeyRequest
from jobwire.actors.runtime.folder import DataFolder
from jobwire.actors.runtime.settings import Broker, Settings
from jobwire.actors.state_manager.actor import StateManager
from jobwire.actors.state_manager.batch import Settler
from jobwire.actors.system.container import Container
from jobwire.schemas.principals import ALL_SCOPES
from tests.support.deadlines import until
from tests.support.service import Caller


class BusService(NamedTuple):
    """What a test needs of it."""

    url: str
    parts: Container
    admin: Caller
    event_consumer: EventConsumer
    manager: StateManager

    async def history(self, job: Any) -> list[Any]:
        """Return the history of a job as HTTP shows it."""
        answer = await self.admin.get(f"/v1/jobs/{job['id']}/history?limit=500")
        items: list[Any] = answer.json["items"]
        return items

    async def names(self, job: Any) -> list[str]:
        """Return the names of the events that are remembered of a job."""
        return [entry["name"] for entry in await self.history(job)]

    def counted(self, name: str, **labels: str) -> float:
        """Return the value of a counter."""
        return self.parts.telemetry.registry.get_sample_value(f"{name}_total", labels) or 0.0


async def _nothing() -> list[str]:
    return []


@asynccontextmanager
async def serving_bus(url: str, folder: Path) -> AsyncIterator[BusService]:
    """Run a gateway, an inlet, a state manager and a herald on the broker at a URL."""
    settings = Settings(broker=Broker(url=url), shards=2)
    data = DataFolder(folder)
    data.claim()
    parts = Container(settings, data, data.secrets(), "tests", _nothing, lambda: "")
    settler = Settler(parts.store, parts.keyring, parts.registry, settings.limits.events_per_job)
    manager = StateManager(
        transport=parts.transport,
        store=parts.store,
        settler=settler,
        telemetry=parts.telemetry,
        shards=settings.shards,
    )
    event_consumer = EventConsumer(parts.transport, parts.events, settings.limits, parts.telemetry)
    async with AsyncExitStack() as stack:
        stack.callback(data.release)
        await parts.store.open()
        stack.push_async_callback(parts.store.close)
        await parts.transport.open()
        stack.push_async_callback(parts.transport.close)
        await parts.packer.start()
        await parts.packer.admit()
        await parts.replies.start(parts.transport)
        for actor in (
            manager,
            TransitionPublisher(parts.transport, parts.entry_feed),
            event_consumer,
        ):
            await actor.start()
            stack.push_async_callback(actor.stop)
        stack.push_async_callback(parts.packer.close)
        await until(lambda: parts.transport.not_ready() is None)
        made = await parts.keys.create(KeyRequest(principal="admin", scopes=ALL_SCOPES))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        base = await stack.enter_async_context(_serving_http(parts))
        yield BusService(url, parts, Caller(session, base, made.text), event_consumer, manager)


@asynccontextmanager
async def _serving_http(parts: Container) -> AsyncIterator[str]:
    app = web.Application(middlewares=[problems(parts.dialects.native, parts.telemetry)])
    app[MOUNT] = Mount()
    app.add_routes(parts.dialects.native.routes())
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()

"""The only composition root: settings to parts, parts to a running service."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from actors.dialects.base import Door
from actors.dialects.native import NativeDialect
from actors.gateway.actor import Gateway
from actors.gateway.health import HealthRoutes
from actors.operations import Operations
from actors.operations.events import Events
from actors.operations.jobs import Jobs
from actors.operations.keys import KeyRequest, Keys
from actors.operations.lifecycles import Lifecycles
from actors.operations.refusals import Refusals
from actors.operations.replies import Replies
from actors.operations.streams import Streams
from actors.operations.tables import LifecycleTables
from actors.runtime.actor import Actor
from actors.runtime.folder import DataFolder, Service, ServiceSecrets, write_private
from actors.runtime.packer import Packer
from actors.runtime.quota import Quota
from actors.runtime.settings import Settings
from actors.runtime.telemetry import Telemetry
from actors.state_manager.actor import StateManager
from actors.state_manager.batch import Settler
from actors.state_manager.reaper import Reaper
from actors.stores.base import Record, Store
from actors.stores.sqlite import SqliteStore
from actors.transports.base import Transport
from actors.transports.embedded import EmbeddedTransport
from schemas.codec import encode_packet
from schemas.cursors import Cursors
from schemas.errors import JobwireError, Misconfigured, Unauthorized
from schemas.events import PACKET_VERSION, Event, Packet
from schemas.identifiers import shard_of
from schemas.principals import ALL_SCOPES

_log = structlog.get_logger()

#: Owner of what is made with the first key.
FIRST_PRINCIPAL = "admin"


def now() -> datetime:
    """Tell the time; the one clock that is handed to every part."""
    return datetime.now(UTC)


class System:
    """One service in one process: every actor on the embedded transport and store."""

    def __init__(self, settings: Settings, folder: DataFolder) -> None:
        """Build all parts; nothing runs yet. The folder has been claimed."""
        self._settings = settings
        self._folder = folder
        self._telemetry = Telemetry()
        self._store: Store = SqliteStore(folder.database, max_bytes=settings.limits.database_bytes)
        self._transport: Transport = EmbeddedTransport()
        secrets = folder.secrets()
        self._keyring = secrets.keyring
        self._packer = Packer(settings.shards, self._send, settings.answer_s)
        self._replies = Replies()
        self._operations = self._make_operations(secrets)
        self._gateway = self._make_gateway(secrets)
        tables = LifecycleTables(self._store)
        settler = Settler(self._store, self._keyring, tables, settings.limits.events_per_job)
        self._actors: Sequence[Actor] = (
            StateManager(self._transport, settler, self._telemetry, settings.shards),
            Reaper(
                store=self._store,
                transport=self._transport,
                tables=tables,
                keyring=self._keyring,
                post=self._post,
                clock=now,
                telemetry=self._telemetry,
                interval_s=settings.reaper_interval_s,
            ),
            self._gateway,
        )

    @property
    def url(self) -> str:
        """Where the service answers."""
        return self._gateway.url

    async def start(self) -> None:
        """Open the store, start the actors, and write down where the service answers."""
        await self._store.open()
        await self._fix_shards()
        await self._make_first_key()
        await self._transport.open()
        await self._operations.streams.start(self._transport)
        await self._replies.start(self._transport)
        for actor in self._actors:
            await actor.start()
        self._folder.announce(Service(url=self.url, pid=os.getpid()))

    async def stop(self) -> None:
        """
        Stop in the order that loses nothing.

        No new requests, then what is in hand, then the store.
        """
        for actor in reversed(self._actors[1:]):
            await actor.stop()
        await self._packer.close()
        await self._transport.close()
        await self._actors[0].stop()
        await self._store.close()

    async def missing(self) -> list[str]:
        """Name the parts that are not able to work now."""
        missing = [name for actor in self._actors if (name := actor.missing())]
        try:
            async with asyncio.timeout(self._settings.answer_s):
                await self._store.check()
        except (JobwireError, TimeoutError) as error:
            missing.append(f"store: {error}" if str(error) else "store: no answer")
        return missing

    def _make_operations(self, secrets: ServiceSecrets) -> Operations:
        limits = self._settings.limits
        events = Events(
            packer=self._packer,
            replies=self._replies,
            keyring=self._keyring,
            clock=now,
            shards=self._settings.shards,
            data_bytes=limits.data_bytes,
        )
        lifecycles = Lifecycles(self._store, limits.lifecycles_per_owner)
        jobs = Jobs(
            store=self._store,
            events=events,
            lifecycles=lifecycles,
            keyring=self._keyring,
            identity=secrets.identity,
            quota=Quota(limits.jobs_per_minute, time.monotonic),
            most_tags=limits.tags_per_job,
        )
        return Operations(
            events=events,
            jobs=jobs,
            streams=Streams(self._store, limits.streams_per_owner),
            lifecycles=lifecycles,
            refusals=Refusals(store=self._store, events=events, identity=secrets.identity),
            keys=Keys(self._store, now),
        )

    def _make_gateway(self, secrets: ServiceSecrets) -> Gateway:
        limits = self._settings.limits
        failures = Quota(limits.failed_logins_per_minute, time.monotonic)
        door = Door(self._operations, failures, limits.request_s)
        cursors = Cursors(secrets.identity)
        return Gateway(
            native=NativeDialect(self._operations, door, self._settings, cursors, self._telemetry),
            health=HealthRoutes(self.missing, self._telemetry),
            streams=self._operations.streams,
            settings=self._settings,
            telemetry=self._telemetry,
        )

    async def _send(self, shard: int, events: tuple[Event, ...]) -> None:
        await self._transport.send(
            f"events.{shard}", [encode_packet(Packet(PACKET_VERSION, events))]
        )
        self._telemetry.events_accepted.inc(len(events))

    async def _post(self, event: Event) -> None:
        await self._packer.put(shard_of(event.job, self._settings.shards), event)

    async def _fix_shards(self) -> None:
        """
        Keep the number of queues that this data was made with.

        Another one would break the order.
        """
        wanted = str(self._settings.shards).encode()
        await self._store.put("service", Record("", "shards", wanted), fresh=True)
        stored = await self._store.fetch("service", "", "shards")
        if stored is not None and stored.body != wanted:
            detail = (
                f"this data was made with shards = {stored.body.decode()}, "
                f"the settings say {self._settings.shards}"
            )
            raise Misconfigured(detail)

    async def _make_first_key(self) -> None:
        """Keep a key in its file that opens this data, also after a restore or a revocation."""
        if await self._is_good(self._folder.api_key()):
            return
        made = await self._operations.keys.create(
            KeyRequest(principal=FIRST_PRINCIPAL, scopes=ALL_SCOPES, label="first key")
        )
        write_private(self._folder.api_key_file, made.text.encode() + b"\n")

    async def _is_good(self, api_key: str | None) -> bool:
        try:
            return api_key is not None and bool(await self._operations.keys.authenticate(api_key))
        except Unauthorized:
            return False

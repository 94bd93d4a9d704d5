"""The only composition root: settings to parts, parts to a running service."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog

from actors.batch_systems.local import LocalBatch
from actors.dialects.base import Door
from actors.dialects.native import NativeDialect
from actors.filesystems.file import FileTree
from actors.gateway.actor import Gateway
from actors.gateway.health import HealthRoutes
from actors.hosts.local import LocalHost
from actors.notifier.actor import Notifier
from actors.operations import Operations
from actors.operations.births import Births
from actors.operations.controls import Controls
from actors.operations.deliveries import Deliveries
from actors.operations.events import Events
from actors.operations.files import Files
from actors.operations.jobs import Jobs
from actors.operations.keys import KeyRequest, Keys
from actors.operations.lifecycles import Lifecycles
from actors.operations.refusals import Refusals
from actors.operations.replies import Replies
from actors.operations.roots import Roots
from actors.operations.streams import Streams
from actors.operations.tables import LifecycleTables
from actors.operations.work import Work
from actors.runtime.actor import Actor
from actors.runtime.egress import Egress
from actors.runtime.folder import DataFolder, Service, ServiceSecrets, write_private
from actors.runtime.packer import Packer
from actors.runtime.quota import Quota
from actors.runtime.secrets import JobSecrets
from actors.runtime.settings import Settings
from actors.runtime.telemetry import Telemetry
from actors.sites import Site
from actors.stager.actor import Stager
from actors.state_manager.actor import StateManager
from actors.state_manager.batch import Settler
from actors.state_manager.reaper import Reaper
from actors.stores.base import Record, Store
from actors.stores.sqlite import SqliteStore
from actors.submitter.actor import Submitter
from actors.transports.base import Transport
from actors.transports.embedded import EmbeddedTransport
from schemas.codec import encode_packet
from schemas.cursors import Cursors
from schemas.errors import JobwireError, Misconfigured
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
        self._tables = LifecycleTables(self._store)
        self._sites = self._make_sites()
        self._roots = Roots(folder.path / "files", settings.staging.roots, FileTree)
        self._job_secrets = JobSecrets(Path(settings.secrets_folder or folder.path / "secrets"))
        self._egress = Egress(settings.may_call)
        self._operations = self._make_operations(secrets)
        self._gateway = self._make_gateway(secrets)
        self._actors = self._make_actors()

    @property
    def url(self) -> str:
        """Where the service answers."""
        return self._gateway.url

    async def start(self) -> None:
        """Open the store, start the actors, and write down where the service answers."""
        self._gateway.bind()
        try:
            await self._start()
        except BaseException:
            await self._gateway.stop()
            raise

    async def _start(self) -> None:
        await self._store.open()
        await self._fix_shards()
        await self._make_first_key()
        await self._transport.open()
        await self._operations.streams.start(self._transport)
        await self._replies.start(self._transport)
        for site in self._sites.values():
            await site.host.open()
        for actor in self._actors:
            await actor.start()
        self._folder.announce(Service(url=self.url, pid=os.getpid()))

    async def stop(self) -> None:
        """Stop what loses nothing by it: requests first, then what is in hand, then the store."""
        for actor in reversed(self._actors[1:]):
            await actor.stop()
        await self._packer.close()
        await self._transport.close()
        await self._actors[0].stop()
        for site in self._sites.values():
            await site.host.close()
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
        deliveries = Deliveries(self._store, secrets.identity, self._egress, now)
        files = Files(self._sites)
        births = Births(
            store=self._store,
            lifecycles=lifecycles,
            sites=self._sites if self._settings.runs_jobs else {},
            roots=self._roots,
            secrets=self._job_secrets,
            limits=limits,
        )
        jobs = Jobs(
            store=self._store,
            events=events,
            births=births,
            deliveries=deliveries,
            files=files,
            keyring=self._keyring,
            identity=secrets.identity,
            quota=Quota(limits.jobs_per_minute, time.monotonic),
        )
        return Operations(
            events=events,
            jobs=jobs,
            controls=Controls(
                store=self._store,
                events=events,
                jobs=jobs,
                births=births,
                deliveries=deliveries,
                tables=self._tables,
                most=limits.selection,
            ),
            files=files,
            deliveries=deliveries,
            streams=Streams(self._store, limits.streams_per_owner),
            lifecycles=lifecycles,
            refusals=Refusals(store=self._store, events=events, identity=secrets.identity),
            keys=Keys(self._store, now),
        )

    def _make_sites(self) -> Mapping[str, Site]:
        """Give this machine; where jobs may not run any more, those that run are still watched."""
        local = self._settings.local
        root = Path(local.folder or self._folder.path / "sandboxes").absolute()
        host = LocalHost(FileTree(root), str(root))
        slots = (local.slots or os.cpu_count() or 1) if self._settings.runs_jobs else 0
        return {"local": Site(name="local", host=host, batch=LocalBatch(), slots=slots)}

    def _make_actors(self) -> Sequence[Actor]:
        """Make the actors in the order of their starts; whoever lets requests in is the last."""
        settings, store, transport = self._settings, self._store, self._transport
        settler = Settler(store, self._keyring, self._tables, settings.limits.events_per_job)
        events = self._operations.events
        work = Work(store=store, events=events, keyring=self._keyring, clock=now)
        submitters = [
            Submitter(
                site=site,
                transport=transport,
                work=work,
                secrets=self._job_secrets,
                settings=settings.local,
                url=lambda: self.url,
                clock=now,
            )
            for site in self._sites.values()
        ]
        return (
            StateManager(transport, settler, self._telemetry, settings.shards),
            *submitters,
            Stager(
                transport=transport,
                work=work,
                sites=self._sites,
                roots=self._roots,
                settings=settings.staging,
            ),
            Notifier(
                store=store,
                transport=transport,
                deliveries=self._operations.deliveries,
                egress=self._egress,
                settings=settings.callbacks,
                telemetry=self._telemetry,
                clock=now,
            ),
            Reaper(
                store=store,
                transport=transport,
                tables=self._tables,
                keyring=self._keyring,
                post=self._post,
                clock=now,
                telemetry=self._telemetry,
                interval_s=settings.reaper_interval_s,
            ),
            self._gateway,
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
        keys = self._operations.keys
        if not await keys.is_good(self._folder.api_key()):
            request = KeyRequest(principal=FIRST_PRINCIPAL, scopes=ALL_SCOPES, label="first key")
            made = await keys.create(request)
            write_private(self._folder.api_key_file, made.text.encode() + b"\n")

"""Makes the parts of a process from its settings: each one once, and no more than are asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from jobwire.actors.dialects.base import (
    DialectContext,
    DialectPlugin,
    Missing,
)
from jobwire.actors.dialects.request_guard import RequestGuard
from jobwire.actors.filesystems.file import FileTree
from jobwire.actors.lifecycle_registry import LifecycleRegistry
from jobwire.actors.messaging.entry_feed import EntryFeed
from jobwire.actors.messaging.packer import Packer
from jobwire.actors.messaging.poster import EventPoster
from jobwire.actors.messaging.replies import ReplyInbox
from jobwire.actors.operations import Operations
from jobwire.actors.operations.controls import Controls
from jobwire.actors.operations.deliveries import Deliveries
from jobwire.actors.operations.event_status import EventStatuses
from jobwire.actors.operations.events import Events
from jobwire.actors.operations.files import Files
from jobwire.actors.operations.job_creation import JobCreator
from jobwire.actors.operations.job_waiter import JobWaiter
from jobwire.actors.operations.jobs import Jobs
from jobwire.actors.operations.keys import Keys
from jobwire.actors.operations.lifecycles import Lifecycles
from jobwire.actors.operations.records import DialectRecords
from jobwire.actors.operations.refusals import Refusals
from jobwire.actors.operations.streams import Streams
from jobwire.actors.operations.withdrawals import Withdrawals
from jobwire.actors.roles.live_levels import LiveLevels
from jobwire.actors.runtime import plugins
from jobwire.actors.runtime.egress import Egress
from jobwire.actors.runtime.folder import DataFolder, ServiceSecrets
from jobwire.actors.runtime.mounting import Mounting
from jobwire.actors.runtime.quota import Quota
from jobwire.actors.runtime.secrets import JobSecrets
from jobwire.actors.runtime.settings import Settings
from jobwire.actors.runtime.telemetry import Telemetry
from jobwire.actors.sites import Site
from jobwire.actors.staging_roots import StagingRoots
from jobwire.actors.stores.base import Store
from jobwire.actors.stores.plugins import StorePlugin
from jobwire.actors.system.dialects import Dialects
from jobwire.actors.system.site_factory import make_sites
from jobwire.actors.transports.base import Transport, TransportPlugin
from jobwire.actors.workers.gateway import WorkerGateway
from jobwire.actors.workers.store_gateway import StoreWorkerGateway
from jobwire.schemas.cursors import Cursors

#: How long a packet stays open under load before it goes to a broker; longer made larger packets,
#: and left processors idle while clients waited.
_LINGER_S = 0.001


def now() -> datetime:
    """Return the time in UTC; the one clock that every part is given."""
    return datetime.now(UTC)


class Container:
    """What the actors of one process share."""

    def __init__(
        self,
        settings: Settings,
        folder: DataFolder,
        service_secrets: ServiceSecrets,
        name: str,
        missing: Missing,
        url: Callable[[], str],
    ) -> None:
        """
        Make parts on demand.

        A broker shows `name`; `missing` lists what is not ready; the service answers at `url`.
        """
        self.not_ready = missing
        self.url = url
        self.settings = settings
        self.folder = folder
        self.secrets = service_secrets
        self.keyring = service_secrets.keyring
        self.telemetry = Telemetry()
        self.store = self._make_store()
        self.transport = self._make_transport(name)
        self.packer = Packer(
            self.transport,
            self.telemetry,
            shards=settings.shards,
            answer_s=settings.answer_s,
            linger_s=0.0 if self.transport.confirms_when_handled else _LINGER_S,
        )
        self.replies = ReplyInbox()
        self.entry_feed = EntryFeed(self.transport)

    def _make_store(self) -> Store:
        url = self.settings.database.url
        kind = plugins.name_for("stores", url, alone="sqlite", shared="mongodb")
        plugin: StorePlugin = plugins.load("stores", kind)
        return plugin.of(self.settings, self.folder)

    def _make_transport(self, name: str) -> Transport:
        url = self.settings.broker.url
        kind = plugins.name_for("transports", url, alone="embedded", shared="rabbitmq")
        plugin: TransportPlugin = plugins.load("transports", kind)
        return plugin.of(self.settings, name)

    @cached_property
    def registry(self) -> LifecycleRegistry:
        """The lifecycle tables."""
        return LifecycleRegistry(self.store)

    @cached_property
    def levels(self) -> LiveLevels:
        """What all releases that are alive can read."""
        return LiveLevels(self.store, is_shared=self.settings.broker.url is not None)

    @cached_property
    def sites(self) -> Mapping[str, Site]:
        """Where jobs run."""
        return make_sites(self.settings, self.folder, self.url)

    def away(self) -> Sequence[str]:
        """Return which sites this process cannot reach, each with the reason."""
        return [f"{each.name}: {each.trouble}" for each in self.sites.values() if each.trouble]

    @cached_property
    def roots(self) -> StagingRoots:
        """Where files are staged from and to."""
        return StagingRoots(self.folder.path / "files", self.settings.staging.roots, FileTree)

    @cached_property
    def job_secrets(self) -> JobSecrets:
        """The secrets that jobs may name."""
        return JobSecrets(Path(self.settings.secrets_folder or self.folder.path / "secrets"))

    @cached_property
    def egress(self) -> Egress:
        """The one way out."""
        return Egress(self.settings.may_call)

    @cached_property
    def keys(self) -> Keys:
        """The API keys."""
        return Keys(self.store, now)

    @cached_property
    def events(self) -> Events:
        """Takes events in."""
        return Events(
            packer=self.packer,
            replies=self.replies,
            keyring=self.keyring,
            clock=now,
            data_bytes=self.settings.limits.data_bytes,
        )

    @cached_property
    def worker_gateway(self) -> WorkerGateway:
        """What workers ask."""
        return StoreWorkerGateway(
            store=self.store,
            events=EventPoster(self.packer, self.replies),
            keyring=self.keyring,
            clock=now,
        )

    @cached_property
    def deliveries(self) -> Deliveries:
        """The deliveries of callbacks."""
        return Deliveries(self.store, self.secrets.identity, self.egress, now, self.transport)

    @cached_property
    def operations(self) -> Operations:
        """All that a client may ask."""
        limits = self.settings.limits
        lifecycles = Lifecycles(self.store, limits.lifecycles_per_owner)
        files = Files(self.sites)
        creator = JobCreator(
            store=self.store,
            lifecycles=lifecycles,
            sites={name: site for name, site in self.sites.items() if site.admits},
            roots=self.roots,
            secrets=self.job_secrets,
            limits=limits,
            levels=self.levels,
        )
        jobs = Jobs(
            store=self.store,
            events=self.events,
            creator=creator,
            deliveries=self.deliveries,
            files=files,
            keyring=self.keyring,
            identity=self.secrets.identity,
            quota=Quota(limits.jobs_per_minute, time.monotonic),
        )
        streams = Streams(self.store, self.entry_feed, limits.streams_per_owner)
        return Operations(
            events=self.events,
            jobs=jobs,
            controls=Controls(
                store=self.store,
                events=self.events,
                jobs=jobs,
                creator=creator,
                deliveries=self.deliveries,
                registry=self.registry,
                most=limits.selection,
            ),
            files=files,
            deliveries=self.deliveries,
            streams=streams,
            waiting=JobWaiter(jobs, streams),
            withdrawals=Withdrawals(self.store, self.events),
            lifecycles=lifecycles,
            refusals=Refusals(store=self.store, events=self.events, identity=self.secrets.identity),
            keys=self.keys,
            event_statuses=EventStatuses(self.store),
        )

    @cached_property
    def guard(self) -> RequestGuard:
        """Lets requests in, of whatever dialect."""
        limits = self.settings.limits
        failures = Quota(limits.failed_logins_per_minute, time.monotonic)
        return RequestGuard(self.operations, failures, limits.request_s)

    @cached_property
    def dialects(self) -> Dialects:
        """The HTTP languages that are spoken, and those whose promises are kept."""
        return Dialects(self.settings.dialects, self._context)

    def _context(self, plugin: DialectPlugin) -> DialectContext[Mounting]:
        return DialectContext(
            own=self.settings.dialects.get(plugin.name) or plugin.settings(),
            settings=self.settings,
            operations=self.operations,
            records=DialectRecords(self.store, plugin.name, plugin.unprefixed_kinds),
            guard=self.guard,
            transport=self.transport,
            feed=self.entry_feed,
            identity=self.secrets.identity,
            cursors=Cursors(self.secrets.identity),
            clock=now,
            not_ready=self.not_ready,
            telemetry=self.telemetry,
        )

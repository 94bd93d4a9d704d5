"""Which actors a process runs, by their names, and how each is made."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Final, Literal, get_args

from jobwire.actors.dialects.base import Missing
from jobwire.actors.gateway.actor import Gateway
from jobwire.actors.gateway.health import HealthRoutes, HealthServer
from jobwire.actors.notifier.actor import Notifier
from jobwire.actors.notifier.transition_publisher import TransitionPublisher
from jobwire.actors.roles.leader import LeaderRole
from jobwire.actors.runtime.actor import Actor
from jobwire.actors.sites import Site
from jobwire.actors.stager.actor import Stager
from jobwire.actors.state_manager.actor import StateManager
from jobwire.actors.state_manager.batch import Settler
from jobwire.actors.state_manager.job_retention import JobRetention
from jobwire.actors.state_manager.reaper import Reaper
from jobwire.actors.submitter.actor import Submitter
from jobwire.actors.submitter.sandbox_root import SandboxRoot
from jobwire.actors.system.container import Container, now
from jobwire.schemas.releases import holder_name

ActorName = Literal["gateway", "state-manager", "submitter", "stager", "notifier"]

#: All actors, in the order of their starts in one process.
ACTORS: Final[tuple[ActorName, ...]] = (
    "state-manager",
    "submitter",
    "stager",
    "notifier",
    "gateway",
)
assert set(ACTORS) == set(get_args(ActorName))

#: Names of leases as the first release has them: it may run beside this one.
_RETENTION_ROLE: Final = "forgetter"
_PUBLISHER_ROLE: Final = "herald"


class ActorFactory:
    """Makes the actors of one process."""

    def __init__(self, container: Container, names: Collection[ActorName]) -> None:
        """Make those that are named."""
        self._container = container
        self._names = names
        settings = container.settings
        #: Others may do the same work: then each role is one process's at a time.
        self._is_shared = settings.broker.url is not None
        self._holder = holder_name(f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(3)}")

    def front(self, missing: Missing) -> Gateway | HealthServer:
        """Return the HTTP server: the gateway, or a port with the health of this process."""
        container = self._container
        health = HealthRoutes(missing, container.telemetry, container.away)
        if "gateway" not in self._names:
            return HealthServer(health, container.settings.health)
        return Gateway(
            native=container.dialects.native,
            foreign=container.dialects.spoken,
            native_routes=[
                route
                for each in container.dialects.foreign.values()
                for route in each.native_routes()
            ],
            health=health,
            streams=container.operations.streams,
            settings=container.settings,
            telemetry=container.telemetry,
        )

    def actors(self) -> Sequence[Actor]:
        """Make all that work behind the front."""
        make: Mapping[ActorName, Callable[[], Sequence[Actor]]] = {
            "state-manager": self._state_manager,
            "submitter": self._submitters,
            "stager": self._stager,
            "notifier": self._notifier,
            "gateway": self._behind_gateway,
        }
        return [actor for name in ACTORS if name in self._names for actor in make[name]()]

    def _state_manager(self) -> Sequence[Actor]:
        container, settings = self._container, self._container.settings
        limits = settings.limits
        settler = Settler(
            container.store,
            container.keyring,
            container.registry,
            limits.events_per_job,
            container.levels,
        )
        manager = StateManager(
            transport=container.transport,
            store=container.store,
            settler=settler,
            telemetry=container.telemetry,
            shards=settings.shards,
            holder=self._holder if self._is_shared else "",
        )
        retention = self._alone(
            _RETENTION_ROLE, lambda: JobRetention(container.store, settings.keep_jobs_s, now)
        )
        return manager, self._alone("reaper", self._reaper), retention

    def _reaper(self) -> Actor:
        container = self._container
        return Reaper(
            store=container.store,
            transport=container.transport,
            registry=container.registry,
            keyring=container.keyring,
            post=container.packer.put,
            clock=now,
            telemetry=container.telemetry,
            interval_s=container.settings.reaper_interval_s,
        )

    def _submitters(self) -> Sequence[Actor]:
        container = self._container

        def make(site: Site) -> Actor:
            return Submitter(
                site=site,
                transport=container.transport,
                gateway=container.worker_gateway,
                secrets=container.job_secrets,
                clock=now,
                root=SandboxRoot(site, container.store) if self._is_shared else None,
            )

        return [
            self._alone(f"submitter.{site.name}", partial(make, site))
            for site in container.sites.values()
        ]

    def _stager(self) -> Sequence[Actor]:
        container = self._container

        def make() -> Actor:
            return Stager(
                transport=container.transport,
                gateway=container.worker_gateway,
                sites=container.sites,
                roots=container.roots,
                settings=container.settings.staging,
            )

        return [self._alone("stager", make)]

    def _notifier(self) -> Sequence[Actor]:
        container = self._container

        def make() -> Actor:
            return Notifier(
                store=container.store,
                transport=container.transport,
                feed=container.entry_feed,
                deliveries=container.deliveries,
                dialects=container.dialects.foreign,
                signers=container.dialects.signers,
                egress=container.egress,
                settings=container.settings.callbacks,
                telemetry=container.telemetry,
                clock=now,
            )

        notifier = self._alone("notifier", make)
        if not self._is_shared:
            return [notifier]
        return [notifier, self._alone(_PUBLISHER_ROLE, self._transition_publisher)]

    def _transition_publisher(self) -> Actor:
        return TransitionPublisher(self._container.transport, self._container.entry_feed)

    def _behind_gateway(self) -> Sequence[Actor]:
        """Return what works for the dialects that are spoken."""
        container = self._container
        return [
            self._alone(each.role, each.make) if each.role else each.make()
            for dialect in (container.dialects.native, *container.dialects.spoken)
            for each in dialect.actors()
        ]

    def _alone(self, role: str, make: Callable[[], Actor]) -> Actor:
        if not self._is_shared:
            return make()
        return LeaderRole(make, self._container.store, role, self._holder)


def process_name(names: Collection[ActorName]) -> str:
    """Describe what a process is, for the operator of a broker."""
    listed = "all" if set(names) == set(ACTORS) else ",".join(sorted(names))
    return f"{listed}@{socket.gethostname()}:{os.getpid()}"

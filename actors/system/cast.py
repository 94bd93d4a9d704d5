"""Which actors a process runs, by their names, and how each is made."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Final, Literal, get_args

from jobwire.actors.dialects.base import Missing
from jobwire.actors.dialects.pipelinejobs.resending import Resender
from jobwire.actors.gateway.actor import Gateway
from jobwire.actors.gateway.health import HealthRoutes, HealthServer
from jobwire.actors.gateway.inlet import Inlet
from jobwire.actors.gateway.waker import Waker
from jobwire.actors.notifier.actor import Notifier
from jobwire.actors.notifier.herald import Herald
from jobwire.actors.operations.standby import Standby
from jobwire.actors.runtime.actor import Actor
from jobwire.actors.sites import Site
from jobwire.actors.stager.actor import Stager
from jobwire.actors.state_manager.actor import StateManager
from jobwire.actors.state_manager.batch import Settler
from jobwire.actors.state_manager.forgetter import Forgetter
from jobwire.actors.state_manager.reaper import Reaper
from jobwire.actors.submitter.actor import Submitter
from jobwire.actors.submitter.home import Home
from jobwire.actors.system.parts import Parts, now
from jobwire.schemas.events import Event
from jobwire.schemas.identifiers import shard_of
from jobwire.schemas.lifecycles.pipeline import PIPELINE

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

#: How often all parked events are looked at: so late may the end of their time be noticed.
_LOOK_S: Final = 15.0


class Cast:
    """Makes the actors of one process."""

    def __init__(self, parts: Parts, names: Collection[ActorName]) -> None:
        """Make those that are named."""
        self._parts = parts
        self._names = names
        settings = parts.settings
        #: Others may do the same work: then each role is one process's at a time.
        self._is_shared = settings.broker.url is not None
        self._holder = f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(3)}"

    def front(self, missing: Missing) -> Gateway | HealthServer:
        """Give what listens for HTTP: the gateway, or a port that says how this process is."""
        parts = self._parts
        health = HealthRoutes(missing, parts.telemetry)
        if "gateway" not in self._names:
            return HealthServer(health, parts.settings.health)
        return Gateway(
            native=parts.native,
            foreign=parts.spoken,
            health=health,
            streams=parts.operations.streams,
            settings=parts.settings,
            telemetry=parts.telemetry,
        )

    def actors(self, url: Callable[[], str]) -> Sequence[Actor]:
        """Make all that work behind the front; jobs report to the service at `url`."""
        make: Mapping[ActorName, Callable[[], Sequence[Actor]]] = {
            "state-manager": self._state_manager,
            "submitter": lambda: self._submitters(url),
            "stager": self._stager,
            "notifier": self._notifier,
            "gateway": self._behind_gateway,
        }
        return [actor for name in ACTORS if name in self._names for actor in make[name]()]

    def _state_manager(self) -> Sequence[Actor]:
        parts, settings = self._parts, self._parts.settings
        limits = settings.limits
        settler = Settler(parts.store, parts.keyring, parts.tables, limits.events_per_job)
        manager = StateManager(
            transport=parts.transport,
            store=parts.store,
            settler=settler,
            telemetry=parts.telemetry,
            shards=settings.shards,
            holder=self._holder if self._is_shared else "",
        )
        forgetter = self._alone(
            "forgetter", lambda: Forgetter(parts.store, settings.keep_jobs_s, now)
        )
        return manager, self._alone("reaper", self._reaper), forgetter

    def _reaper(self) -> Actor:
        parts = self._parts
        return Reaper(
            store=parts.store,
            transport=parts.transport,
            tables=parts.tables,
            keyring=parts.keyring,
            post=self._post,
            clock=now,
            telemetry=parts.telemetry,
            interval_s=parts.settings.reaper_interval_s,
        )

    def _submitters(self, url: Callable[[], str]) -> Sequence[Actor]:
        parts = self._parts

        def make(site: Site) -> Actor:
            return Submitter(
                site=site,
                transport=parts.transport,
                work=parts.work,
                secrets=parts.job_secrets,
                settings=parts.settings.local,
                url=url,
                clock=now,
                home=Home(site, parts.store) if self._is_shared else None,
            )

        return [
            self._alone(f"submitter.{site.name}", partial(make, site))
            for site in parts.sites.values()
        ]

    def _stager(self) -> Sequence[Actor]:
        parts = self._parts

        def make() -> Actor:
            return Stager(
                transport=parts.transport,
                work=parts.work,
                sites=parts.sites,
                roots=parts.roots,
                settings=parts.settings.staging,
            )

        return [self._alone("stager", make)]

    def _notifier(self) -> Sequence[Actor]:
        parts = self._parts

        def make() -> Actor:
            return Notifier(
                store=parts.store,
                transport=parts.transport,
                deliveries=parts.deliveries,
                dialects=parts.dialects,
                signers=parts.signers,
                egress=parts.egress,
                settings=parts.settings.callbacks,
                telemetry=parts.telemetry,
                clock=now,
            )

        notifier = self._alone("notifier", make)
        if not self._is_shared:
            return [notifier]
        return [notifier, self._alone("herald", lambda: Herald(parts.transport))]

    def _behind_gateway(self) -> Sequence[Actor]:
        """Wake parked events; take events from the bus too, where there is one others reach."""
        parts, dialect = self._parts, self._parts.settings.dialects.pipelinejobs
        actors: list[Actor] = []
        if self._is_shared:
            events, limits = parts.events, parts.settings.limits
            actors.append(Inlet(parts.transport, events, limits, parts.telemetry))
        if dialect.enabled and dialect.early == "park":
            actors.append(self._alone("waker", self._waker))
        return actors

    def _waker(self) -> Actor:
        parts, park_s = self._parts, self._parts.settings.dialects.pipelinejobs.park_s
        return Waker(
            parts.transport,
            parts.operations.parking,
            PIPELINE.name,
            Resender(parts.operations, park_s).resend_all,
            look_s=min(_LOOK_S, park_s),
        )

    def _alone(self, role: str, make: Callable[[], Actor]) -> Actor:
        if not self._is_shared:
            return make()
        return Standby(make, self._parts.store, role, self._holder)

    async def _post(self, event: Event) -> None:
        parts = self._parts
        await parts.packer.put(shard_of(event.job, parts.settings.shards), event)


def process_name(names: Collection[ActorName]) -> str:
    """Say what a process is, for the operator of a broker."""
    listed = "all" if set(names) == set(ACTORS) else ",".join(sorted(names))
    return f"{listed}@{socket.gethostname()}:{os.getpid()}"

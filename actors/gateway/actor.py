"""The actor: listens, hands requests to the dialects, and lets running ones end when it stops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiohttp import web

from jobwire.actors.dialects.base import Dialect, ForeignDialect
from jobwire.actors.dialects.mounts import COMPAT, MOUNT, Mount
from jobwire.actors.gateway.health import HealthRoutes
from jobwire.actors.gateway.ports import Port
from jobwire.actors.gateway.problems import problems
from jobwire.actors.operations.streams import Streams
from jobwire.actors.runtime.settings import Settings
from jobwire.actors.runtime.telemetry import Telemetry


class Gateway:
    """HTTP in."""

    name = "gateway"

    def __init__(
        self,
        *,
        native: Dialect,
        foreign: Sequence[ForeignDialect] = (),
        native_routes: Sequence[web.RouteDef] = (),
        health: HealthRoutes,
        streams: Streams,
        settings: Settings,
        telemetry: Telemetry,
    ) -> None:
        """
        Serve the native dialect and the service's own routes, and each foreign dialect.

        A foreign one stands below a path of its own; where the settings name an address for it,
        it stands there too, alone and at the root. `native_routes` are what dialects add to the
        native API.
        """
        self._streams = streams
        self._settings = settings
        self._telemetry = telemetry
        public_url = (settings.public_url or "").rstrip("/")
        app = self._application(native, Mount(public_url=public_url))
        app.add_routes([*native_routes, *health.routes()])
        self._main = self._port(app, native, *foreign)
        self._own: dict[str, Port] = {}
        for dialect in foreign:
            prefix = COMPAT + dialect.name
            below = Mount(prefix, public_url and public_url + prefix)
            app.add_subapp(prefix, self._application(dialect, below))
            mounting = settings.dialects.get(dialect.name)
            if mounting is not None and mounting.address:
                alone = Mount(public_url=(mounting.public_url or "").rstrip("/"))
                self._own[dialect.name] = self._port(self._application(dialect, alone), dialect)
        self._foreign = tuple(dialect.name for dialect in foreign)

    @property
    def url(self) -> str:
        """Where the native API answers."""
        return self._main.url

    def dialect_urls(self) -> Mapping[str, Sequence[str]]:
        """Return the base URLs at which each foreign dialect answers."""
        return {
            name: [self.url + COMPAT + name, *(port.url for port in [self._own.get(name)] if port)]
            for name in self._foreign
        }

    def bind(self) -> None:
        """
        Take every address, so that everybody knows the URLs before anybody can use them.

        Raises:
            Misconfigured: an address is taken or not this machine's.

        """
        settings = self._settings
        # Gateways of one installation may share an address; an embedded one has it to itself.
        shared = settings.broker.url is not None
        hint = "choose another with --host and --port"
        self._main.bind(settings.host, settings.port, hint, shared=shared)
        for name, port in self._own.items():
            host, number = settings.dialects[name].address or ("", 0)
            hint = f"choose another with [dialects.{name}] listen"
            port.bind(host, number, hint, shared=shared)

    async def start(self) -> None:
        """Listen at the addresses that were taken."""
        for port in self._ports:
            await port.open()

    async def stop(self) -> None:
        """Take no new connection, end the streams, let running requests end."""
        self._streams.close()
        for port in self._ports:
            await port.close()

    def not_ready(self) -> str | None:
        """Name what is missing."""
        return None if all(port.is_open for port in self._ports) else "gateway"

    @property
    def _ports(self) -> list[Port]:
        return [self._main, *self._own.values()]

    def _application(self, dialect: Dialect, mount: Mount) -> web.Application:
        limits = self._settings.limits
        app = web.Application(
            middlewares=[problems(dialect, self._telemetry)],
            client_max_size=max(limits.body_bytes, limits.ndjson_bytes),
        )
        app[MOUNT] = mount
        app.add_routes(dialect.routes())
        return app

    def _port(self, app: web.Application, dialect: Dialect, *below: Dialect) -> Port:
        header_bytes = max(each.header_bytes for each in (dialect, *below))
        return Port(app, dialect, self._settings.limits, header_bytes, self._is_full)

    def _is_full(self) -> bool:
        """Return whether all ports together have as many connections as they may have."""
        return sum(port.connections for port in self._ports) >= self._settings.limits.connections

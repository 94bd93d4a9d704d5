"""The native API, `/v1`."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from jobwire.actors.dialects.base import Door
from jobwire.actors.dialects.native.actors import ActorRoutes
from jobwire.actors.dialects.native.answers import problem
from jobwire.actors.dialects.native.controls import ControlRoutes
from jobwire.actors.dialects.native.deliveries import DeliveryRoutes
from jobwire.actors.dialects.native.events import EventRoutes
from jobwire.actors.dialects.native.files import FileRoutes
from jobwire.actors.dialects.native.jobs import JobRoutes
from jobwire.actors.dialects.native.records import KeyRoutes, LifecycleRoutes, RefusedRoutes
from jobwire.actors.dialects.native.streams import StreamRoutes
from jobwire.actors.operations import Operations
from jobwire.actors.runtime.settings import Settings
from jobwire.actors.runtime.telemetry import Telemetry
from jobwire.schemas.cursors import Cursors
from jobwire.schemas.errors import JobwireError


class NativeDialect:
    """Jobwire's own HTTP language."""

    name = "native"

    def __init__(
        self,
        operations: Operations,
        door: Door,
        settings: Settings,
        cursors: Cursors,
        telemetry: Telemetry,
    ) -> None:
        """Make the groups of routes over the operations."""
        limits = settings.limits
        self._groups = (
            EventRoutes(operations, door, limits),
            JobRoutes(operations, door, limits, settings.token_overlap_s),
            ControlRoutes(operations, door, limits),
            DeliveryRoutes(operations, door, limits),
            FileRoutes(operations, door, limits, cursors),
            StreamRoutes(operations, door, cursors, telemetry),
            LifecycleRoutes(operations, door, limits),
            KeyRoutes(operations, door, limits),
            ActorRoutes(operations, door, limits),
            RefusedRoutes(operations, door),
        )

    def routes(self) -> Iterable[web.RouteDef]:
        """Give all routes."""
        return [route for group in self._groups for route in group.routes()]

    def problem(self, error: JobwireError) -> web.Response:
        """Answer a problem document."""
        return problem(error)

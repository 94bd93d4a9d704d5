"""The native API, `/v1`."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from jobwire.actors.dialects.base import RequestGuard
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
        guard: RequestGuard,
        settings: Settings,
        cursors: Cursors,
        telemetry: Telemetry,
    ) -> None:
        """Make the groups of routes over the operations."""
        limits = settings.limits
        self._groups = (
            EventRoutes(operations, guard, limits),
            JobRoutes(operations, guard, limits, settings.token_overlap_s),
            ControlRoutes(operations, guard, limits),
            DeliveryRoutes(operations, guard, limits),
            FileRoutes(operations, guard, limits, cursors),
            StreamRoutes(operations, guard, cursors, telemetry),
            LifecycleRoutes(operations, guard, limits),
            KeyRoutes(operations, guard, limits),
            ActorRoutes(operations, guard, limits),
            RefusedRoutes(operations, guard),
        )

    def routes(self) -> Iterable[web.RouteDef]:
        """Return all routes."""
        return [route for group in self._groups for route in group.routes()]

    def problem(self, error: JobwireError) -> web.Response:
        """Answer a problem document."""
        return problem(error)

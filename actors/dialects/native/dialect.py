"""The native API, `/v1`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aiohttp import web

from jobwire.actors.dialects.base import Dialect, DialectActor, DialectContext
from jobwire.actors.dialects.native.answers import problem
from jobwire.actors.dialects.native.controls import ControlRoutes
from jobwire.actors.dialects.native.deliveries import DeliveryRoutes
from jobwire.actors.dialects.native.event_consumer import EventConsumer
from jobwire.actors.dialects.native.events import EventRoutes
from jobwire.actors.dialects.native.files import FileRoutes
from jobwire.actors.dialects.native.jobs import JobRoutes
from jobwire.actors.dialects.native.records import KeyRoutes, LifecycleRoutes, RefusedRoutes
from jobwire.actors.dialects.native.streams import StreamRoutes
from jobwire.actors.runtime.mounting import NATIVE, Mounting
from jobwire.schemas.errors import JobwireError


class NativeDialect(Dialect):
    """Jobwire's own HTTP language."""

    name = NATIVE

    def __init__(self, context: DialectContext[Mounting]) -> None:
        """Make the groups of routes over the operations."""
        operations, guard, settings = context.operations, context.guard, context.settings
        limits, cursors = settings.limits, context.cursors
        self._groups = (
            EventRoutes(operations, guard, limits),
            JobRoutes(operations, guard, limits, settings.token_overlap_s),
            ControlRoutes(operations, guard, limits),
            DeliveryRoutes(operations, guard, limits),
            FileRoutes(operations, guard, limits, cursors),
            StreamRoutes(operations, guard, cursors, context.telemetry),
            LifecycleRoutes(operations, guard, limits),
            KeyRoutes(operations, guard, limits),
            RefusedRoutes(operations, guard),
        )
        self._context = context

    def routes(self) -> Iterable[web.RouteDef]:
        """Return all routes."""
        return [route for group in self._groups for route in group.routes()]

    def problem(self, error: JobwireError) -> web.Response:
        """Answer a problem document."""
        return problem(error)

    def actors(self) -> Sequence[DialectActor]:
        """Take events from the bus too, where there is one that others reach."""
        if self._context.settings.broker.url is None:
            return ()
        return (DialectActor(self._event_consumer),)

    def _event_consumer(self) -> EventConsumer:
        context = self._context
        return EventConsumer(
            context.transport,
            context.operations.events,
            context.settings.limits,
            context.telemetry,
        )

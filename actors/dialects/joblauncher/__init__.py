"""The dialect of joblauncher, later osmium: `/job` with staged files and PUT callbacks."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from jobwire.actors.dialects.base import Missing, Notice, RequestGuard
from jobwire.actors.dialects.joblauncher.access import LauncherAuthenticator
from jobwire.actors.dialects.joblauncher.admin import AdminRoutes
from jobwire.actors.dialects.joblauncher.callbacks import StatusCallbacks
from jobwire.actors.dialects.joblauncher.jobs import NAME, LaunchRoutes
from jobwire.actors.dialects.problems import problem
from jobwire.actors.operations import Operations
from jobwire.actors.runtime.settings import Settings
from jobwire.actors.runtime.telemetry import Telemetry
from jobwire.schemas.deliveries import Subscription
from jobwire.schemas.errors import JobwireError, Unauthorized
from jobwire.schemas.jobs import Entry, Job


class JoblauncherDialect:
    """The union of what the original's generations of 2013 to 2015 spoke."""

    name = NAME

    def __init__(
        self,
        operations: Operations,
        guard: RequestGuard,
        settings: Settings,
        missing: Missing,
        telemetry: Telemetry,
    ) -> None:
        """Make the routes over the operations; `not_ready` says how the service is."""
        mine = settings.dialects.joblauncher
        # Only where nobody else reaches the service a request needs no key.
        access = LauncherAuthenticator(guard, mine.owner if settings.is_private else None)
        self._groups = (
            LaunchRoutes(operations, guard, access, settings),
            AdminRoutes(access, missing, telemetry),
        )
        self._callbacks = StatusCallbacks(operations, NAME, spelt=mine.correct_spelling)

    def routes(self) -> Iterable[web.RouteDef]:
        """Return all routes."""
        return [route for group in self._groups for route in group.routes()]

    def problem(self, error: JobwireError) -> web.Response:
        """Answer a problem document; the original had pages for people, or nothing."""
        response = problem(error)
        if isinstance(error, Unauthorized):
            response.headers["WWW-Authenticate"] = 'Bearer realm="jobwire", Basic realm="jobwire"'
        return response

    async def callback(self, job: Job, entry: Entry, subscription: Subscription) -> Notice | None:
        """Return what a receiver is told of an entry."""
        del subscription  # all are told the same
        return await self._callbacks.notice(job, entry)

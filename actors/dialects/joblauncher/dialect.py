"""The dialect of joblauncher, later osmium: `/job` with staged files and PUT callbacks."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping

from aiohttp import web

from jobwire.actors.dialects.base import DialectContext, ForeignDialect, Notice, Signer
from jobwire.actors.dialects.joblauncher.access import LauncherAuthenticator
from jobwire.actors.dialects.joblauncher.admin import AdminRoutes
from jobwire.actors.dialects.joblauncher.callbacks import StatusCallbacks
from jobwire.actors.dialects.joblauncher.credentials import ReceiverKeys
from jobwire.actors.dialects.joblauncher.jobs import NAME, LaunchRoutes
from jobwire.actors.dialects.joblauncher.settings import Joblauncher
from jobwire.actors.dialects.problems import problem
from jobwire.schemas.deliveries import Subscription
from jobwire.schemas.errors import JobwireError, Unauthorized
from jobwire.schemas.jobs import Entry, Job


class JoblauncherDialect(ForeignDialect):
    """The union of what the original's generations of 2013 to 2015 spoke."""

    name = NAME

    def __init__(self, context: DialectContext[Joblauncher]) -> None:
        """Make the routes over the operations."""
        own, operations = context.own, context.operations
        # Only where nobody else reaches the service a request needs no key.
        owner = own.owner if context.settings.is_private else None
        access = LauncherAuthenticator(context.guard, owner)
        self._groups = (
            LaunchRoutes(operations, context.guard, access, own, context.settings),
            AdminRoutes(access, context.not_ready, context.telemetry),
        )
        self._callbacks = StatusCallbacks(operations, NAME, spelt=own.correct_spelling)
        self._keys = ReceiverKeys(
            own.macs,
            own.basic,
            challenge_only=own.challenge_only,
            clock=context.clock,
            entropy=secrets.token_bytes,
        )

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
        """Return the callback for an entry."""
        del subscription  # all are told the same
        return await self._callbacks.notice(job, entry)

    def signers(self) -> Mapping[str, Signer]:
        """Return the credentials of receivers."""
        return {NAME: self._keys}

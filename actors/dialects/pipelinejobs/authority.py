"""Who may do what to a job: its token, an administrator's token, or an administrator's API key."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from jobwire.actors.dialects.pipelinejobs.access import VerifiedRequest
from jobwire.actors.dialects.pipelinejobs.actor_registry import ForeignActors
from jobwire.actors.dialects.pipelinejobs.messages import EventMessage
from jobwire.actors.dialects.request_guard import RequestGuard
from jobwire.actors.operations.jobs import Jobs
from jobwire.actors.runtime.cache import BoundedCache
from jobwire.schemas.errors import Forbidden, JobwireError, TooManyRequests, Unauthorized
from jobwire.schemas.identifiers import JobId
from jobwire.schemas.lifecycle import CREATE
from jobwire.schemas.lifecycles.pipeline import PIPELINE
from jobwire.schemas.principals import Principal

#: Events that a job's own token is not enough for.
_ADMINISTRATIVE: Final = frozenset(
    name for name, kind in PIPELINE.events.items() if "token" not in kind.senders
)
#: Jobs whose owner is remembered; it never changes.
_MOST_OWNED: Final = 20_000


class Authority:
    """Checks tokens, always, whatever else a request carries."""

    def __init__(self, jobs: Jobs, actors: ForeignActors, guard: RequestGuard) -> None:
        """Count wrong tokens at the shared request guard, which slows down who guesses."""
        self._jobs = jobs
        self._actors = actors
        self._guard = guard
        self._owned = BoundedCache[tuple[str, JobId], None](_MOST_OWNED)

    async def of_event(
        self, request: web.Request, access: VerifiedRequest, message: EventMessage
    ) -> Principal | None:
        """
        Return the principal that sends an event: the owner for an administrator, None for a token.

        Raises:
            NotFound: the actor's owner has no such job.
            Forbidden: there is no token, or more is needed than that.

        """
        await self._own(access.principal, message.job)
        token = message.token
        if message.name == CREATE:
            detail = "create is written by the service when a job is made; send a create message"
            raise Forbidden(detail, code="reserved_event")
        if self._is_administrators(access, token):
            return sender(access.principal)
        if message.name in _ADMINISTRATIVE:
            if not access.is_administrator:
                detail = f"{message.name} is for administrators: their token, or an admin API key"
                raise Forbidden(detail, code="administrators_only")
            if token is not None:
                await self._check(request, access, message.job, token)
            return sender(access.principal)
        if token is None:
            raise _token_missing()
        return None

    async def of_delete(
        self,
        request: web.Request,
        access: VerifiedRequest,
        job: JobId,
        token: str | None,
        *,
        by_token: bool,
    ) -> Principal:
        """
        Return the owner as whom a job is deleted or hidden.

        Raises:
            NotFound: the actor's owner has no such job.
            Forbidden: the token is not good for that.

        """
        await self._own(access.principal, job)
        if not self._is_administrators(access, token):
            if not (by_token or access.is_administrator):
                raise Forbidden("only administrators delete jobs here", code="administrators_only")
            if token is not None:
                await self._check(request, access, job, token)
            elif not access.is_administrator:
                raise _token_missing()
        return Principal(access.principal.name, access.principal.scopes | {"jobs"})

    def wrong(self, request: web.Request) -> JobwireError:
        """Count a wrong token; return the error for it."""
        counted = self._guard.failed(request, Unauthorized())
        if isinstance(counted, TooManyRequests):
            return counted
        return Forbidden("the token does not belong to this job", code="wrong_job_token")

    async def _own(self, principal: Principal, job: JobId) -> None:
        if (principal.name, job) in self._owned:
            return
        await self._jobs.get(principal, job)
        self._owned[principal.name, job] = None

    async def _check(
        self, request: web.Request, access: VerifiedRequest, job_id: JobId, token: str
    ) -> None:
        if not self._jobs.admits(await self._jobs.get(access.principal, job_id), token):
            raise self.wrong(request)

    def _is_administrators(self, access: VerifiedRequest, token: str | None) -> bool:
        owner = access.principal.name
        return token is not None and self._actors.is_admin_token(owner, token)


def sender(principal: Principal) -> Principal:
    """Return an owner as one whose right to send events was found in a token."""
    return Principal(principal.name, principal.scopes | {"events"})


def _token_missing() -> Forbidden:
    detail = "the message carries no token of the job, in its body or in its URL"
    return Forbidden(detail, code="token_missing")

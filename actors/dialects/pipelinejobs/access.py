"""Authentication: by an API key as bearer, or by a nonce, which acts for its creator."""

from __future__ import annotations

import secrets
from typing import Final, NamedTuple

from aiohttp import web

from jobwire.actors.dialects.pipelinejobs.actor_record import ForeignActor
from jobwire.actors.dialects.pipelinejobs.nonce_record import Level
from jobwire.actors.dialects.pipelinejobs.nonces import NonceScope
from jobwire.actors.dialects.pipelinejobs.state import DialectState
from jobwire.actors.dialects.request_guard import RequestGuard, credentials
from jobwire.actors.operations.keys import require
from jobwire.schemas.errors import Unauthorized
from jobwire.schemas.principals import Principal, Scope

#: The scope that a request of each level needs.
SCOPE_OF: Final[dict[Level, Scope]] = {"READ": "read", "EXECUTE": "events", "UPDATE": "jobs"}


class VerifiedRequest(NamedTuple):
    """An authenticated request at an actor."""

    actor: ForeignActor
    name: str
    """The actor as the path names it: by its id or by an alias."""
    principal: Principal
    """Always the actor's owner."""
    is_administrator: bool

    @property
    def place(self) -> NonceScope:
        """What nonces that are made or used here are for."""
        return NonceScope(self.actor.id, self.actor.alias(self.name))


class ActorAuthenticator:
    """Authenticates requests."""

    def __init__(self, state: DialectState, guard: RequestGuard) -> None:
        """Authenticate by the request guard that all dialects share, or by a nonce."""
        self._actors = state.actors
        self._nonces = state.nonces
        self._guard = guard

    async def admit(
        self, request: web.Request, level: Level, use: str | None = None
    ) -> VerifiedRequest:
        """
        Authenticate a request; a nonce loses one of its uses.

        A nonce is looked at where no bearer is sent; the header `X-Nonce` keeps it out of URLs.

        Args:
            request: what is to be let in.
            level: what it needs.
            use: what the use of a nonce is known by, so that a repetition spends no other one.

        Raises:
            Unauthorized: neither a key nor a nonce that is good here.
            Forbidden: the key or the nonce does not open this.
            NotFound: the owner has no such actor.
            TooManyRequests: too many failed tries from this address.

        """
        name = request.match_info["actor"]
        api_key, bearer = credentials(request)
        text = None
        if api_key is None and bearer is None:
            text = request.query.get("x-nonce") or request.headers.get("X-Nonce")
        if not text:
            return await self._by_key(request, name, level, api_key)
        self._guard.slow_down(request)
        try:
            return await self._by_nonce(name, level, text, use or secrets.token_hex(12))
        except Unauthorized as error:
            raise self._guard.failed(request, error) from error

    async def _by_key(
        self, request: web.Request, name: str, level: Level, api_key: str | None
    ) -> VerifiedRequest:
        if api_key is None:
            detail = "send an API key as Authorization: Bearer jwk_..., or a nonce as x-nonce"
            raise self._guard.failed(request, Unauthorized(detail, code="key_missing"))
        principal = await self._guard.principal(request, api_key)
        require(principal, SCOPE_OF[level])
        actor = await self._actors.find(principal.name, name)
        return VerifiedRequest(actor, name, principal, "admin" in principal.scopes)

    async def _by_nonce(self, name: str, level: Level, text: str, use: str) -> VerifiedRequest:
        nonce = await self._nonces.find(text)
        actor = await self._actors.find(nonce.owner, name)
        if (nonce.actor, nonce.alias) != (actor.id, actor.alias(name)):
            raise Unauthorized("the nonce is for another actor or alias", code="wrong_nonce")
        principal = Principal(nonce.owner, nonce.scopes)
        if nonce.grants(level):  # else it is refused for its level
            require(principal, SCOPE_OF[level])
        await self._nonces.redeem(nonce, level, use)
        return VerifiedRequest(actor, name, principal, is_administrator=False)

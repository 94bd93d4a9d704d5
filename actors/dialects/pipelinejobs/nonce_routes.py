"""Nonces of an actor, or of one of its aliases."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta, Struct, field

from jobwire.actors.dialects.mounts import base_url
from jobwire.actors.dialects.pipelinejobs.access import (
    SCOPE_OF,
    ActorAuthenticator,
    VerifiedRequest,
)
from jobwire.actors.dialects.pipelinejobs.answers import answer
from jobwire.actors.dialects.pipelinejobs.content import read_content
from jobwire.actors.dialects.pipelinejobs.nonce_record import LEVELS, UNLIMITED, Level, Nonce
from jobwire.actors.dialects.pipelinejobs.nonces import Nonces
from jobwire.actors.dialects.request_guard import RequestGuard
from jobwire.actors.operations.keys import require
from jobwire.schemas.codec import invalid
from jobwire.schemas.errors import Invalid

_MOST_BODY = 65_536


class NonceRequest(Struct, frozen=True, kw_only=True):
    """What is asked for when a nonce is made."""

    wanted_level: str = field(name="level", default="EXECUTE")
    max_uses: int | None = None
    also_max_uses: int | None = field(name="maxUses", default=None)
    ttl: Annotated[float, Meta(gt=0, le=10 * 365 * 86_400)] | None = None
    """Seconds after which it is no longer good: an extension."""
    description: Annotated[str, Meta(max_length=1_000)] = ""

    @property
    def level(self) -> Level:
        """
        What it opens at most.

        Raises:
            Invalid: there is no such level.

        """
        for level in LEVELS:
            if level == self.wanted_level:
                return level
        detail = f"there is no level {self.wanted_level[:64]!r}; there are: {', '.join(LEVELS)}"
        raise Invalid(detail, code="bad_level", pointer="/level")

    @property
    def uses(self) -> int:
        """
        How often it may be used.

        Raises:
            Invalid: never, or a number that means nothing.

        """
        given = self.also_max_uses if self.max_uses is None else self.max_uses
        if given is not None and given < 1 and given != UNLIMITED:
            detail = f"maxUses is 1 or more, or {UNLIMITED} for no limit"
            raise Invalid(detail, code="bad_max_uses", pointer="/maxUses")
        return UNLIMITED if given is None else given


class NonceRoutes:
    """Makes, lists and deletes nonces."""

    def __init__(
        self, nonces: Nonces, guard: RequestGuard, authenticator: ActorAuthenticator, tenant: str
    ) -> None:
        """Make nonces that begin with the tenant."""
        self._nonces = nonces
        self._guard = guard
        self._authenticator = authenticator
        self._tenant = tenant

    def routes(self) -> list[web.RouteDef]:
        """Return the routes; those of aliases first, for they look like an actor's."""
        return [
            route
            for path, create in (
                ("/actors/v2/aliases/{actor}/nonces", self.create_of_alias),
                ("/actors/v2/{actor}/nonces", self.create),
            )
            for route in (
                web.get(path, self.all),
                web.post(path, create),
                web.get(path + "/{nid}", self.get),
                web.delete(path + "/{nid}", self.delete),
            )
        ]

    async def all(self, request: web.Request) -> web.Response:
        """List nonces by their names: what opens anything is not shown again."""
        access = await self._authenticator.admit(request, "READ")
        found = await self._nonces.all(access.principal.name, access.place)
        return answer([_view(request, access, each, each.name) for each in found])

    async def create(self, request: web.Request) -> web.Response:
        """Make a nonce."""
        access = await self._authenticator.admit(request, "UPDATE")
        return await self._create(request, access, await self._wanted(request))

    async def create_of_alias(self, request: web.Request) -> web.Response:
        """Make a nonce at the route of aliases, which gives none for changes."""
        access = await self._authenticator.admit(request, "UPDATE")
        wanted = await self._wanted(request)
        if wanted.level == "UPDATE":
            detail = "a nonce of an alias has at most the level EXECUTE"
            raise Invalid(detail, code="bad_level", pointer="/level")
        return await self._create(request, access, wanted)

    async def _wanted(self, request: web.Request) -> NonceRequest:
        content = await read_content(request, self._guard, _MOST_BODY)
        try:
            return msgspec.convert({} if content.value is None else content.value, NonceRequest)
        except msgspec.ValidationError as error:
            raise invalid(error) from error

    async def _create(
        self, request: web.Request, access: VerifiedRequest, wanted: NonceRequest
    ) -> web.Response:
        if wanted.level in SCOPE_OF:
            require(access.principal, SCOPE_OF[wanted.level])
        made = await self._nonces.create(
            access.principal,
            access.place,
            tenant=self._tenant,
            level=wanted.level,
            max_uses=wanted.uses,
            ttl_s=wanted.ttl,
            description=wanted.description,
        )
        return answer(_view(request, access, made.nonce, made.text), "Actor nonce created.")

    async def get(self, request: web.Request) -> web.Response:
        """Return one nonce, by its id or by its name."""
        access = await self._authenticator.admit(request, "READ")
        nid = request.match_info["nid"]
        nonce = await self._nonces.get(access.principal.name, access.place, nid)
        return answer(_view(request, access, nonce, nonce.name))

    async def delete(self, request: web.Request) -> web.Response:
        """Delete a nonce."""
        access = await self._authenticator.admit(request, "UPDATE")
        nid = request.match_info["nid"]
        await self._nonces.delete(access.principal.name, access.place, nid)
        return answer(None, "Actor nonce deleted successfully.")


def _view(
    request: web.Request, access: VerifiedRequest, nonce: Nonce, shown: str
) -> dict[str, Any]:
    base = base_url(request)
    is_alias = nonce.alias is not None
    place = f"{base}/actors/v2/{'aliases/' if is_alias else ''}{access.name}"
    return {
        "id": shown,
        "level": nonce.level,
        "maxUses": nonce.max_uses,
        "currentUses": nonce.uses,
        "remainingUses": nonce.left,
        "createTime": nonce.created,
        "lastUseTime": nonce.last_used,
        "expireTime": nonce.expires,
        "owner": nonce.owner,
        "roles": nonce.roles,
        "actorId": None if is_alias else nonce.actor,
        "alias": nonce.alias,
        "apiServer": base,
        "description": nonce.description,
        "_links": {
            "self": f"{place}/nonces/{nonce.name}",
            "actor": f"{base}/actors/v2/{access.name}",
        },
    }

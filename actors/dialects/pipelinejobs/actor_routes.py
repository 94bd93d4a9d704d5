"""`/v1/actors` of the native API: what clients of this dialect send their messages to."""

from __future__ import annotations

import msgspec
from aiohttp import web

from jobwire.actors.dialects.answers import answer, page
from jobwire.actors.dialects.pipelinejobs.actor_record import (
    ActorView,
    AdminTokenView,
    ForeignActor,
)
from jobwire.actors.dialects.pipelinejobs.actor_registry import ActorRequest, ForeignActors
from jobwire.actors.dialects.queries import NoQuery, read_query
from jobwire.actors.dialects.request_guard import RequestGuard
from jobwire.actors.runtime.settings import Limits
from jobwire.schemas.codec import decode

_decoder = msgspec.json.Decoder(ActorRequest)


class ActorRoutes:
    """Makes, lists and removes actors; returns the tokens of administrators."""

    def __init__(self, actors: ForeignActors, guard: RequestGuard, limits: Limits) -> None:
        """Keep actors in their registry."""
        self._actors = actors
        self._guard = guard
        self._limits = limits

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/v1/actors", self.all),
            web.post("/v1/actors", self.create),
            web.delete("/v1/actors/{id}", self.remove),
            web.post("/v1/actors/admin-token", self.admin_token),
        ]

    async def all(self, request: web.Request) -> web.Response:
        """List the owner's actors, those of the settings first."""
        read_query(request, NoQuery)
        principal = await self._guard.caller(request, "read")
        return page([_view(each) for each in await self._actors.all(principal)], None)

    async def create(self, request: web.Request) -> web.Response:
        """Make an actor with its aliases."""
        read_query(request, NoQuery)
        principal = await self._guard.caller(request, "jobs")
        wanted = decode(_decoder, await self._guard.json(request, self._limits.body_bytes))
        return answer(_view(await self._actors.create(principal, wanted)), 201)

    async def remove(self, request: web.Request) -> web.Response:
        """Remove an actor; its jobs stay."""
        principal = await self._guard.caller(request, "jobs")
        return answer(_view(await self._actors.remove(principal, request.match_info["id"])))

    async def admin_token(self, request: web.Request) -> web.Response:
        """Return the token that is valid for every job of the owner for a while."""
        read_query(request, NoQuery)
        principal = await self._guard.caller(request, "admin")
        token = self._actors.admin_token(principal)
        return answer(AdminTokenView(token=token.text, good_until=token.good_until))


def _view(actor: ForeignActor) -> ActorView:
    return ActorView(
        id=actor.id,
        aliases=actor.aliases,
        description=actor.description,
        created=actor.created,
    )

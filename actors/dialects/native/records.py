"""`/v1/lifecycles`, `/v1/keys` and `/v1/refused`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from jobwire.actors.dialects.native.answers import answer, page, problem, refusal_view
from jobwire.actors.dialects.native.jobs import Limit, job_id_of
from jobwire.actors.dialects.native.outcomes import refusal_of
from jobwire.actors.dialects.queries import NoQuery, read_query
from jobwire.actors.dialects.request_guard import RequestGuard
from jobwire.actors.operations import Operations
from jobwire.actors.operations.keys import KeyRequest
from jobwire.actors.runtime.settings import Limits
from jobwire.schemas.codec import decode
from jobwire.schemas.errors import Unavailable
from jobwire.schemas.identifiers import EventId
from jobwire.schemas.lifecycle import Lifecycle
from jobwire.schemas.principals import ApiKey
from jobwire.schemas.views import KeyView, NewKeyView, OutcomeView


class PageQuery(Struct, frozen=True, kw_only=True):
    """Which page of a list."""

    cursor: str | None = None
    limit: Limit = 50


class VersionQuery(Struct, frozen=True, kw_only=True):
    """Which version of a lifecycle; the newest where none is named."""

    version: Annotated[int, Meta(ge=1)] | None = None


_lifecycle_decoder = msgspec.json.Decoder(Lifecycle)
_key_decoder = msgspec.json.Decoder(KeyRequest)


class LifecycleRoutes:
    """Registers and shows lifecycles."""

    def __init__(self, operations: Operations, guard: RequestGuard, limits: Limits) -> None:
        """Call the operations."""
        self._lifecycles = operations.lifecycles
        self._guard = guard
        self._limits = limits

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/v1/lifecycles", self.all),
            web.post("/v1/lifecycles", self.register),
            web.get("/v1/lifecycles/{name}", self.get),
        ]

    async def all(self, request: web.Request) -> web.Response:
        """List the built-in lifecycles and the owner's own."""
        read_query(request, NoQuery)
        principal = await self._guard.caller(request, "read")
        return page(await self._lifecycles.all(principal), None)

    async def register(self, request: web.Request) -> web.Response:
        """Register a table; the same table again is the same version."""
        read_query(request, NoQuery)
        principal = await self._guard.caller(request, "jobs")
        wanted = decode(
            _lifecycle_decoder, await self._guard.json(request, self._limits.body_bytes)
        )
        lifecycle, is_new = await self._lifecycles.register(principal, wanted)
        return answer(
            lifecycle, 201 if is_new else 200, {"Location": f"/v1/lifecycles/{lifecycle.name}"}
        )

    async def get(self, request: web.Request) -> web.Response:
        """Return one lifecycle."""
        principal = await self._guard.caller(request, "read")
        version = read_query(request, VersionQuery).version
        return answer(await self._lifecycles.get(principal, request.match_info["name"], version))


class KeyRoutes:
    """Makes, lists and revokes API keys; for administrators."""

    def __init__(self, operations: Operations, guard: RequestGuard, limits: Limits) -> None:
        """Call the operations."""
        self._keys = operations.keys
        self._guard = guard
        self._limits = limits

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/v1/keys", self.all),
            web.post("/v1/keys", self.create),
            web.delete("/v1/keys/{id}", self.revoke),
        ]

    async def all(self, request: web.Request) -> web.Response:
        """List keys; the cursor is the last key's id."""
        await self._guard.caller(request, "admin")
        query = read_query(request, PageQuery)
        keys = await self._keys.all(query.cursor or "", query.limit + 1)
        shown = keys[: query.limit]
        return page(
            [_key_view(key) for key in shown], shown[-1].id if len(keys) > query.limit else None
        )

    async def create(self, request: web.Request) -> web.Response:
        """Make a key."""
        read_query(request, NoQuery)
        await self._guard.caller(request, "admin")
        wanted = decode(_key_decoder, await self._guard.json(request, self._limits.body_bytes))
        made = await self._keys.create(wanted)
        fields = msgspec.structs.asdict(_key_view(made.key))
        return answer(NewKeyView(**fields, key=made.text), 201)

    async def revoke(self, request: web.Request) -> web.Response:
        """Revoke a key; revoking it again changes nothing."""
        await self._guard.caller(request, "admin")
        return answer(_key_view(await self._keys.revoke(request.match_info["id"])))


class RefusedRoutes:
    """Shows refused events and sends them again."""

    def __init__(self, operations: Operations, guard: RequestGuard) -> None:
        """Call the operations."""
        self._refusals = operations.refusals
        self._guard = guard

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/v1/refused", self.find),
            web.post("/v1/refused/{id}/{event}/replay", self.replay),
        ]

    async def find(self, request: web.Request) -> web.Response:
        """List refused events, oldest first."""
        principal = await self._guard.caller(request, "read")
        query = read_query(request, PageQuery)
        refusals, cursor = await self._refusals.find(principal, query.cursor, query.limit)
        return page([refusal_view(refusal) for refusal in refusals], cursor)

    async def replay(self, request: web.Request) -> web.Response:
        """Send a refused event again under a new id; the answer is its outcome."""
        principal = await self._guard.caller(request, "jobs")
        job, event = job_id_of(request), EventId(request.match_info["event"])
        outcome = await self._refusals.replay(principal, job, event)
        if outcome is None:
            raise Unavailable(
                "the replay is stored, but its outcome is not known yet", retry_after_s=1
            )
        error = refusal_of(outcome)
        if error is not None:
            return problem(error)
        return answer(
            OutcomeView(
                outcome.event, outcome.job, applied=True, state=outcome.state, seq=outcome.seq
            )
        )


def _key_view(key: ApiKey) -> KeyView:
    return KeyView(
        id=key.id,
        principal=key.principal,
        scopes=key.scopes,
        label=key.label,
        created=key.created,
        expires=key.expires,
        revoked=key.revoked,
    )

"""The actors of each owner: made, found, removed; and the tokens of administrators."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct

from jobwire.actors.dialects.pipelinejobs.actor_record import RESERVED_NAME, ActorName, ForeignActor
from jobwire.actors.dialects.pipelinejobs.nonces import Nonces
from jobwire.actors.operations.records import DialectRecords, Record
from jobwire.actors.runtime.cache import BoundedCache
from jobwire.schemas.errors import Conflict, Invalid, NotFound, TooManyRequests
from jobwire.schemas.identifiers import Name
from jobwire.schemas.principals import Principal

_MOST_ACTORS = 200
_ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_ID_CHARACTERS = 13
#: How long a name that was looked up is believed without another look.
_CACHED_FOR = timedelta(seconds=5)
_MOST_CACHED = 10_000
#: Hexadecimal digits of an administrator's token: 128 bits.
_TOKEN_DIGITS = 32

_decoder = msgspec.json.Decoder(ForeignActor)


class ActorRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked for when an actor is made."""

    id: ActorName | None = None
    """The id that clients have in their URLs already; default: one is made."""
    aliases: Annotated[tuple[ActorName, ...], Meta(max_length=20)] = ()
    description: Name | None = None


class AdminToken(NamedTuple):
    """A token valid for every job of an owner, and the time until which it is valid at least."""

    text: str
    good_until: datetime


class ForeignActors:
    """Makes, lists, finds and removes actors; makes and checks the tokens of administrators."""

    def __init__(
        self,
        *,
        records: DialectRecords,
        nonces: Nonces,
        identity: bytes,
        clock: Callable[[], datetime],
        named: Collection[str],
        token_s: float,
    ) -> None:
        """
        Keep actors.

        Args:
            records: where they are.
            nonces: those of an actor go with it.
            identity: the installation's: ids and tokens are made of it.
            clock: tells the time.
            named: names at which every owner finds an actor, beside those that were made.
            token_s: how long an administrator's token is good at least.

        """
        #: Actors by their ids, and ids by their aliases.
        self._actors = records.of("foreign_actor")
        self._aliases = records.of("foreign_alias")
        self._nonces = nonces
        self._identity = identity
        self._clock = clock
        self._named = tuple(named)
        self._token_s = token_s
        self._cache = BoundedCache[tuple[str, str], tuple[datetime, ForeignActor]](_MOST_CACHED)

    async def create(self, principal: Principal, request: ActorRequest) -> ForeignActor:
        """
        Make an actor with its aliases.

        Raises:
            Conflict: the id or an alias is taken.
            Invalid: a name is the service's own.
            TooManyRequests: the owner has as many as one may have.

        """
        owner = principal.name
        if len(await self._actors.select(owner, "", _MOST_ACTORS)) >= _MOST_ACTORS:
            detail = f"this owner has {_MOST_ACTORS} actors already; remove some"
            raise TooManyRequests(detail, limit=_MOST_ACTORS)
        made = "".join(secrets.choice(_ALPHABET) for _ in range(_ID_CHARACTERS))
        actor = ForeignActor(
            id=request.id or made,
            owner=owner,
            created=self._clock(),
            description=request.description or "",
            aliases=tuple(dict.fromkeys(request.aliases)),
        )
        for pointer, name in (("/id", actor.id), *(("/aliases", each) for each in actor.aliases)):
            if name == RESERVED_NAME:
                detail = f"{RESERVED_NAME!r} is part of a route; choose another name"
                raise Invalid(detail, code="reserved_name", pointer=pointer)
            if await self._look_up(owner, name) is not None:
                detail = f"there is an actor with the name {name!r} already"
                raise Conflict(detail, code="name_taken", pointer=pointer)
        for alias in actor.aliases:
            record = Record(owner, alias, actor.id.encode())
            if not await self._aliases.put(record, fresh=True):
                raise Conflict(f"the alias {alias!r} was just taken", code="name_taken")
        record = Record(owner, actor.id, msgspec.json.encode(actor))
        if not await self._actors.put(record, fresh=True):
            raise Conflict(f"the id {actor.id!r} was just taken", code="name_taken")
        return actor

    async def all(self, principal: Principal) -> list[ForeignActor]:
        """Return an owner's actors, those of the settings first."""
        found = await self._actors.select(principal.name, "", _MOST_ACTORS)
        made = [_decoder.decode(record.body) for record in found]
        return [self._of_settings(principal.name, name) for name in self._named] + made

    async def find(self, owner: str, name: str) -> ForeignActor:
        """
        Return an owner's actor by its id or by an alias.

        Raises:
            NotFound: unknown, or someone else's.

        """
        now = self._clock()
        cached = self._cache.get((owner, name))
        if cached is not None and cached[0] > now:
            return cached[1]
        actor = await self._look_up(owner, name)
        if actor is None:
            raise NotFound(f"there is no actor {name!r}", code="unknown_actor")
        self._cache[owner, name] = (now + _CACHED_FOR, actor)
        return actor

    async def remove(self, principal: Principal, name: str) -> ForeignActor:
        """
        Remove an actor by its id, with its aliases and its nonces; jobs stay.

        Raises:
            NotFound: unknown, or someone else's.
            Conflict: it is one of the settings.

        """
        record = await self._actors.fetch(principal.name, name)
        if record is None:
            known = await self._look_up(principal.name, name)
            if known is None:
                raise NotFound(f"there is no actor with the id {name!r}", code="unknown_actor")
            if known.created is None:
                detail = f"{name!r} is an actor of the settings: take it out of them"
                raise Conflict(detail, code="not_an_id")
            detail = f"{name!r} is an alias; remove the actor by its id, {known.id!r}"
            raise Conflict(detail, code="not_an_id")
        actor = _decoder.decode(record.body)
        for alias in actor.aliases:
            await self._aliases.drop(actor.owner, alias)
        await self._nonces.drop_all(actor.owner, actor.id)
        await self._actors.drop(actor.owner, actor.id)
        self._cache.clear()
        return actor

    def admin_token(self, principal: Principal) -> AdminToken:
        """Return the present token for every job of an owner; it changes with time."""
        window = self._window()
        until = datetime.fromtimestamp((window + 2) * self._token_s, tz=self._clock().tzinfo)
        return AdminToken(self._token(principal.name, window), until)

    def is_admin_token(self, owner: str, token: str) -> bool:
        """Return whether a token is the administrators' of now or just before; in constant time."""
        if len(token) != _TOKEN_DIGITS:
            return False  # of another length: a job's, which comes with every event
        window = self._window()
        presented = token.encode()
        matches = [
            hmac.compare_digest(self._token(owner, each).encode(), presented)
            for each in (window, window - 1)
        ]
        return any(matches)

    def _window(self) -> int:
        return int(self._clock().timestamp() // self._token_s)

    def _token(self, owner: str, window: int) -> str:
        message = f"administrator|{window}|{owner}".encode()
        return hmac.digest(self._identity, message, "sha256").hex()[:_TOKEN_DIGITS]

    async def _look_up(self, owner: str, name: str) -> ForeignActor | None:
        for named in self._named:
            actor = self._of_settings(owner, named)
            if name in (named, actor.id):
                return actor
        alias = await self._aliases.fetch(owner, name)
        record = await self._actors.fetch(owner, alias.body.decode() if alias else name)
        return _decoder.decode(record.body) if record else None

    def _of_settings(self, owner: str, name: str) -> ForeignActor:
        """Return the actor that every owner has under a name; its id is always the same one."""
        made = hmac.digest(self._identity, f"actor|{name}|{owner}".encode(), "sha256")
        identifier = "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in made[:_ID_CHARACTERS])
        return ForeignActor(id=identifier, owner=owner, aliases=(name,))

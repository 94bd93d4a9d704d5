"""The nonces of each owner: made, listed, dropped, and redeemed when they are presented."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from jobwire.actors.dialects.pipelinejobs.nonce_record import (
    CHARACTERS,
    KINDS_OF_CHARACTERS,
    Level,
    Nonce,
    Presented,
    compose_nonce,
    spell,
    split_nonce,
)
from jobwire.actors.operations.records import DialectRecords, Record
from jobwire.schemas.errors import Forbidden, NotFound, TooManyRequests, Unauthorized, Unavailable
from jobwire.schemas.principals import Principal, hash_secret

_decoder = msgspec.json.Decoder(Nonce)

#: How often a redemption meets another one before it gives up.
_MOST_SWAPS = 50
#: Most nonces of one owner.
_MOST_NONCES = 1_000


class NonceScope(NamedTuple):
    """What a nonce is for: an actor by its id, or by one of its aliases."""

    actor: str
    alias: str | None


class NewNonce(NamedTuple):
    """A nonce that was made, with the text that opens it; it is shown once."""

    nonce: Nonce
    text: str


class _PendingUse(NamedTuple):
    """A use that waits for its turn, with those that came meanwhile."""

    use: str
    admitted: asyncio.Future[bool]


class Nonces:
    """Makes, lists, drops and redeems nonces."""

    def __init__(self, records: DialectRecords, clock: Callable[[], datetime]) -> None:
        """Keep nonces, hashed."""
        self._records = records.of("nonce")
        self._clock = clock
        self._queues: dict[str, list[_PendingUse]] = {}

    async def create(
        self,
        principal: Principal,
        place: NonceScope,
        *,
        tenant: str,
        level: Level,
        max_uses: int,
        ttl_s: float | None,
        description: str,
    ) -> NewNonce:
        """
        Make a nonce; its text is in the answer and nowhere else.

        Raises:
            TooManyRequests: the owner has as many as one may have.

        """
        owner, now = principal.name, self._clock()
        if len(await self._unexpired(owner, now)) >= _MOST_NONCES:
            detail = f"this owner has {_MOST_NONCES} nonces already; delete some"
            raise TooManyRequests(detail, limit=_MOST_NONCES)
        handle, secret = spell([secrets.randbelow(KINDS_OF_CHARACTERS) for _ in range(CHARACTERS)])
        nonce = Nonce(
            handle=handle,
            tenant=tenant,
            hash=hash_secret(secret),
            owner=owner,
            actor=place.actor,
            alias=place.alias,
            level=level,
            roles=tuple(sorted(principal.scopes)),
            max_uses=max_uses,
            created=now,
            expires=now + timedelta(seconds=ttl_s) if ttl_s else None,
            description=description,
        )
        await self._records.put(_record(nonce), fresh=True)
        return NewNonce(nonce, compose_nonce(tenant, handle, secret))

    async def all(self, owner: str, place: NonceScope) -> list[Nonce]:
        """Return an owner's nonces of a place."""
        found = await self._records.select(owner, "", _MOST_NONCES)
        nonces = [_decoder.decode(record.body) for record in found]
        return [each for each in nonces if (each.actor, each.alias) == place]

    async def _unexpired(self, owner: str, now: datetime) -> list[Nonce]:
        """Return an owner's nonces; those whose time is over are dropped."""
        kept = []
        for record in await self._records.select(owner, "", _MOST_NONCES):
            nonce = _decoder.decode(record.body)
            if nonce.expires is not None and nonce.expires <= now:
                await self._records.drop(owner, nonce.handle)
            else:
                kept.append(nonce)
        return kept

    async def get(self, owner: str, place: NonceScope, text: str) -> Nonce:
        """
        Return a nonce by its text or by its name.

        Raises:
            NotFound: unknown, someone else's, or of another place.

        """
        nonce = await self._named(owner, split_nonce(text))
        if nonce is None or (nonce.actor, nonce.alias) != place:
            raise NotFound("there is no nonce with this id here", code="unknown_nonce")
        return nonce

    async def delete(self, owner: str, place: NonceScope, text: str) -> None:
        """
        Delete a nonce; nobody can use it any more.

        Raises:
            NotFound: see `get`.

        """
        nonce = await self.get(owner, place, text)
        await self._records.drop(owner, nonce.handle)

    async def drop_all(self, owner: str, actor: str) -> None:
        """Drop an owner's nonces of an actor and of its aliases: another of its name has none."""
        for record in await self._records.select(owner, "", _MOST_NONCES):
            nonce = _decoder.decode(record.body)
            if nonce.actor == actor:
                await self._records.drop(owner, nonce.handle)

    async def find(self, text: str) -> Nonce:
        """
        Return the nonce that somebody presents; no use is spent yet.

        Raises:
            Unauthorized: it is not a nonce, or is no longer valid.

        """
        presented = split_nonce(text)
        if presented and presented.secret is None:
            detail = "this is a nonce's name, as lists show it; its text was shown when it was made"
            raise Unauthorized(detail, code="wrong_nonce")
        nonce = await self._named(None, presented)
        if nonce is None or not presented or not nonce.opens(presented.secret or ""):
            raise Unauthorized("the nonce is not valid", code="wrong_nonce")
        return nonce

    async def redeem(self, nonce: Nonce, level: Level, use: str) -> None:
        """
        Spend a use, unless this very use has spent one before.

        A refusal spends none. Uses that come while others are written are written together.

        Raises:
            Forbidden: its level is too low, its time is over, or no use is left.
            Unauthorized: it was deleted meanwhile.

        """
        if not nonce.grants(level):
            detail = f"the nonce has the level {nonce.level}; this needs {level}"
            raise Forbidden(detail, code="nonce_level")
        if nonce.expires is not None and nonce.expires <= self._clock():
            raise Forbidden("the nonce has expired", code="nonce_expired")
        if not await self._spend(nonce, use):
            detail = f"the nonce was for {nonce.max_uses} uses, and none is left"
            raise Forbidden(detail, code="nonce_spent", limit=nonce.max_uses)

    async def _named(self, owner: str | None, presented: Presented | None) -> Nonce | None:
        """Return the nonce that is named, of one owner or of anybody."""
        if presented is None:
            return None
        record = await self._records.fetch(owner, presented.handle)
        nonce = _decoder.decode(record.body) if record else None
        return nonce if nonce and presented.names(nonce) else None

    async def _spend(self, nonce: Nonce, use: str) -> bool:
        waiting = _PendingUse(use, asyncio.get_running_loop().create_future())
        queue = self._queues.get(nonce.handle)
        if queue is not None:
            queue.append(waiting)
            return await waiting.admitted
        self._queues[nonce.handle] = queue = [waiting]
        try:
            await self._spend_all(nonce, queue)
        except BaseException as error:
            # The others that waited in the same queue retry alone; nothing was spent for them.
            for each in queue:
                if not each.admitted.done():
                    failed = error if isinstance(error, Exception) else _interrupted()
                    each.admitted.set_exception(failed)
            waiting.admitted.exception()
            raise
        finally:
            del self._queues[nonce.handle]
        return await waiting.admitted

    async def _spend_all(self, nonce: Nonce, queue: list[_PendingUse]) -> None:
        """Spend the uses of a queue, as many at a time as wait."""
        while queue:
            portion = list(queue)
            admitted = await self._swap(nonce, [each.use for each in portion])
            del queue[: len(portion)]
            for each, is_admitted in zip(portion, admitted, strict=True):
                if not each.admitted.done():
                    each.admitted.set_result(is_admitted)

    async def _swap(self, nonce: Nonce, uses: list[str]) -> list[bool]:
        for _ in range(_MOST_SWAPS):
            record = await self._records.fetch(nonce.owner, nonce.handle)
            if record is None:
                raise Unauthorized("the nonce is not valid", code="wrong_nonce")
            stored = _decoder.decode(record.body)
            spent, admitted = stored.redeem(uses, self._clock())
            if spent is stored or await self._records.swap(_record(spent), record.body):
                return admitted
        raise Unavailable("the nonce is used by too many at once", retry_after_s=1)


def _record(nonce: Nonce) -> Record:
    return Record(nonce.owner, nonce.handle, msgspec.json.encode(nonce))


def _interrupted() -> Unavailable:
    return Unavailable("the nonce could not be redeemed; try again", retry_after_s=1)

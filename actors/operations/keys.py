"""What a client may ask about API keys, and how a presented one becomes a principal."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct, structs

from jobwire.actors.runtime.cache import BoundedCache
from jobwire.actors.stores.base import Record, Store
from jobwire.schemas.errors import Forbidden, Misconfigured, NotFound, Unauthorized
from jobwire.schemas.identifiers import Name
from jobwire.schemas.principals import ApiKey, Principal, Scope, compose_key, hash_secret, split_key

_KIND = "api_key"
_ID_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_decoder = msgspec.json.Decoder(ApiKey)

#: How long a key that was looked up is believed without another look: so long may a revocation made
#: through another process take to be noticed.
_CACHED_FOR = timedelta(seconds=5)
_MOST_CACHED = 10_000


class KeyRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an administrator asks for when making a key."""

    principal: Name
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1)] = ("read", "events", "jobs")
    label: Name | None = None
    expires_in_s: Annotated[float, Meta(gt=0, le=10 * 365 * 86_400)] | None = None


class NewKey(NamedTuple):
    """A key that was made, with the one text that opens it; it is shown once."""

    key: ApiKey
    text: str


class Keys:
    """Makes, lists and revokes API keys; authenticates callers by them."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        """Keep keys in a store, hashed."""
        self._store = store
        self._clock = clock
        self._cache = BoundedCache[str, tuple[datetime, Principal]](_MOST_CACHED)

    async def is_good(self, text: str | None) -> bool:
        """Return whether a text is an API key that opens anything."""
        try:
            return text is not None and bool(await self.authenticate(text))
        except Unauthorized:
            return False

    async def authenticate(self, presented: str) -> Principal:
        """
        Return the principal that an API key belongs to.

        Raises:
            Unauthorized: unknown, wrong, expired or revoked; all answered alike.

        """
        now = self._clock()
        cached = self._cache.get(presented)
        if cached is not None and cached[0] > now:
            return cached[1]
        parts = split_key(presented)
        record = await self._store.fetch(_KIND, None, parts[0]) if parts else None
        key = _decoder.decode(record.body) if record else None
        if parts is None or key is None or not key.admits(parts[1], now):
            raise Unauthorized("the API key is not valid", code="wrong_api_key")
        principal = Principal(key.principal, frozenset(key.scopes))
        until = min(now + _CACHED_FOR, key.expires or now + _CACHED_FOR)
        self._cache[presented] = (until, principal)
        return principal

    async def create(self, request: KeyRequest) -> NewKey:
        """Make a key; its text is in the answer and nowhere else."""
        key_id, secret = make_key()
        now = self._clock()
        key = ApiKey(
            id=key_id,
            principal=request.principal,
            scopes=request.scopes,
            hash=hash_secret(secret),
            created=now,
            expires=now + timedelta(seconds=request.expires_in_s) if request.expires_in_s else None,
            label=request.label,
        )
        await self._store.put(_KIND, Record(key.principal, key.id, msgspec.json.encode(key)))
        return NewKey(key, compose_key(key_id, secret))

    async def adopt(self, text: str, request: KeyRequest) -> None:
        """
        Make a text that was composed elsewhere an API key, unless it is one, or was revoked.

        Raises:
            Misconfigured: the text is no API key.

        """
        parts = split_key(text)
        if parts is None:
            raise Misconfigured(
                "the first API key is not valid: create it with `jobwire secrets make`"
            )
        key_id, secret = parts
        key = ApiKey(
            id=key_id,
            principal=request.principal,
            scopes=request.scopes,
            hash=hash_secret(secret),
            created=self._clock(),
            expires=None,
            label=request.label,
        )
        record = Record(key.principal, key.id, msgspec.json.encode(key))
        await self._store.put(_KIND, record, fresh=True)

    async def all(self, after: str, limit: int) -> list[ApiKey]:
        """Return a page of all keys, for administrators; never their text."""
        return [
            _decoder.decode(record.body)
            for record in await self._store.select(_KIND, None, after, limit)
        ]

    async def revoke(self, key_id: str) -> ApiKey:
        """
        Revoke a key for good.

        Raises:
            NotFound: there is no such key.

        """
        record = await self._store.fetch(_KIND, None, key_id)
        if record is None:
            raise NotFound("there is no API key with this id", code="unknown_key")
        key = _decoder.decode(record.body)
        if key.revoked is None:
            key = structs.replace(key, revoked=self._clock())
            await self._store.put(_KIND, Record(record.owner, record.key, msgspec.json.encode(key)))
        self._cache.clear()
        return key


def make_key() -> tuple[str, str]:
    """Return the id and the secret of a new key."""
    key_id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(10))
    return key_id, secrets.token_urlsafe(24)


def require(principal: Principal, scope: Scope) -> None:
    """
    Check that a caller has a scope.

    Raises:
        Forbidden: it has not.

    """
    if scope not in principal.scopes:
        raise Forbidden(f"this API key lacks the scope {scope!r}", code="scope_missing")

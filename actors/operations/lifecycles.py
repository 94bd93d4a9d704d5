"""What a client may ask about lifecycles: register a table, read it, list them."""

from __future__ import annotations

import msgspec
from msgspec import structs

from jobwire.actors.lifecycle_registry import LIFECYCLES, table_key
from jobwire.actors.stores.base import Record, Store
from jobwire.schemas.errors import Conflict, Invalid, NotFound, TooManyRequests
from jobwire.schemas.lifecycle import Lifecycle, check
from jobwire.schemas.lifecycles import BUILT_IN
from jobwire.schemas.principals import Principal

_decoder = msgspec.json.Decoder(Lifecycle)


class Lifecycles:
    """
    Registered tables.

    Each change is a new version, and a job keeps the version that it was made with.
    """

    def __init__(self, store: Store, most: int) -> None:
        """Keep a limited number of versions per owner."""
        self._store = store
        self._most = most

    async def register(self, principal: Principal, lifecycle: Lifecycle) -> tuple[Lifecycle, bool]:
        """
        Register a table, as version 1 or as the next one of its name.

        Returns:
            The numbered lifecycle, and whether it is new: the same table again is the same version.

        Raises:
            Invalid: the table makes no sense, or the name is a built-in one's.

        """
        if lifecycle.name in BUILT_IN:
            raise Invalid(
                f"the name {lifecycle.name!r} is a built-in lifecycle's",
                pointer="/name",
                code="reserved_name",
            )
        check(lifecycle)
        newest = await self.newest(principal.name, lifecycle.name)
        if newest is not None and structs.replace(lifecycle, version=newest.version) == newest:
            return newest, False
        if len(await self._store.select(LIFECYCLES, principal.name, "", self._most)) >= self._most:
            raise TooManyRequests(
                f"this owner has {self._most} lifecycle versions already", limit=self._most
            )
        numbered = structs.replace(lifecycle, version=newest.version + 1 if newest else 1)
        key = table_key(numbered.name, numbered.version)
        if not await self._store.put(
            LIFECYCLES, Record(principal.name, key, msgspec.json.encode(numbered)), fresh=True
        ):
            raise Conflict("another request is registering the same lifecycle; try again")
        return numbered, True

    async def newest(self, owner: str, name: str) -> Lifecycle | None:
        """Return the newest version of a name that this owner may use."""
        if name in BUILT_IN:
            return BUILT_IN[name]
        versions = [
            lifecycle for lifecycle in await self._registered(owner) if lifecycle.name == name
        ]
        return versions[-1] if versions else None

    async def get(self, principal: Principal, name: str, version: int | None = None) -> Lifecycle:
        """
        Return one version of a lifecycle, the newest where none is named.

        Raises:
            NotFound: no lifecycle has that name and version.

        """
        newest = await self.newest(principal.name, name)
        if newest is not None and version in (None, newest.version):
            return newest
        for lifecycle in await self._registered(principal.name):
            if lifecycle.name == name and lifecycle.version == version:
                return lifecycle
        raise NotFound(f"there is no lifecycle {name!r}", code="unknown_lifecycle")

    async def all(self, principal: Principal) -> list[Lifecycle]:
        """Return the built-in lifecycles and the newest versions of the owner's own."""
        newest = {lifecycle.name: lifecycle for lifecycle in await self._registered(principal.name)}
        return [*BUILT_IN.values(), *newest.values()]

    async def _registered(self, owner: str) -> list[Lifecycle]:
        """Return all versions of an owner, by name and number."""
        records = await self._store.select(LIFECYCLES, owner, "", self._most)
        return [_decoder.decode(record.body) for record in records]

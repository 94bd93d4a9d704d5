"""The levels of the state managers that are alive: what all of them can read."""

from __future__ import annotations

from typing import Final

from jobwire.actors.roles.shard_assignment import STATE_MANAGERS
from jobwire.actors.stores.base import Store
from jobwire.schemas.errors import Upgrading
from jobwire.schemas.releases import FIRST_LEVEL, LEVEL, level_of

#: After how many seconds it makes sense to ask again whether an upgrade is finished.
_RETRY_S: Final = 10


class LiveLevels:
    """Reads the levels from the leases of state managers."""

    def __init__(self, store: Store, *, is_shared: bool) -> None:
        """Read from a store; where it `is_shared` with no others, there are no leases."""
        self._store = store
        self._is_shared = is_shared

    async def lowest(self) -> int:
        """Return the lowest level alive; where no state manager is, the first one may come."""
        return min(await self._levels(), default=FIRST_LEVEL)

    async def has_newer(self) -> bool:
        """Return whether a state manager of a newer release is alive."""
        return max(await self._levels(), default=LEVEL) > LEVEL

    async def require(self, level: int, what: str) -> None:
        """
        Refuse what an older release that is alive cannot read.

        Args:
            level: the level from which on releases can read it.
            what: the field or feature, for the message.

        Raises:
            Upgrading: until all are of that level.

        """
        if level <= FIRST_LEVEL:
            return  # everybody can: nothing need be asked
        lowest = await self.lowest()
        if lowest < level:
            detail = (
                f"{what} needs level {level}, and a state manager of level {lowest} is still at "
                "work: an upgrade of the service is under way; try again when it is finished"
            )
            raise Upgrading(detail, retry_after_s=_RETRY_S)

    async def _levels(self) -> list[int]:
        if not self._is_shared:
            return [LEVEL]
        return [level_of(holder) for holder in (await self._store.holders(STATE_MANAGERS)).values()]

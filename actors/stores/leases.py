"""The contract of the store for leases: roles that one holder at a time has. Part of `base`."""

from __future__ import annotations

from typing import Final, Protocol

#: How often a lease is renewed, and how long it is good; seconds. In less than 10 s somebody else
#: has the work of a process that was killed.
RENEW_S: Final = 2.0
LEASE_S: Final = 6.0


class Leases(Protocol):
    """Keeps who holds which role; time is the store's own, never that of a caller's machine."""

    async def claim(self, role: str, holder: str, ttl_s: float) -> int | None:
        """
        Take a role that nobody holds, or keep it: until `ttl_s` from now, by the store's clock.

        Returns:
            A fencing number, larger with each new holder of the role; None: another one holds it.

        """

    async def release(self, role: str, holder: str) -> None:
        """Release a role; nothing happens if another process holds it."""

    async def holders(self, prefix: str) -> dict[str, str]:
        """Return the roles beginning with `prefix` that are held now, each with its holder."""

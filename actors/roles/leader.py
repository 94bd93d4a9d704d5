"""Leadership by lease: one process at a time does the work of a role, others stand by."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from jobwire.actors.runtime.actor import Actor
from jobwire.actors.runtime.periodic import Periodic
from jobwire.actors.runtime.tasks import is_ending
from jobwire.actors.stores.base import Store
from jobwire.actors.stores.leases import LEASE_S, RENEW_S
from jobwire.schemas.errors import JobwireError, Unavailable

_log = structlog.get_logger()


class LeaderRole:
    """
    Runs an actor while this process holds the lease of its role.

    The actor is made anew for each term. When a paused process wakes, two may run for a moment;
    that does no harm, because their work is idempotent. A process whose actor cannot start leaves
    the role to others for a while.
    """

    def __init__(self, make: Callable[[], Actor], store: Store, role: str, holder: str) -> None:
        """Make the actor when `holder` gets the lease named `role`."""
        self.name = role
        self._make = make
        self._store = store
        self._holder = holder
        self._actor: Actor | None = None
        #: The actor has started, and its end has not begun.
        self._is_running = False
        self._may_hold = False
        self._held_until = 0.0
        self._pauses_until = 0.0
        self._is_elsewhere = False
        self._trouble: str | None = "has not started"
        self._loop = Periodic(f"leader.{role}", self._keep, RENEW_S)

    async def start(self) -> None:
        """Begin to claim the role."""
        self._loop.start()

    async def stop(self) -> None:
        """Stop the actor, and give the role back."""
        await self._loop.stop()
        await self._stop_actor()
        await self._release()

    def not_ready(self) -> str | None:
        """Name what is missing; nothing is, while another process has the role."""
        if self._is_elsewhere:
            return None
        if self._trouble is not None:
            return f"{self.name}: {self._trouble}"
        return self._actor.not_ready() if self._actor is not None else self.name

    async def _keep(self) -> None:
        """Claim the role, or renew its lease."""
        try:
            await self._claim()
        except Unavailable as error:
            self._trouble = error.detail
            if _now() > self._held_until:
                await self._stop_actor()  # another one may have it by now
            raise

    async def _claim(self) -> None:
        if not self._is_running:
            await self._stop_actor()  # its start or its end was interrupted
        claimed = _now()
        if claimed < self._pauses_until:
            return
        self._may_hold = True
        fence = await self._store.claim(self.name, self._holder, LEASE_S)
        self._may_hold = fence is not None
        self._is_elsewhere = fence is None
        if fence is None:
            self._trouble = None
            if self._actor is not None:
                _log.warning("role_lost", role=self.name)
                await self._stop_actor()
            return
        self._held_until = claimed + LEASE_S
        if self._is_running:
            self._trouble = None
            return
        _log.info("role_taken", role=self.name, fence=fence)
        await self._take_over()

    async def _take_over(self) -> None:
        try:
            self._actor = self._make()
            await self._actor.start()
        except Exception as error:
            if is_ending():
                raise
            known = error.detail if isinstance(error, JobwireError) else None
            self._trouble = known or "it cannot start; the log says why"
            self._pauses_until = _now() + LEASE_S + RENEW_S
            _log.warning("role_given_back", role=self.name, error=self._trouble, exc_info=not known)
            await self._stop_actor()
            await self._release()
        else:
            self._is_running = True
            self._trouble = None

    async def _stop_actor(self) -> None:
        self._is_running = False
        if self._actor is not None:
            await self._actor.stop()
            self._actor = None  # only now: an end that is interrupted has to be repeated

    async def _release(self) -> None:
        if not self._may_hold:
            return
        try:
            await self._store.release(self.name, self._holder)
        except Unavailable:
            _log.warning("lease_not_released", role=self.name)  # it runs out by itself
        self._may_hold = False


def _now() -> float:
    return asyncio.get_running_loop().time()

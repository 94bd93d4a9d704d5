"""Roles of which one process at a time does the work, while others stand by to take over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from actors.runtime.actor import Actor
from actors.runtime.tasks import Loop
from actors.stores.base import Store
from schemas.errors import Unavailable

_log = structlog.get_logger()

#: How often the role is asked for or kept, and how long it is kept without asking.
RENEW_S, LEASE_S = 2.0, 7.0


class Standby:
    """
    Runs an actor while this process holds its role.

    The actor is made anew for each time. That two do the work for a moment, when a paused process
    wakes, must do no harm: what they do is idempotent.
    """

    def __init__(self, make: Callable[[], Actor], store: Store, role: str, holder: str) -> None:
        """Make the actor when `holder` gets the role."""
        self.name = role
        self._make = make
        self._store = store
        self._holder = holder
        self._actor: Actor | None = None
        self._held_until = 0.0
        self._is_elsewhere = False
        self._trouble: str | None = "has not begun"
        self._loop = Loop(f"standby.{role}", self._keep_asking)

    async def start(self) -> None:
        """Begin to ask for the role."""
        self._loop.start()

    async def stop(self) -> None:
        """Stop the actor, and give the role back."""
        await self._loop.stop()
        if self._actor is not None:
            await self._stop_actor()
            try:
                await self._store.release(self.name, self._holder)
            except Unavailable:
                _log.warning("lease_not_released", role=self.name)  # it runs out by itself

    def missing(self) -> str | None:
        """Name what is missing; nothing is where another process has the role."""
        if self._is_elsewhere:
            return None
        if self._trouble is not None:
            return f"{self.name}: {self._trouble}"
        return self._actor.missing() if self._actor is not None else self.name

    async def _keep_asking(self) -> None:
        while True:
            try:
                await self._ask()
            except Unavailable as error:
                self._trouble = error.detail
                _log.warning("role_waits", role=self.name, error=error.detail)
                if self._actor is not None and _now() > self._held_until:
                    await self._stop_actor()  # another one may have it by now
            await asyncio.sleep(RENEW_S)

    async def _ask(self) -> None:
        asked = _now()
        fence = await self._store.claim(self.name, self._holder, LEASE_S)
        self._is_elsewhere = fence is None
        if fence is None:
            self._trouble = None
            if self._actor is not None:
                _log.warning("role_lost", role=self.name)
                await self._stop_actor()
            return
        self._held_until = asked + LEASE_S
        if self._actor is None:
            _log.info("role_taken", role=self.name, fence=fence)
            actor = self._make()
            try:
                await actor.start()
            except BaseException:
                await actor.stop()
                raise
            self._actor = actor
        self._trouble = None

    async def _stop_actor(self) -> None:
        actor, self._actor = self._actor, None
        if actor is not None:
            await actor.stop()


def _now() -> float:
    return asyncio.get_running_loop().time()

"""Looks up all watched runs of a site at once, again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from jobwire.actors.batch_systems.base import Launch, RunStatus
from jobwire.actors.runtime.tasks import Loop
from jobwire.actors.sites import Site
from jobwire.actors.submitter.lookups import Lookups

_Waiter = tuple[Launch, asyncio.Future[RunStatus | None]]


class Poller:
    """
    Asks the batch system of a site once in each interval, for all runs that somebody waits for.

    However many these are, it is the few commands of one look-up.
    """

    def __init__(self, site: Site, lookups: Lookups) -> None:
        """Poll through `lookups`, at the interval in the settings of the site."""
        self._interval_s = site.settings.interval_s
        self._lookups = lookups
        self._waiters: list[_Waiter] = []
        self._loop = Loop(f"poller.{site.name}", self._poll)

    def start(self) -> None:
        """Begin to ask."""
        self._loop.start()

    async def stop(self) -> None:
        """Stop polling; tasks that still wait must be cancelled."""
        await self._loop.stop()

    async def next_status(self, launch: Launch) -> RunStatus | None:
        """
        Return what the next poll finds of an attempt; None: the site says nothing of it.

        Raises:
            Unavailable: the site could not be asked.

        """
        answer: asyncio.Future[RunStatus | None] = asyncio.get_running_loop().create_future()
        self._waiters.append((launch, answer))
        return await answer

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            waiters, self._waiters = self._waiters, []
            if any(not answer.done() for _, answer in waiters):
                await self._answer(waiters)

    async def _answer(self, waiters: Sequence[_Waiter]) -> None:
        launches = {launch.run: launch for launch, answer in waiters if not answer.done()}
        try:
            found = await self._lookups.ask(list(launches.values()))
        except Exception as error:  # noqa: BLE001 - it is everybody's who waits
            for _, answer in waiters:
                with suppress(asyncio.InvalidStateError):  # nobody waits for this one any more
                    answer.set_exception(error)
            return
        for launch, answer in waiters:
            if not answer.done():
                answer.set_result(found.get(launch.run))

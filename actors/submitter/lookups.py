"""Looks up attempts, many with one command: those asked for while one runs go with the next."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from jobwire.actors.batch_systems.base import Launch, RunStatus
from jobwire.actors.sites import Site
from jobwire.schemas.errors import Unavailable


class Lookups:
    """Looks up the states of attempts at a site."""

    def __init__(self, site: Site) -> None:
        """Look up through the host of a site."""
        self._site = site
        self._asked: dict[str, tuple[Launch, asyncio.Future[RunStatus | None]]] = {}
        self._asking = asyncio.Lock()

    async def of(self, launch: Launch) -> RunStatus | None:
        """
        Return what is found of an attempt now; None: the site says nothing of it.

        Raises:
            Unavailable: the site cannot be asked.

        """
        if launch.run not in self._asked:
            found: asyncio.Future[RunStatus | None] = asyncio.get_running_loop().create_future()
            self._asked[launch.run] = (launch, found)
        _, answer = self._asked[launch.run]
        async with self._asking:
            if not answer.done():
                await self._answer()
        return answer.result()

    async def ask(self, launches: Sequence[Launch]) -> dict[str, RunStatus]:
        """
        Return what is found of some attempts, by `run`; those that the site knows.

        Raises:
            Unavailable: the site cannot be asked.

        """
        host, batch = self._site.host, self._site.batch
        dones = [await host.run(argv) for argv in batch.status_argvs(launches)]
        return batch.parse_statuses(dones, launches)

    async def _answer(self) -> None:
        """Look up all waiting attempts at once; an error is raised to every caller."""
        asked = list(self._asked.values())
        self._asked = {}
        try:
            found = await self.ask([launch for launch, _ in asked])
        except BaseException as error:
            for _, answer in asked:
                answer.set_exception(error if isinstance(error, Exception) else Unavailable())
                answer.exception()
            raise
        for launch, answer in asked:
            answer.set_result(found.get(launch.run))

"""Looks up attempts, many with one command: those asked for while one runs go with the next."""

from __future__ import annotations

import asyncio

from jobwire.actors.batch_systems.base import Launch, RunStatus
from jobwire.actors.sites import Site
from jobwire.schemas.errors import Unavailable

#: Attempts of one command.
_MOST = 200


class Lookups:
    """Asks a site what has become of attempts."""

    def __init__(self, site: Site) -> None:
        """Ask through the host of a site."""
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
                await self._ask()
        return answer.result()

    async def _ask(self) -> None:
        """Ask for all that wait; an error is everybody's."""
        runs = list(self._asked)[:_MOST]
        asked = [self._asked.pop(run) for run in runs]
        host, batch = self._site.host, self._site.batch
        try:
            argvs = batch.status_argvs([launch for launch, _ in asked])
            stdouts = [(await host.run(argv)).stdout for argv in argvs]
            found = batch.parse_statuses(stdouts)
        except BaseException as error:
            for _, answer in asked:
                answer.set_exception(error if isinstance(error, Exception) else Unavailable())
                answer.exception()
            raise
        for launch, answer in asked:
            answer.set_result(found.get(launch.run))

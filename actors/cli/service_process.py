"""The life of a service process: start, run until a signal, drain, and perhaps start anew."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Collection

import click
from msgspec import structs
from yarl import URL

from jobwire.actors.runtime.folder import DataFolder
from jobwire.actors.runtime.settings import Settings
from jobwire.actors.system import ACTORS, ActorName, System

#: Objects made before the youngest are looked through: a batch makes thousands, none in circles.
_COLLECT_AFTER = 20_000


class ServiceProcess:
    """Runs a system until it is told to stop; SIGHUP makes it take over a restored backup."""

    def __init__(
        self,
        settings: Settings,
        folder: DataFolder,
        announce: Callable[[System], None],
        names: Collection[ActorName] = ACTORS,
    ) -> None:
        """Prepare to run actors; `announce` is called once with the URLs of this process."""
        self._names = names
        self._settings = settings
        self._folder = folder
        self._announce = announce
        self._is_stopping = False
        self._over = asyncio.Event()
        # Closing a terminal sends SIGHUP too; without a restore that means stop.
        self._has_terminal = sys.stdin.isatty() or sys.stdout.isatty()

    async def live(self) -> None:
        """
        Run until told to stop.

        Raises:
            Misconfigured: this process cannot work; it may show only when the database is there.

        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop)
        loop.add_signal_handler(signal.SIGHUP, self._on_hang_up)
        while not self._is_stopping:
            self._over.clear()
            if self._settings.database.url is None:
                self._folder.take_restore()
            await self._live_once(System(self._settings, self._folder, self._names))

    async def _live_once(self, system: System) -> None:
        try:
            await system.start()
            _spare_the_collector()
            self._announce(system)
            self._announce = _say_nothing
            # The next life answers at the same address, also where the port was any free one.
            self._settings = structs.replace(self._settings, port=URL(system.url).port)
            await self._until_over(system)
        finally:
            await self._drain(system)

    async def _until_over(self, system: System) -> None:
        ends = [asyncio.create_task(self._over.wait()), asyncio.create_task(system.fails())]
        ended, waiting = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for each in waiting:
            each.cancel()
        for each in ended:
            await each

    async def _drain(self, system: System) -> None:
        try:
            async with asyncio.timeout(self._settings.grace_s):
                await system.stop()
        except TimeoutError:
            _end_at_once(f"some work did not end within {self._settings.grace_s:g} s")

    def _on_stop(self) -> None:
        if self._is_stopping:
            _end_at_once("received a second signal to stop")
        self._is_stopping = True
        self._over.set()

    def _on_hang_up(self) -> None:
        if self._has_terminal and not self._folder.pending_restore.exists():
            self._is_stopping = True
        self._over.set()


def _spare_the_collector() -> None:
    """Leave what lives as long as the service out of every collection, and collect less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)


def _say_nothing(_system: System) -> None:
    """Announce only the first start."""


def _end_at_once(reason: str) -> None:
    click.echo(f"jobwire: {reason}; ending at once, nothing accepted is lost", err=True)
    os._exit(1)

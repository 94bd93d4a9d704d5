"""The only composition root: settings to parts, parts to a running process of the service."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

import structlog

from jobwire.actors.gateway.actor import Gateway
from jobwire.actors.runtime.backoff import Backoff
from jobwire.actors.runtime.folder import DataFolder, Service
from jobwire.actors.runtime.settings import Settings
from jobwire.actors.runtime.tasks import is_ending
from jobwire.actors.system.actor_factory import ACTORS, ActorFactory, ActorName, process_name
from jobwire.actors.system.bootstrap import (
    adopt_first_key,
    fix_shards,
    make_first_key,
    shared_secrets,
)
from jobwire.actors.system.container import Container, now
from jobwire.schemas.errors import JobwireError, Misconfigured

__all__ = ["ACTORS", "ActorName", "System", "now"]

_log = structlog.get_logger()

#: First and longest pause before a process looks again whether the database is there.
_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 2.0

Step = Callable[[], Awaitable[None]]
"""One step of the beginning."""


class System:
    """Some or all actors of a service, in this process."""

    def __init__(
        self,
        settings: Settings,
        folder: DataFolder,
        names: Collection[ActorName] = ACTORS,
    ) -> None:
        """
        Build all parts; nothing runs yet.

        Args:
            settings: what was set.
            folder: the data folder; claimed already, where everything is in this process.
            names: the actors to run.

        Raises:
            Misconfigured: they need a broker and a database that others reach too.

        """
        _check(settings, names)
        self._settings = settings
        self._folder = folder
        self._is_alone = settings.broker.url is None
        secrets = folder.secrets() if self._is_alone else shared_secrets(settings, folder)
        self._container = container = Container(
            settings, folder, secrets, process_name(names), self.not_ready, lambda: self.url
        )
        factory = ActorFactory(container, names)
        self._front = factory.front(self.not_ready)
        self._actors = factory.actors()
        self._steps = self._make_steps()
        self._trouble: str | None = "starting"
        self._beginning: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where the service answers; in a process without a gateway as the settings have it."""
        if isinstance(self._front, Gateway):
            return self._front.url
        settings = self._settings
        return settings.public_url or f"http://{settings.host}:{settings.port}"

    @property
    def front_url(self) -> str:
        """Where this very process answers."""
        return self._front.url

    @property
    def dialect_urls(self) -> Mapping[str, Sequence[str]]:
        """The base URLs of each dialect of another system in this process."""
        return self._front.dialect_urls() if isinstance(self._front, Gateway) else {}

    async def start(self) -> None:
        """
        Start everything.

        Alone, return when all is ready. Together with others, return when this process listens:
        whatever it needs may come later, and until then its readiness says what is missing.
        """
        self._front.bind()
        try:
            if self._is_alone:
                await self._begin()
                await self._front.start()
                self._folder.announce(Service(url=self.url, pid=os.getpid()))
            else:
                await self._front.start()
                self._beginning = asyncio.create_task(self._begin_in_time(), name="beginning")
        except BaseException:
            await self._front.stop()
            raise

    async def fails(self) -> None:
        """
        Wait for ever, unless it shows that this process can never work.

        Raises:
            Misconfigured: what is wrong.

        """
        if self._beginning is not None:
            await asyncio.shield(self._beginning)
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """Stop what loses nothing by it: requests first, then what is in hand, then the store."""
        if self._beginning is not None:
            self._beginning.cancel()
            await asyncio.gather(self._beginning, return_exceptions=True)
        await self._front.stop()
        managers = [each for each in self._actors if each.name == "state_manager"]
        for actor in reversed([each for each in self._actors if each not in managers]):
            await actor.stop()
        await self._container.packer.close()
        for manager in managers:
            await manager.stop()
        await self._container.transport.close()
        for site in self._container.sites.values():
            await site.close()
        await self._container.store.close()

    async def not_ready(self) -> list[str]:
        """Name the parts that are not able to work now."""
        container = self._container
        found = [self._trouble] if self._trouble else []
        found += [name for actor in self._actors if (name := actor.not_ready())]
        found += [
            name for name in (self._front.not_ready(), container.transport.not_ready()) if name
        ]
        try:
            async with asyncio.timeout(self._settings.answer_s):
                await container.store.check()
        except (JobwireError, TimeoutError) as error:
            found.append(f"store: {error}" if str(error) else "store: no answer")
        return found

    async def _begin_in_time(self) -> None:
        """Begin as soon as what is needed is there; a wrong setting is not waited for."""
        backoff = Backoff(_PAUSE_S, _LONGEST_PAUSE_S)
        while True:
            try:
                await self._begin()
            except Misconfigured as error:
                self._trouble = error.detail
                raise
            except JobwireError as error:
                self._trouble = f"store: {error.detail}"
                _log.warning("start_waits", error=error.detail)
            except Exception:  # noqa: BLE001 - logged and shown; tried again like the others
                self._trouble = "a fault of the service at its start; it is in the log"
                _log.exception("start_failed")
            else:
                return
            if is_ending():
                return
            await asyncio.sleep(backoff.next_s())

    async def _begin(self) -> None:
        """Take the steps of the beginning; a repetition goes on with the one that failed."""
        while self._steps:
            await self._steps[0]()
            self._steps.popleft()
        self._trouble = None

    def _make_steps(self) -> deque[Step]:
        """Return the steps: the bus and the store, then the actors."""
        container, settings, folder = self._container, self._settings, self._folder
        transport = container.transport
        steps: list[Step] = [transport.open, container.packer.start]
        steps.append(lambda: container.replies.start(transport))
        if isinstance(self._front, Gateway):
            steps.append(container.operations.streams.start)
        steps += [container.store.open, lambda: fix_shards(container.store, settings.shards)]
        steps.append(container.packer.admit)
        if self._is_alone:
            steps.append(lambda: make_first_key(container.keys, folder))
        elif isinstance(self._front, Gateway):
            steps.append(lambda: adopt_first_key(container.keys, settings, folder))
        return deque([*steps, *(actor.start for actor in self._actors)])


def _check(settings: Settings, names: Collection[ActorName]) -> None:
    """Refuse actors that could not reach the others."""
    if settings.broker.url is not None and settings.database.url is None:
        detail = (
            "[broker] url is set, but the processes also need a shared database: set [database] url"
        )
        raise Misconfigured(detail)
    if settings.broker.url is None and set(names) != set(ACTORS):
        detail = "actors in separate processes need a broker: set [broker] url"
        raise Misconfigured(detail)

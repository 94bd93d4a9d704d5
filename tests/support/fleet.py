"""Actors in processes of their own, as `jobwire serve` runs them, on a real broker and database."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Final

from jobwire.actors.cli.secrets import make_installation
from tests.support.leftovers import end_jobs
from tests.support.ports import free_port

_ROOT: Final = Path(__file__).parents[2]
_COMMAND: Final = (sys.executable, "-m", "jobwire.actors.cli.main", "serve")
#: Longest time that a start, or getting ready, may take on a machine that is busy.
PATIENCE_S: Final = 90.0
#: Characters of what a process wrote that are shown of one that fails.
_SAID: Final = 2_000

ALL: Final = ("gateway", "state-manager", "submitter", "stager", "notifier")


class Member:
    """One process of the fleet."""

    def __init__(self, fleet: Fleet, name: str, actors: tuple[str, ...]) -> None:
        """Prepare; nothing runs yet."""
        self.name = name
        self.actors = actors
        self._fleet = fleet
        self._log = fleet.folder / f"{name}.log"
        self._process: asyncio.subprocess.Process | None = None
        self.health_port = fleet.port_of(actors)

    @property
    def url(self) -> str:
        """Where it says how it is."""
        return f"http://127.0.0.1:{self.health_port}"

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The process that runs, or the last one that did."""
        assert self._process is not None
        return self._process

    @property
    def has_run(self) -> bool:
        """Whether it was ever started."""
        return self._process is not None

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.returncode is None

    async def start(self, failpoints: str = "", **settings: str) -> None:
        """Start; return at once."""
        environment = {
            **self._fleet.environment,
            "JOBWIRE_HEALTH__PORT": str(self.health_port),
            "JOBWIRE_FAILPOINTS": failpoints,
            **({"JOBWIRE_PORT": str(self.health_port)} if "gateway" in self.actors else {}),
            **settings,
        }
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *_COMMAND, *self.actors, env=environment, stdout=log, stderr=log
            )

    async def not_ready(self) -> list[str] | None:
        """Return what it says is missing; None: it does not answer."""
        return await asyncio.to_thread(_not_ready, self.url)

    async def counted(self, name: str) -> float:
        """Return what it has counted under a name, with all labels together."""
        text = await asyncio.to_thread(_metrics, self.url)
        lines = [line.rpartition(" ") for line in text.splitlines()]
        return sum(float(value) for key, _, value in lines if key.partition("{")[0] == name)

    async def ready(self, within_s: float = PATIENCE_S) -> None:
        """Wait until nothing is missing."""
        missing: list[str] | None = None
        try:
            async with asyncio.timeout(within_s):
                while (missing := await self.not_ready()) != []:
                    assert self.is_running, f"{self.name} has ended: {self.said()[-_SAID:]}"
                    await asyncio.sleep(0.1)
        except TimeoutError:
            message = (
                f"{self.name} is not ready after {within_s} s: {missing}; {self.said()[-_SAID:]}"
            )
            raise AssertionError(message) from None

    def said(self) -> str:
        """Return all that it has written."""
        return self._log.read_text()

    @property
    def is_standing(self) -> bool:
        """Whether it lives, and was stopped in its tracks."""
        if not self.is_running:
            return False
        state = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "T"

    async def kill(self) -> None:
        """Kill it as a power cut would, and wait for its end."""
        self.process.send_signal(signal.SIGKILL)
        assert await self.ended() == -signal.SIGKILL

    async def ended(self, within_s: float = PATIENCE_S) -> int:
        """Wait for its end; return the exit code, negative for a signal."""
        async with asyncio.timeout(within_s):
            return await self.process.wait()

    def pause(self) -> None:
        """Stop it in its tracks, its connections open."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    async def stop(self, within_s: float = PATIENCE_S) -> int:
        """Ask it to stop; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self.ended(within_s)

    async def close(self) -> None:
        """Leave nothing behind."""
        if self.is_running:
            self.process.kill()
            await self.process.wait()


class Fleet:
    """All processes of one installation."""

    def __init__(
        self,
        folder: Path,
        broker_url: str,
        database_url: str,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare an installation with secrets of its own; nothing runs yet."""
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.members: dict[str, Member] = {}
        make_installation(folder)
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("JOBWIRE_")
        } | {
            "PYTHONPATH": str(_ROOT),
            "JOBWIRE_DATA": str(folder),
            "JOBWIRE_PORT": str(self.port),
            "JOBWIRE_BROKER__URL": broker_url,
            "JOBWIRE_DATABASE__URL": database_url,
            "JOBWIRE_SHARDS": "4",
            **(settings or {}),
        }

    @property
    def api_key(self) -> str:
        """The administrator's key."""
        return (self.folder / "api-key").read_text().strip()

    def __getitem__(self, name: str) -> Member:
        """Return a member by its name."""
        return self.members[name]

    def port_of(self, actors: Collection[str]) -> int:
        """Return the port of a new process; the first gateway has the fleet's own."""
        is_taken = any("gateway" in member.actors for member in self.members.values())
        return self.port if "gateway" in actors and not is_taken else free_port()

    def add(self, name: str, *actors: str) -> Member:
        """Add a process of some actors, by default of the one it is named after."""
        member = Member(self, name, actors or (name,))
        self.members[name] = member
        return member

    async def start(self, names: Iterable[str] = ALL, **settings: str) -> None:
        """Start a process for each name, all at once, and wait until they are ready."""
        members = [self.members.get(name) or self.add(name) for name in names]
        for member in members:
            await member.start(**settings)
        await self.ready()

    async def ready(self, within_s: float = PATIENCE_S) -> None:
        """Wait until nothing is missing anywhere."""
        running = [member for member in self.members.values() if member.is_running]
        await asyncio.gather(*(member.ready(within_s) for member in running))

    async def close(self) -> None:
        """End everything."""
        for member in self.members.values():
            await member.close()
        end_jobs(self.folder)


def _not_ready(url: str) -> list[str] | None:
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=30) as answer:
            return list(json.load(answer)["missing"])
    except urllib.error.HTTPError as error:
        return list(json.load(error)["missing"])
    except OSError:
        return None


def _metrics(url: str) -> str:
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        return str(answer.read().decode())

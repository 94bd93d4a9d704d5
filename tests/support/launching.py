"""A whole service in this process that speaks the joblauncher's language."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jobwire.actors.dialects.joblauncher.settings import Joblauncher
from jobwire.actors.runtime.settings import Settings, StagingSettings
from tests.support.deadlines import until
from tests.support.service import Answer, Caller, Service, running

#: Longest time for a step on a machine that is busy.
STEP_S: Final = 90.0


@dataclass
class SandboxView:
    """A service that speaks the dialect, and a directory that jobs may use."""

    service: Service
    jobdir: Path
    base: str
    caller: Caller

    async def post(self, **request: Any) -> Answer:
        """Submit a job, whatever comes of it."""
        asked = {"jobdir": str(self.jobdir), "executable": "/bin/true", **request}
        return await self.caller.post(f"{self.base}/job", json=asked)

    async def submit(self, **request: Any) -> str:
        """Submit a job; return its URL."""
        made = await self.post(**request)
        assert made.status == 201, made.body
        return made.headers["Location"]

    async def script(self, text: str, **request: Any) -> str:
        """Submit a job that runs a script; return its URL."""
        return await self.submit(executable="sh", arguments=["-c", text], **request)

    async def status(self, url: str) -> Any:
        """Return the status of a job."""
        return (await self.caller.get(url)).json["status"]

    async def reach(self, url: str, *states: str, within_s: float = STEP_S) -> Any:
        """Wait for one of some states, or for the end; return the status."""

        async def is_there() -> bool:
            status = await self.status(url)
            return status["state"] in states if states else bool(status["done"])

        await until(is_there, within_s)
        return await self.status(url)

    async def listed(self) -> list[str]:
        """Return the URLs of all jobs."""
        found: list[str] = (await self.caller.get(f"{self.base}/job")).json
        return found

    @property
    def sandboxes(self) -> list[str]:
        """Name the directories that jobs have now."""
        folder = self.service.folder.path / "sandboxes"
        return [each.name for each in folder.iterdir() if each.is_dir()] if folder.exists() else []


@asynccontextmanager
async def launching(
    folder: Path,
    *,
    dialect: Mapping[str, Any] | None = None,
    leaves_jobs: bool = False,
    **rest: Any,
) -> AsyncIterator[SandboxView]:
    """Run a service that speaks the dialect alone at a port, with `dialect` as its settings."""
    jobdir = folder / "jobs"
    jobdir.mkdir(exist_ok=True, parents=True)
    spoken = {"enabled": True, "listen": "127.0.0.1:0", "owner": "launcher", **(dialect or {})}
    given = {"port": 0, "staging": StagingSettings(roots=(str(jobdir),)), **rest}
    settings = Settings(dialects={"joblauncher": Joblauncher(**spoken)}, **given)
    async with running(folder / "data", settings, leaves_jobs=leaves_jobs) as service:
        _, base = service.system.dialect_urls["joblauncher"]
        yield SandboxView(service, jobdir, base, service.nobody)

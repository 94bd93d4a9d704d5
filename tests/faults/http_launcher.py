"""A client of the joblauncher, whose jobs write down each time that they run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp


class Launcher:
    """Submits jobs and looks at them over HTTP."""

    def __init__(self, url: str, jobdir: Path, session: aiohttp.ClientSession) -> None:
        """Speak to the service at a URL; jobs have their files in a directory of its roots."""
        self.base = f"{url}/compat/joblauncher/job"
        self.jobdir = jobdir
        self._session = session

    async def submit(self, **request: object) -> tuple[int, Any]:
        """Submit a job that writes a line each time that it runs."""
        text = f"echo ran >> {self.jobdir}/runs"
        asked = {"jobdir": str(self.jobdir), "executable": "sh", "arguments": ["-c", text]}
        async with self._session.post(self.base, json=asked | request) as answer:
            return answer.status, await answer.text()

    async def get(self, url: str) -> Any:
        """Return the JSON of an answer."""
        async with self._session.get(url) as answer:
            return await answer.json()

    async def has_jobs(self) -> bool:
        """Return whether any job is listed."""
        return bool(await self.get(self.base))

    async def is_done(self, url: str) -> bool:
        """Return whether nothing more will happen to a job."""
        return bool((await self.get(url))["status"]["done"])

    @property
    def runs(self) -> int:
        """How often jobs have run."""
        file = self.jobdir / "runs"
        return file.read_text().count("ran\n") if file.exists() else 0


def config_of(jobdir: Path, **more: object) -> str:
    """Return the settings of a service that speaks the dialect."""
    lines = "".join(f"{name} = {value}\n" for name, value in more.items())
    return (
        f'[staging]\nroots = ["{jobdir}"]\n'
        f'[dialects.joblauncher]\nenabled = true\nowner = "launcher"\n{lines}'
    )

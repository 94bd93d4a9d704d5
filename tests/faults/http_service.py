"""One service as a process of its own: started, killed, stopped, started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.support.leftovers import end_jobs
from tests.support.ports import free_port

_ROOT = Path(__file__).parents[2]
_COMMAND = (sys.executable, "-m", "jobwire.actors.cli.main")
_RUNNER = (sys.executable, str(Path(__file__).with_name("http_runner.py")))

#: Longest time that a start may take, also on a machine that is busy with other tests.
_START_S = 90.0


class Service:
    """A data folder, a port, and the process that serves them at the moment."""

    def __init__(
        self,
        folder: Path,
        *,
        mistake: str | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare; nothing runs yet."""
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = dict(settings or {})
        self._command = (*_RUNNER, mistake) if mistake else _COMMAND
        self._process: asyncio.subprocess.Process | None = None

    @property
    def api_key(self) -> str:
        """The administrator's key."""
        return (self.folder / "api-key").read_text().strip()

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The process that runs, or the last one that did."""
        assert self._process is not None
        return self._process

    async def start(self, failpoints: str = "") -> None:
        """Start; return when it answers, or has met its failpoint before that."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("JOBWIRE_")
        }
        environment |= {"PYTHONPATH": str(_ROOT), "JOBWIRE_FAILPOINTS": failpoints, **self.settings}
        up = ("up", "--data", str(self.folder), "--port", str(self.port))
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            *up,
            env=environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        end = time.monotonic() + _START_S
        while self._process.returncode is None and not self._answers():
            assert time.monotonic() < end, "the service does not start"
            await asyncio.sleep(0.02)
        if self._process.returncode not in (None, -signal.SIGKILL):
            raise AssertionError(await self.errors())

    def _answers(self) -> bool:
        """Return whether this very process has written down where it answers."""
        try:
            written = json.loads((self.folder / "service.json").read_bytes())
        except FileNotFoundError:
            return False
        return bool(written["pid"] == self.process.pid)

    async def ended(self, within_s: float) -> int:
        """Wait for the end; return the exit code, negative for a signal."""
        async with asyncio.timeout(within_s):
            return await self.process.wait()

    async def errors(self) -> str:
        """Return what the ended process wrote to standard error."""
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode()

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    async def kill(self) -> None:
        """Kill it as a power cut would, and wait for its end."""
        self.send(signal.SIGKILL)
        assert await self.ended(_START_S) == -signal.SIGKILL

    async def close(self) -> None:
        """Leave no process behind."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        end_jobs(self.folder)


async def refused_start(*arguments: str) -> tuple[int, str]:
    """Start a service that cannot start; return its exit code and what it says."""
    environment = {"PYTHONPATH": str(_ROOT), "PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    process = await asyncio.create_subprocess_exec(
        *_COMMAND,
        "up",
        "--port",
        "0",
        *arguments,
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(_START_S):
        _, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, errors.decode()

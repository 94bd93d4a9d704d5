"""The service under test: the real command in a temporary folder, and what a bench needs of it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.ports import free_port

_ROOT = Path(__file__).parent.parent


class Client:
    """What a bench asks of a service, however it runs."""

    def __init__(self, url: str, key: str) -> None:
        """Call at a URL with a key."""
        self.url = url
        self.key = key
        self.host, port = url.removeprefix("http://").split(":")
        self.port = int(port)

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Send one request; give the answer's JSON."""
        return json.loads(self.send(method, path, body))

    def send(self, method: str, path: str, body: object = None) -> bytes:
        """Send one request; give the body of the answer."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request) as answer:
            content: bytes = answer.read()
        return content

    def metric(self, name: str) -> float:
        """Return the value of a metric without labels."""
        with urllib.request.urlopen(f"{self.url}/metrics") as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(f"{name} "):
                    return float(line.split()[1])
        raise KeyError(name)

    def running_jobs(self, count: int) -> list[tuple[str, str]]:
        """Make jobs that run; give their ids and tokens."""
        jobs = []
        for number in range(count):
            made = self.call("POST", "/v1/jobs", {"name": f"bench {number}", "tags": ["bench"]})
            event = {"uuid": made["id"], "token": made["token"], "name": "run"}
            self.call("POST", "/v1/events?wait=5", event)
            jobs.append((made["id"], made["token"]))
        return jobs

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Keep one subscriber on the stream of all jobs."""
        command = [
            "curl",
            "-sN",
            "-H",
            f"Authorization: Bearer {self.key}",
            f"{self.url}/v1/stream",
        ]
        reader = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            yield
        finally:
            reader.kill()
            reader.wait()


class Service(Client):
    """A running `jobwire up`."""

    def __init__(
        self, folder: Path, settings: Mapping[str, str] | None = None, tree: Path | None = None
    ) -> None:
        """Start in a folder, from this source or another one; return when it is ready."""
        self.folder = folder
        command = [
            sys.executable,
            "-m",
            "jobwire.actors.cli.main",
            "up",
            "--data",
            str(folder),
            "--port",
            "0",
        ]
        environment = {**os.environ, **(settings or {}), "PYTHONPATH": str(tree or _ROOT)}
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, env=environment, cwd=tree or _ROOT
        )
        try:
            self._await_start()
        except BaseException:
            self.stop()
            raise
        url = json.loads((folder / "service.json").read_text())["url"]
        super().__init__(url, (folder / "api-key").read_text().strip())

    def _await_start(self) -> None:
        deadline = time.monotonic() + 20
        while not (self.folder / "service.json").exists():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError("the service did not start")
            time.sleep(0.02)

    def entries(self) -> int:
        """Count the entries in the store itself."""
        connection = sqlite3.connect(f"file:{self.folder / 'jobwire.db'}?mode=ro", uri=True)
        (count,) = connection.execute("SELECT max(position) FROM entries").fetchone()
        connection.close()
        return int(count)

    def memory_mib(self, *, peak: bool = False) -> float:
        """Return the resident memory, now or at its peak."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM" if peak else "VmRSS"):
                return int(line.split()[1]) / 1024
        return 0.0

    def stop(self) -> None:
        """Stop it."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)


@contextmanager
def service(
    folder: Path | None = None,
    settings: Mapping[str, str] | None = None,
    tree: Path | None = None,
) -> Iterator[Service]:
    """Run a service, in a temporary folder unless one is given."""
    with tempfile.TemporaryDirectory(prefix="jobwire-bench-") as temporary:
        running = Service(folder or Path(temporary), settings, tree)
        try:
            yield running
        finally:
            running.stop()


@contextmanager
def bare_handler() -> Iterator[int]:
    """Run the bare handler; give its port."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.bare", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield port
    finally:
        process.kill()
        process.wait()

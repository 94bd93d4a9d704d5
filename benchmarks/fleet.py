"""The fleet under test: one process for each actor over a real broker and a real database."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pymongo

from benchmarks.service import Client
from jobwire.actors.cli.secrets import make_installation
from tests.support.mongodb import MongoServer
from tests.support.ports import free_port
from tests.support.rabbitmq import RabbitServer

_ROOT = Path(__file__).parent.parent
_ACTORS = ("gateway", "state-manager", "notifier")
#: Queues of events; more are for more processors.
SHARDS = int(os.environ.get("JOBWIRE_SHARDS", "2"))
#: Where temporary files are kept on a disk.
_DISK = "/var/tmp"
_FLUSHES = 200
_START_S = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Servers(NamedTuple):
    """A broker and a database, both fresh."""

    rabbit: RabbitServer
    mongo: MongoServer


class Fleet(Client):
    """Running processes of `jobwire serve`."""

    def __init__(
        self,
        folder: Path,
        servers: Servers,
        actors: Sequence[str] = _ACTORS,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Start a process for each actor; return when all are ready."""
        _, key_file = make_installation(folder)
        self.servers = servers
        self.broker_url = servers.rabbit.vhost()
        self.database_url = servers.mongo.database()
        port = free_port()
        super().__init__(f"http://127.0.0.1:{port}", key_file.read_text().strip())
        environment = {
            **os.environ,
            "PYTHONPATH": str(_ROOT),
            "JOBWIRE_DATA": str(folder),
            "JOBWIRE_PORT": str(port),
            "JOBWIRE_BROKER__URL": self.broker_url,
            "JOBWIRE_DATABASE__URL": self.database_url,
            "JOBWIRE_SHARDS": str(SHARDS),
            **(settings or {}),
        }
        command = [sys.executable, "-m", "jobwire.actors.cli.main", "serve"]
        self.processes: list[tuple[str, subprocess.Popen[bytes]]] = []
        self.urls: list[str] = []
        self._entries = pymongo.MongoClient[dict[str, Any]](
            self.database_url
        ).get_default_database()
        try:
            for actor in actors:
                health = free_port()
                self.urls.append(f"http://127.0.0.1:{port if actor == 'gateway' else health}")
                process = subprocess.Popen(
                    [*command, actor],
                    stdout=subprocess.DEVNULL,
                    env={**environment, "JOBWIRE_HEALTH__PORT": str(health)},
                )
                self.processes.append((actor, process))
            self._await_ready(self.urls)
        except BaseException:
            self.stop()
            raise

    def _await_ready(self, urls: Sequence[str]) -> None:
        deadline = time.monotonic() + _START_S
        for url in urls:
            while not _is_ready(url):
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{url} is not ready after {_START_S:g} s")
                time.sleep(0.1)

    def entries(self) -> int:
        """Count the entries in the database itself."""
        return int(self._entries["entries"].estimated_document_count())

    def settle(self) -> None:
        """Wait until nothing more is being stored."""
        before = -1
        while (count := self.entries()) != before:
            before = count
            time.sleep(0.3)

    def cpu_s(self) -> dict[str, float]:
        """Return the processor time that each part has used."""
        used: dict[str, float] = {}
        for name, process in self.processes:
            used[name] = used.get(name, 0) + _cpu_s(process.pid)
        used["broker"] = _cpu_s(self.servers.rabbit.pid)
        used["database"] = sum(map(_cpu_s, self.servers.mongo.pids))
        return used

    def stop(self) -> None:
        """Stop all."""
        for _, process in self.processes:
            process.send_signal(signal.SIGTERM)
        for _, process in self.processes:
            process.wait(30)
        self._entries.client.close()


def flush_ms() -> float:
    """Return the milliseconds (median) in which the disk under the servers takes 4 KiB for good."""
    times = []
    with tempfile.TemporaryFile(dir=_DISK) as file:
        for _ in range(_FLUSHES):
            file.write(bytes(4_096))
            file.flush()
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1e3


@contextmanager
def servers() -> Iterator[Servers]:
    """Run a broker and a database of our own, on disk."""
    with tempfile.TemporaryDirectory(prefix="jobwire-bench-", dir=_DISK) as folder:
        folders = [Path(folder) / name for name in ("rabbit", "mongo")]
        for each in folders:
            each.mkdir()
        rabbit, mongo = RabbitServer(folders[0]), MongoServer(folders[1])
        try:
            rabbit.start()
            mongo.start()
            yield Servers(rabbit, mongo)
        finally:
            rabbit.close()
            mongo.close()


@contextmanager
def fleet(
    running: Servers,
    actors: Sequence[str] = _ACTORS,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Fleet]:
    """Run a fleet."""
    with tempfile.TemporaryDirectory(prefix="jobwire-bench-") as folder:
        started = Fleet(Path(folder) / "data", running, actors, settings)
        try:
            yield started
        finally:
            started.stop()


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=6) as answer:
            return bool(json.load(answer)["status"] == "ready")
    except OSError:
        return False


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS

"""Jobs that behave badly: the service, its memory and its files stay as they were."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from http_service import Service
from run_fleet import alive

from tests.support.disk import small_disk
from tests.support.stopwatch import Stopwatch

pytestmark = pytest.mark.fault

_GIB = 1 << 30
_ENDED_S = 90.0
_GRACE_S = 1.0
#: Ignores TERM; so does a child of it, and a daemon that has left its session and its parent.
_STUBBORN = """
trap '' TERM
(trap '' TERM; sleep 600) &
setsid sh -c "trap '' TERM; sleep 600 & sleep 600" </dev/null >/dev/null 2>&1 &
echo ready
while :; do sleep 600; done
"""


class Bench:
    """A service, and one caller."""

    def __init__(self, service: Service) -> None:
        """Call a service."""
        self.service = service
        self._session = aiohttp.ClientSession()

    async def start(self) -> None:
        """Start the service."""
        await self.service.start()

    async def close(self) -> None:
        """End both."""
        await self._session.close()
        await self.service.close()

    async def call(self, method: str, path: str, body: object = None) -> Any:
        """Send one request; return the answer's JSON."""
        async with self._request(method, path, body) as response:
            content = await response.read()
            assert response.status < 300, content
            return msgspec.json.decode(content)

    async def read(self, path: str, most: int) -> bytes:
        """Read the end of a file."""
        headers = {"Range": f"bytes=-{most}"}
        async with self._request("GET", path, None, headers) as response:
            assert response.status == 206
            return bytes(await response.read())

    async def submit(self, *argv: str, **spec: object) -> str:
        """Make a job; return its id."""
        made = await self.call("POST", "/v1/jobs", {"spec": {"argv": argv, **spec}})
        return str(made["id"])

    async def ended(self, job: str) -> Any:
        """Wait until a job has an outcome."""
        return await self._until(job, lambda seen: seen["outcome"] is not None)

    async def running(self, job: str) -> None:
        """Wait until a job has said something."""
        await self._until(job, lambda seen: seen["state"] == "RUNNING")
        path = f"/v1/jobs/{job}/files/stdout?follow=true"
        async with self._request("GET", path, None) as response:
            assert await response.content.readline() == b"ready\n"

    async def _until(self, job: str, is_so: Any) -> Any:
        end = time.monotonic() + _ENDED_S
        while not is_so(seen := await self.call("GET", f"/v1/jobs/{job}")):
            assert time.monotonic() < end, seen
            await asyncio.sleep(0.02)
        return seen

    def memory_mib(self) -> float:
        """Return the most memory that the service has had."""
        status = Path(f"/proc/{self.service.process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    def _request(
        self, method: str, path: str, body: object, headers: dict[str, str] | None = None
    ) -> Any:
        sent = {"Authorization": f"Bearer {self.service.api_key}", **(headers or {})}
        data = None if body is None else msgspec.json.encode(body)
        if data is not None:
            sent["Content-Type"] = "application/json"
        return self._session.request(method, self.service.url + path, data=data, headers=sent)


@pytest.fixture(name="bench")
async def _bench(tmp_path: Path) -> AsyncIterator[Bench]:
    settings = {
        "JOBWIRE_LOCAL__GRACE_S": str(_GRACE_S),
        "JOBWIRE_STAGING__ROOTS": str(tmp_path / "root"),
        "JOBWIRE_LOCAL__FOLDER": str(tmp_path / "sandboxes"),
    }
    bench = Bench(Service(tmp_path / "data", settings=settings))
    yield bench
    await bench.close()


@pytest.fixture(name="disk")
def _disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "sandboxes", "2m") as disk:
        yield disk


async def test_a_cancel_ends_all_that_a_job_has_started_however_it_hides(bench: Bench) -> None:
    await bench.start()
    job = await bench.submit("sh", "-c", _STUBBORN)
    await bench.running(job)
    assert f"{job}.1" in alive()

    watch = Stopwatch()
    await bench.call("POST", f"/v1/jobs/{job}/cancel")
    ended = await bench.ended(job)

    assert ended["state"] == "CANCELLED"
    assert watch.seconds < _GRACE_S + 1.0
    assert f"{job}.1" not in alive()


async def test_what_a_job_leaves_running_ends_with_it(bench: Bench) -> None:
    await bench.start()
    job = await bench.submit("sh", "-c", "setsid sleep 600 & sleep 600 & exit 4")

    ended = await bench.ended(job)

    assert (ended["cause"], ended["exit_code"]) == ("exit_code", 4)
    assert f"{job}.1" not in alive()


async def test_a_gigabyte_of_output_costs_the_service_no_memory(bench: Bench) -> None:
    await bench.start()
    before = bench.memory_mib()
    job = await bench.submit("sh", "-c", f"head -c {_GIB} /dev/zero | tr '\\0' x; echo; echo end")

    ended = await bench.ended(job)
    tail = await bench.read(f"/v1/jobs/{job}/files/stdout", 5)
    listed = (await bench.call("GET", f"/v1/jobs/{job}/files"))["items"]

    assert (ended["state"], ended["exit_code"]) == ("FINISHED", 0)
    assert tail == b"\nend\n"
    assert {each["path"]: each["size"] for each in listed}["stdout"] == _GIB + 5
    assert bench.memory_mib() - before < 40


@pytest.mark.parametrize(
    "leave",
    ["ln -s /etc/passwd out", "mkfifo out", "mkdir out; ln -s /etc/passwd out/x"],
    ids=["link", "pipe", "link in a directory"],
)
async def test_a_trap_in_the_place_of_an_output_is_named_and_not_stepped_into(
    bench: Bench, tmp_path: Path, leave: str
) -> None:
    (tmp_path / "root").mkdir()
    await bench.start()
    job = await bench.submit(
        "sh",
        "-c",
        leave,
        directory=f"file://{tmp_path}/root",
        stage_out=[{"from": "out", "to": "taken"}],
    )

    ended = await bench.ended(job)

    assert (ended["state"], ended["cause"], ended["exit_code"]) == ("FAILED", "staging", 0)
    assert "out" in ended["detail"]
    assert not any(path.is_file() for path in (tmp_path / "root").rglob("*"))


async def test_a_full_disk_fails_jobs_with_a_reason_and_nothing_else(
    bench: Bench, disk: Path
) -> None:
    await bench.start()
    filling = await bench.submit("sh", "-c", "cat /dev/zero > big; echo $? > code; exit 6")
    filled = await bench.ended(filling)
    unable = await bench.ended(await bench.submit("true"))

    (disk / filling / "1" / "work" / "big").unlink()
    well = await bench.ended(await bench.submit("true"))

    assert (filled["cause"], filled["exit_code"]) == ("exit_code", 6)
    assert (unable["state"], unable["cause"]) == ("FAILED", "could_not_start")
    assert "space" in unable["detail"]
    assert well["state"] == "FINISHED"

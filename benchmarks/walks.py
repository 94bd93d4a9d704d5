"""
How far one thing travels: the files and functions that an event, a submission and a cancel pass.

Run with `python -m benchmarks.walks`. Everything is in one process, so one profile sees the whole
way: from the request to the answer, the workers and the callback. What runs beside it (timers, the
reaper) is left out by walking twice and taking what the second walk passes, too.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, Self

from aiohttp import web

from jobwire.actors.dialects.pipelinejobs.settings import PipelineJobs
from jobwire.actors.runtime.settings import Settings
from tests.support.service import Caller, running

_ROOT = Path(__file__).parents[1]
_PRODUCT = tuple(str(_ROOT / name) + "/" for name in ("actors", "schemas"))
_LINKED = tuple(str(_ROOT / "src" / "jobwire" / name) + "/" for name in ("actors", "schemas"))


class Passed(NamedTuple):
    """What a walk has passed."""

    files: set[str]
    functions: set[tuple[str, str]]
    shapes: set[str]
    """The product's own records that a function has returned or was given."""


class Profile:
    """Notes the product's functions that are called while it is on."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.passed = Passed(set(), set(), set())

    def __enter__(self) -> Self:
        """Switch on, in every thread."""
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Switch off."""
        sys.setprofile(None)
        threading.setprofile(None)

    def _note(self, frame: FrameType, event: str, value: Any) -> None:  # any object of a frame
        if event not in ("call", "return"):
            return
        path = frame.f_code.co_filename
        if not path.startswith((*_PRODUCT, *_LINKED)):
            return
        file = path.removeprefix(str(_ROOT) + "/").removeprefix("src/jobwire/")
        self.passed.files.add(file)
        self.passed.functions.add((file, frame.f_code.co_qualname))
        if event == "return":
            self._shape(value)
        else:
            code = frame.f_code
            for name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
                self._shape(frame.f_locals.get(name))

    def _shape(self, value: Any) -> None:
        kind = type(value)
        if kind.__module__.split(".")[0] in ("jobwire", "actors", "schemas") and (
            hasattr(kind, "__struct_fields__") or hasattr(kind, "_fields")
        ):
            self.passed.shapes.add(kind.__qualname__)


class Receiver:
    """Takes callbacks."""

    def __init__(self) -> None:
        """Begin with none."""
        self.got = asyncio.Event()
        self.url = ""

    async def _take(self, request: web.Request) -> web.Response:
        await request.read()
        self.got.set()
        return web.Response()

    async def open(self) -> web.AppRunner:
        """Listen on a free port."""
        app = web.Application()
        app.router.add_post("/", self._take)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        return runner


Walk = Callable[[Caller, Receiver], Awaitable[tuple[Callable[[], Awaitable[Any]], str | None]]]


async def _until(caller: Caller, job: str, state: str) -> None:
    for _ in range(400):
        if (await caller.get(f"/v1/jobs/{job}")).json["state"] == state:
            return
        await asyncio.sleep(0.025)
    raise TimeoutError(state)


async def event(caller: Caller, receiver: Receiver) -> Profile:
    """Report one event of a job that somebody is told of, and wait for the callback."""
    made = await caller.make_job(callbacks=[{"url": receiver.url, "events": ["finish"]}])
    await caller.report(made, "run")
    await asyncio.sleep(0.3)
    receiver.got.clear()
    with Profile() as profile:
        await caller.as_nobody().post(
            "/v1/events", json={"uuid": made["id"], "name": "finish", "token": made["token"]}
        )
        await asyncio.wait_for(receiver.got.wait(), 10)
        await asyncio.sleep(0.2)
    return profile


async def submission(caller: Caller, _receiver: Receiver) -> Profile:
    """Run `/bin/true` with one output to its end."""
    with Profile() as profile:
        made = await caller.make_job(spec={"argv": ["/bin/true"]})
        await asyncio.sleep(1.0)
    await _until(caller, made["id"], "FINISHED")
    return profile


async def cancel(caller: Caller, _receiver: Receiver) -> Profile:
    """Cancel a job that runs."""
    made = await caller.make_job(spec={"argv": ["sleep", "60"]})
    await _until(caller, made["id"], "RUNNING")
    await asyncio.sleep(0.3)
    with Profile() as profile:
        await caller.post(f"/v1/jobs/{made['id']}/cancel")
        await asyncio.sleep(1.5)
    await _until(caller, made["id"], "CANCELLED")
    return profile


async def message(caller: Caller, _receiver: Receiver) -> Profile:
    """Send one message of a PipelineJobs client."""
    made = await caller.make_job(lifecycle="pipeline")
    url = "/compat/pipelinejobs/actors/v2/jobs-manager/messages"
    body = {"uuid": made["id"], "name": "run", "token": made["token"]}
    await asyncio.sleep(0.3)
    with Profile() as profile:
        answer = await caller.post(url, json=body)
        await asyncio.sleep(0.2)
    assert answer.status == 200, answer.body
    return profile


async def _idle(_caller: Caller, _receiver: Receiver) -> Profile:
    with Profile() as profile:
        await asyncio.sleep(2.0)
    return profile


def _settings() -> Settings:
    return Settings(port=0, dialects={"pipelinejobs": PipelineJobs(enabled=True)})


async def main() -> None:
    """Print a line for each walk."""
    print(f"{'walk':<12} {'files':>6} {'functions':>10} {'shapes':>7}")
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder), _settings()) as service:
            receiver = Receiver()
            runner = await receiver.open()
            beside = (await _idle(service.admin, receiver)).passed
            for walk in (event, submission, cancel, message):
                first = (await walk(service.admin, receiver)).passed
                second = (await walk(service.admin, receiver)).passed
                functions = (first.functions & second.functions) - beside.functions
                files = {file for file, _ in functions}
                shapes = first.shapes & second.shapes
                print(f"{walk.__name__:<12} {len(files):>6} {len(functions):>10} {len(shapes):>7}")
            await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())

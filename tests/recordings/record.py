"""
Records what a release of Jobwire leaves behind: a data folder, and a database in MongoDB.

    python -m tests.recordings.record TREE MODULE TARGET

TREE is a checkout of that release, MODULE its command (`actors.cli.main` of 0.1.0), and TARGET the
folder to write. The environment must have what that release needs, and a `mongod`. Of the release
only its HTTP interface is used.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Final

import aiohttp
import bson
from aiohttp import web
from pymongo import MongoClient

from tests.support.mongodb import MongoServer
from tests.support.servers import serving

ACTOR: Final = "/compat/pipelinejobs/actors/v2/jobs-manager"
_PIPELINE: Final = "106c46ff-9186-5756-a934-8f9a8f1a7a6e"
_WAIT_S: Final = 30.0
#: Nobody listens there.
_CLOSED: Final = "http://127.0.0.1:9/closed"
_DOOR: Final = {
    "name": "door",
    "initial": "SHUT",
    "states": {
        "SHUT": {"category": "initial"},
        "OPEN": {"category": "ended", "outcome": "success", "final": True},
    },
    "events": {"open": {}},
    "transitions": {"SHUT": {"open": "OPEN"}},
}


class Script:
    """What clients do while the recording is made, and what they are answered afterwards."""

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str) -> None:
        """Speak to a service as its first key."""
        self._session = session
        self._url = url
        self._key = key
        self.jobs: dict[str, Any] = {}
        self.made: dict[str, Any] = {"api_key": key}

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        """Send one request, which must succeed, with the first key, another one, or "" for none."""
        key = self._key if key is None else key
        sent = {**({"Authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
        async with self._session.request(
            method, self._url + path, json=body, headers=sent
        ) as answer:
            text = await answer.text()
            assert answer.status < 400, (method, path, answer.status, text)
            return json.loads(text) if text else None

    async def make(self, label: str, *, key: str | None = None, **fields: Any) -> Any:
        """Make a job that is remembered under a label."""
        headers = {"Idempotency-Key": label}
        body = {"name": label, **fields}
        job = await self.ask("POST", "/v1/jobs", body, key=key, headers=headers)
        self.jobs[label] = {"id": job["id"], "token": job["token"], "body": body}
        return self.jobs[label]

    async def report(self, label: str, *names: str, wait: bool = True, **fields: Any) -> None:
        """Report events of a job with its token."""
        job = self.jobs[label]
        for name in names:
            event = {"uuid": job["id"], "name": name, "token": job["token"], **fields}
            await self.ask("POST", "/v1/events?wait=10" if wait else "/v1/events", event)

    async def state(self, label: str, state: str) -> None:
        """Wait until a job is in a state."""
        path = f"/v1/jobs/{self.jobs[label]['id']}"
        await self._until(path, lambda shown: shown["state"] == state)

    async def _until(self, path: str, holds: Any) -> None:
        async with asyncio.timeout(_WAIT_S):
            while not holds(await self.ask("GET", path)):  # noqa: ASYNC110 - it is asked over HTTP
                await asyncio.sleep(0.05)

    async def play_jobs(self, receiver: str) -> None:
        """Make jobs in many states."""
        await self.make("created", tags=["nightly", "two words"], data={"x": [1, 2.5, None]})
        await self.make("running", lifecycle="pipeline")
        await self.report("running", "run")
        await self.report("running", "update", data={"progress": 0.5})
        await self.make("finished", tags=["nightly"], parent=self.jobs["created"]["id"])
        await self.report("finished", "run", "finish")
        await self.make("failed")
        await self.report("failed", "run", "fail")
        await self.make("deleted")
        await self.report("deleted", "run", "finish")
        await self.ask("DELETE", f"/v1/jobs/{self.jobs['deleted']['id']}")
        await self.make("told", callbacks=[{"url": receiver}])
        await self.report("told", "run", "finish")
        await self._until("/v1/deliveries?status=delivered", lambda page: len(page["items"]) >= 2)
        await self.make("untold", callbacks=[{"url": _CLOSED}])
        await self.report("untold", "run")
        await self.make("executed", spec={"argv": ["sh", "-c", "echo one; exit 3"]})
        await self.state("executed", "FAILED")
        await self.make("held", spec={"argv": ["sleep", "1"]}, hold=True)

    async def play_refusals(self) -> None:
        """Have events refused: of a deleted job, and with a token that is no good any more."""
        await self.report("deleted", "update", wait=False)
        await self.make("rotated")
        old = self.jobs["rotated"]["token"]
        await self.ask("DELETE", f"/v1/jobs/{self.jobs['rotated']['id']}/token")
        fresh = await self.ask("POST", f"/v1/jobs/{self.jobs['rotated']['id']}/token")
        await self.report("rotated", "run", wait=False)
        self.jobs["rotated"] |= {"token": fresh["token"], "old_token": old}
        await self._until("/v1/refused", lambda page: len(page["items"]) >= 2)

    async def play_records(self) -> None:
        """Make what is kept beside jobs: keys, lifecycles, actors, nonces."""
        made = await self.ask(
            "POST", "/v1/keys", {"principal": "other", "scopes": ["read", "events", "jobs"]}
        )
        self.made["other_key"] = made["key"]
        await self.make("foreign", key=made["key"])
        await self.ask("POST", "/v1/lifecycles", _DOOR)
        await self.make("door", lifecycle="door")
        await self.report("door", "open")
        await self.ask("POST", "/v1/actors", {"id": "G1p783PxpalBB", "aliases": ["manager.prod"]})
        nonce = await self.ask("POST", f"{ACTOR}/nonces", {"maxUses": 3})
        self.made["nonce"] = nonce["result"]["id"]
        await self.ask("GET", f"{ACTOR}?x-nonce={self.made['nonce']}", key="")
        work = {"pipeline_uuid": _PIPELINE, "archive_path": "/a", "data": {"y": 1}}
        made = (await self.ask("POST", f"{ACTOR}/messages", work))["result"]
        self.jobs["pipelinejobs"] = {"id": made["uuid"], "token": made["token"]}
        event = {"uuid": made["uuid"], "name": "run", "token": made["token"]}
        await self.ask("POST", f"{ACTOR}/messages", event)

    async def answers(self) -> dict[str, Any]:
        """Return what is answered to every question of interest, by its path."""
        jobs = [
            f"/v1/jobs/{job['id']}{more}"
            for label, job in self.jobs.items()
            if label not in {"deleted", "foreign"}
            for more in ("", "/history")
        ]
        parent = self.jobs["created"]["id"]
        lists = ["?limit=100", "?state=FINISHED", "?tag=nightly", "?q=words", f"?parent={parent}"]
        paths = [
            *jobs,
            *(f"/v1/jobs{query}" for query in lists),
            "/v1/refused",
            "/v1/deliveries?status=delivered",
            "/v1/stats",
            "/v1/lifecycles/door",
            "/v1/keys",
            "/v1/actors",
            f"{ACTOR}/jobs/{self.jobs['pipelinejobs']['id']}",
            f"{ACTOR}/executions",
        ]
        return {path: await self.ask("GET", path) for path in paths}


@asynccontextmanager
async def _receiver() -> AsyncIterator[str]:
    async def take(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_post("/", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        await runner.cleanup()


async def _record(tree: Path, module: str, target: Path, settings: dict[str, str]) -> None:
    """Run a service of that release in a folder, play the script, and write what was answered."""
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(tree),
        "PYTHONDONTWRITEBYTECODE": "1",
        "JOBWIRE_DIALECTS__PIPELINEJOBS__ENABLED": "true",
        **settings,
    }
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch, "data")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, "up", "--data", str(data), "--port", str(port)),
            env=environment,
            cwd=scratch,
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(_WAIT_S):
                while not _is_up(data):
                    assert process.returncode is None, "the service has ended"
                    await asyncio.sleep(0.05)
            key = _first_key(data)
            async with aiohttp.ClientSession() as session, _receiver() as receiver:
                script = Script(session, f"http://127.0.0.1:{port}", key)
                await script.play_jobs(receiver)
                await script.play_refusals()
                await script.play_records()
                expected = {
                    "jobs": script.jobs,
                    "made": script.made,
                    "answers": await script.answers(),
                }
        finally:
            process.send_signal(signal.SIGTERM)
            await process.wait()
        _keep(data, target, expected)


def _is_up(data: Path) -> bool:
    return (data / "service.json").exists()


def _first_key(data: Path) -> str:
    return (data / "api-key").read_text().strip()


def _keep(data: Path, target: Path, expected: object) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in ("service-keys", "api-key", "jobwire.db"):
        if (data / name).exists():
            shutil.copyfile(data / name, target / name)
    (target / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def _dump(url: str) -> Iterator[bytes]:
    """Yield each index and each document of a database, with the name of its collection."""
    client: MongoClient[dict[str, Any]] = MongoClient(url)
    with client:
        database = client.get_default_database()
        for name in sorted(database.list_collection_names()):
            for index in database[name].list_indexes():
                yield bson.encode({"collection": name, "index": dict(index)})
            for document in database[name].find():
                yield bson.encode({"collection": name, "document": document})


def main(tree: str, module: str, target: str) -> None:
    """Record both stores."""
    folder = Path(target).absolute()
    asyncio.run(_record(Path(tree).absolute(), module, folder / "sqlite", {}))
    with closing(sqlite3.connect(folder / "sqlite" / "jobwire.db")) as connection:
        # A file of its own, without a log beside it.
        connection.execute("PRAGMA journal_mode = DELETE")
    with serving(MongoServer) as server:
        url = server.database()
        settings = {"JOBWIRE_DATABASE__URL": url}
        asyncio.run(_record(Path(tree).absolute(), module, folder / "mongodb", settings))
        (folder / "mongodb" / "database.bson").write_bytes(b"".join(_dump(url)))


if __name__ == "__main__":
    main(*sys.argv[1:])

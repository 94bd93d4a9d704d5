"""
Jobs that leave traces, and a checker of them.

Every attempt writes a line in a ledger, reads an input and writes an output; whatever happens to
the service meanwhile, each must have run once, ended as it had to, and told its receiver.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
from run_receiver import SECRET, Receiver

_PAUSE_S = 0.05
#: How long everything may take to be well again.
WELL_S = 90.0

#: What a job does: it names itself in the ledger, then works on its input for a while.
_SCRIPT = """
echo "$JOBWIRE_RUN" >> "$1"
sleep "$2"
cat input > output
echo "out $JOBWIRE_RUN"
echo "err $JOBWIRE_RUN" >&2
if [ "$JOBWIRE_ATTEMPT" -lt "$3" ]; then exit 9; fi
exit "$4"
"""


class Asked(NamedTuple):
    """One job of the fleet, and how it must end."""

    id: str
    name: str
    attempts: int
    code: int
    content: bytes


class Fleet:
    """Submits jobs to a service that may die at any moment."""

    def __init__(self, url: str, folder: Path, receiver: Receiver, mark: str = "job") -> None:
        """
        Keep ledger, inputs and outputs in a folder that the service has as a root.

        `mark` begins the names of the jobs: no other fleet of the same service may have it.
        """
        self.folder = folder
        self._mark = mark
        self.ledger = folder / "ledger"
        self.jobs: list[Asked] = []
        self._url = url
        self._receiver = receiver
        self._session = aiohttp.ClientSession()
        self.key = ""
        folder.mkdir(parents=True)
        self.ledger.touch()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._session.close()

    async def submit(
        self, number: int, *, seconds: float = 0.0, attempts: int = 1, code: int = 0
    ) -> None:
        """Ask for one job; insist until it is there."""
        name = f"{self._mark}-{number}"
        content = f"input of {number}\n".encode() * (1 + number * 50)
        (self.folder / f"{name}.in").write_bytes(content)
        spec = {
            "argv": [
                *("/bin/sh", "-c", _SCRIPT, "sh"),
                *(str(self.ledger), str(seconds), str(attempts), str(code)),
            ],
            "directory": f"file://{self.folder}",
            "stage_in": [{"from": f"{name}.in", "to": "input"}],
            "stage_out": [{"from": "output", "to": f"{name}.out", "when": "always"}],
            "retries": {"max": attempts - 1, "backoff_s": 0.2, "factor": 1},
        }
        callback = {"url": self._receiver.url, "secret": SECRET}
        body = {"name": name, "spec": spec, "callbacks": [callback]}
        made = await self._insist("POST", "/v1/jobs", body, {"Idempotency-Key": name})
        self.jobs.append(Asked(made["id"], name, attempts, code, content))

    async def wait(self) -> None:
        """Wait until every job has ended and every callback has come."""
        end = time.monotonic() + WELL_S
        while pending := [each.name for each in self.jobs if not await self._is_done(each)]:
            assert time.monotonic() < end, f"not done in {WELL_S:g} s: {pending}"
            await asyncio.sleep(_PAUSE_S)

    async def complaints(self) -> list[str]:
        """Return everything that is not as it must be."""
        runs = Counter(self.ledger.read_text().split())
        found = [f"ran {count} times: {run}" for run, count in runs.items() if count > 1]
        wanted = {f"{each.id}.{n}" for each in self.jobs for n in range(1, each.attempts + 1)}
        found += [f"never ran: {run}" for run in sorted(wanted - runs.keys())]
        found += [f"ran, and nobody asked for it: {run}" for run in sorted(runs.keys() - wanted)]
        for each in self.jobs:
            job = await self._insist("GET", f"/v1/jobs/{each.id}")
            found += [f"{each.name}: {text}" for text in self._judge(each, job)]
            found += await self._untold(each)
        found += [f"forged: {self._receiver.forged}"] * bool(self._receiver.forged)
        found += [f"alive: {run}" for run in alive() if run.split(".")[0] in _ids(self.jobs)]
        return found

    def _judge(self, asked: Asked, job: Any) -> Iterator[str]:
        state = "FINISHED" if asked.code == 0 else "FAILED"
        ended = (job["state"], job["exit_code"], job["cause"], job["attempt"])
        must = (state, asked.code, None if asked.code == 0 else "exit_code", asked.attempts)
        if ended != must:
            yield f"ended as {ended}, not as {must}: {job['detail']}"
        written = self.folder / f"{asked.name}.out"
        digest = hashlib.sha256(asked.content).hexdigest()
        if not written.exists() or hashlib.sha256(written.read_bytes()).hexdigest() != digest:
            yield "its output is not there, or not whole"
        if left := [each.name for each in self.folder.glob(f".{asked.name}*")]:
            yield f"half a file was left: {left}"

    async def _is_done(self, asked: Asked) -> bool:
        job = await self._insist("GET", f"/v1/jobs/{asked.id}")
        return job["outcome"] is not None and await self._untold(asked) == []

    async def _untold(self, asked: Asked) -> list[str]:
        page = await self._insist("GET", f"/v1/jobs/{asked.id}/history?limit=1000")
        state, expected = None, set()
        for entry in page["items"]:
            if entry["applied"] and entry["state"] != state:
                expected.add(entry["seq"])
            state = entry["state"]
        told = self._receiver.told(asked.id)
        wrong = self._receiver.contradictions(asked.id)
        if told != expected:
            wrong.append(f"told of {sorted(told)}, not of {sorted(expected)}")
        return [f"{asked.name}: {text}" for text in wrong]

    async def _insist(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        sent = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        while True:
            try:
                async with self._session.request(
                    method,
                    self._url + path,
                    data=msgspec.json.encode(body) if body is not None else None,
                    headers=sent | (headers or {}),
                ) as response:
                    content = await response.read()
                    if response.status < 300:
                        return msgspec.json.decode(content)
                    assert response.status == 503, f"{response.status} {content!r}"
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(_PAUSE_S)


def alive() -> set[str]:
    """Return the attempts that have a process on this machine now."""
    found = set()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = environment.read_bytes().split(b"\0")
        except OSError:
            continue
        found |= {each[12:].decode() for each in variables if each.startswith(b"JOBWIRE_RUN=")}
    return found


def _ids(jobs: list[Asked]) -> set[str]:
    return {each.id for each in jobs}

"""Reads everything back over HTTP and compares it with what clients were told: P1 to P6."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from copy import deepcopy
from typing import Any, NamedTuple

import aiohttp
from http_load import ANOTHER, Ledger, Sent, Watched

from jobwire.schemas.lifecycles import PIPELINE

Entry = dict[str, Any]  # JSON


class Witness:
    """Reads histories, refused events and jobs."""

    def __init__(self, url: str, api_key: str) -> None:
        """Read as the owner."""
        self._url = url
        self._head = {"Authorization": f"Bearer {api_key}"}

    async def complaints(self, ledger: Ledger) -> list[str]:
        """Return everything that is not as it was promised."""
        ledger = deepcopy(ledger)  # clients may go on while this reads
        seen = await self._read(ledger)
        found = list(ledger.complaints)
        for job in ledger.jobs.values():
            if job.id in seen.shown:
                found += _of_history(job, seen.shown[job.id], seen.kept[job.id])
            elif not job.is_deleted:
                found.append(f"a job is gone: {job.id}")
        return [*found, *_of_events(ledger, seen), *_of_orders(ledger, seen.kept)]

    async def unanswered(self, ledger: Ledger) -> list[str]:
        """Return the events that are stored although no client was ever told so."""
        seen = await self._read(ledger)
        times = seen.times
        return [
            f"stored, and not answered: {sent}"
            for key, sent in ledger.events.items()
            if sent.fate == "open" and (times[key] or seen.refused[key])
        ]

    async def histories(self, ledger: Ledger) -> dict[str, list[Entry]]:
        """Return the history of every job as it is now."""
        return (await self._read(deepcopy(ledger))).kept

    async def _read(self, ledger: Ledger) -> _Seen:
        timeout = aiohttp.ClientTimeout(total=20)
        seen = _Seen({}, {}, Counter())
        async with aiohttp.ClientSession(self._url, headers=self._head, timeout=timeout) as session:
            async for each in _pages(session, "/v1/refused?limit=500"):
                seen.refused[each["job"], each["id"]] += 1
            for job in ledger.jobs:
                async with session.get(f"/v1/jobs/{job}") as response:
                    if response.status != 200:
                        continue
                    seen.shown[job] = await response.json()
                pages = _pages(session, f"/v1/jobs/{job}/history?limit=200")
                seen.kept[job] = [entry async for entry in pages]
        return seen


class _Seen(NamedTuple):
    shown: dict[str, Entry]
    kept: dict[str, list[Entry]]
    refused: Counter[tuple[str, str]]

    @property
    def times(self) -> Counter[tuple[str, str]]:
        entries = (entry for entries in self.kept.values() for entry in entries)
        return Counter((entry["job"], entry["id"]) for entry in entries)


async def _pages(session: aiohttp.ClientSession, path: str) -> AsyncIterator[Entry]:
    cursor: str | None = None
    while True:
        more = f"&cursor={cursor}" if cursor else ""
        async with session.get(path + more) as response:
            assert response.status == 200, await response.text()
            page = await response.json()
        for item in page["items"]:
            yield item
        cursor = page["next"]
        if cursor is None:
            return


def _of_history(job: Watched, shown: Entry, entries: list[Entry]) -> Iterator[str]:
    seqs = [entry["seq"] for entry in entries]
    if seqs != list(range(1, len(seqs) + 1)):
        yield f"seq is not 1..n: {job.id} {seqs}"
    last = entries[-1]
    if (shown["seq"], shown["state"]) != (last["seq"], last["state"]):
        yield f"the job is not what its history says: {shown} {last}"
    state = "CREATED"
    for entry in entries:
        final = PIPELINE.states[state].final
        if final and entry["state"] != state:
            yield f"left a final state: {job.id} {entry}"
        if entry["state"] != state and not entry["applied"]:
            yield f"not applied, and changed the state: {entry}"
        if not entry["applied"] and not entry["reason"]:
            yield f"not applied without a reason: {entry}"
        state = entry["state"]


def _of_events(ledger: Ledger, read: _Seen) -> Iterator[str]:
    kept, refused, times = read.kept, read.refused, read.times
    data = {
        (entry["job"], entry["id"]): entry["data"] for entries in kept.values() for entry in entries
    }
    for key, sent in ledger.events.items():
        seen = times[key] + refused[key]
        is_gone = ledger.jobs[sent.job].is_deleted and sent.job not in kept
        if seen > 1:
            yield f"{seen} times: {sent}"
        if sent.fate == "accepted" and not seen and (sent.is_late or not is_gone):
            yield f"accepted event lost: {sent}"
        if sent.fate == "rejected" and seen:
            yield f"phantom: {sent}"
        if key in data and data[key] not in _payloads(sent):
            yield f"stored otherwise than it was sent: {sent} {data[key]}"
    for key in times:
        own = key in ledger.events or key[1].startswith("create")
        if not own and len(key[1]) != 32:
            yield f"nobody sent this: {key}"


def _payloads(sent: Sent) -> list[object]:
    """Return what may be stored under an id."""
    own = {"number": sent.number, "of": sent.id}
    # Where the first event may have gone down with its queue, its id was free for another one.
    return [own, ANOTHER] if sent.fate == "open" and sent.is_reused else [own]


def _of_orders(ledger: Ledger, kept: dict[str, list[Entry]]) -> Iterator[str]:
    places = {
        job: {entry["id"]: entry["seq"] for entry in entries} for job, entries in kept.items()
    }
    for (client, job), ids in ledger.orders.items():
        seqs = [places[job][each] for each in ids if each in places.get(job, {})]
        if seqs != sorted(seqs):
            yield f"the order of client {client} is broken in {job}: {seqs}"


class Follower:
    """Follows a stream across restarts; goes on after the last id that it has seen."""

    def __init__(self, url: str, api_key: str, path: str) -> None:
        """Follow from the beginning."""
        self._url = url
        self._path = path
        self._head = {"Authorization": f"Bearer {api_key}"}
        self._last = "0"
        self.seqs: dict[str, list[int]] = defaultdict(list)
        self.connects = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to follow."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def has(self, job: str, seq: int) -> bool:
        """Return whether an entry has come."""
        return bool(self.seqs[job]) and max(self.seqs[job]) >= seq

    def gaps(self, job: str) -> list[str]:
        """Return where something is missing, or came too early."""
        found, before = [], 0
        for seq in self.seqs[job]:
            if seq > before + 1:
                found.append(f"{self._path}: {seq} came after {before}")
            before = max(before, seq)
        return found

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
        async with aiohttp.ClientSession(
            self._url, headers=self._head, timeout=timeout, read_bufsize=2**20
        ) as session:
            while True:
                with suppress(aiohttp.ClientError, OSError, TimeoutError):
                    await self._follow(session)
                await asyncio.sleep(0.02)

    async def _follow(self, session: aiohttp.ClientSession) -> None:
        async with session.get(self._path, headers={"Last-Event-ID": self._last}) as response:
            if response.status != 200:
                return
            self.connects += 1
            async for line in response.content:
                if line.startswith(b"id: "):
                    self._last = line[4:].decode().strip()
                elif line.startswith(b"data: "):
                    entry = json.loads(line[6:])
                    self.seqs[entry["job"]].append(entry["seq"])

"""
The bare limit of MongoDB, and what the store makes of it.

The same entries into the same indexes: once with `insert_many` and nothing else, once through the
store's `commit`, with a projection for each job that a batch touches.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from jobwire.actors.stores.base import Commit
from jobwire.actors.stores.mongodb import MongoStore
from jobwire.actors.stores.mongodb.client import MongoConnection
from jobwire.actors.stores.mongodb.documents import entry_document
from jobwire.schemas.identifiers import EventId, JobId, random_job_id, shard_of
from jobwire.schemas.jobs import Change, Entry, Job, JobCreation, advance

#: Entries of one commit: the most that the state manager takes together.
_BATCH = 1_000
_SHARDS = 4
_DATA = b'{"progress":0.42,"message":"step 12 of 100","rate":12.5}'


class Rate(Struct, frozen=True):
    """What one way of writing reached."""

    per_s: float
    client_us: float
    """Processor time of this process for each entry."""
    server_us: float
    """Processor time of the database for each entry."""


class Load:
    """Entries of some jobs in turn, batch by batch."""

    def __init__(self, jobs: int) -> None:
        """Begin with so many new jobs."""
        self.jobs: dict[JobId, Job] = {}
        self.creator = [self._birth(secrets.token_bytes(16)) for _ in range(jobs)]
        self.jobs = {entry.job: advance(None, entry) for entry in self.creator}
        self._turn = 0

    def _birth(self, entropy: bytes) -> Entry:
        creation = JobCreation(owner="bench", lifecycle="pipeline", lifecycle_version=1)
        return Entry(
            job=random_job_id(entropy),
            owner="bench",
            seq=1,
            id=EventId("create"),
            name="create",
            state="RUNNING",
            outcome=None,
            applied=True,
            reason=None,
            data=None,
            source=None,
            received=datetime.now(UTC),
            occurred=None,
            digest=bytes(16),
            change=Change(creation=creation, generation=1),
        )

    def batch(self) -> tuple[list[Entry], list[Job]]:
        """Return the next entries, and the jobs as they leave them."""
        entries, touched = [], {}
        ids, base = [*self.jobs], self.creator[0]
        for _ in range(_BATCH):
            job = self.jobs[ids[self._turn % len(ids)]]
            self._turn += 1
            entry = replace(
                base,
                job=job.id,
                seq=job.seq + 1,
                id=EventId(f"event-{self._turn:010}"),
                name="update",
                data=_DATA,
                change=Change(),
            )
            self.jobs[job.id] = touched[job.id] = advance(job, entry)
            entries.append(entry)
        return entries, [*touched.values()]


class Making:
    """Leaves out what it costs to make the load."""

    def __init__(self) -> None:
        """Begin with none."""
        self.wall_s = self.processor_s = 0.0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Leave out what is done within."""
        wall_s, processor_s = time.perf_counter(), time.process_time()
        yield
        self.wall_s += time.perf_counter() - wall_s
        self.processor_s += time.process_time() - processor_s


async def _server_s(client: MongoConnection) -> float:
    """Return the processor time that the server has used so far, where it tells that."""
    info = (await client.command("serverStatus"))["extra_info"]
    return float(info.get("user_time_us", 0) + info.get("system_time_us", 0)) / 1e6


async def _measure(
    client: MongoConnection, seconds: float, write: Callable[[Making], Awaitable[None]]
) -> Rate:
    """Write batch after batch."""
    making, batches = Making(), 0
    server_s, wall_s, processor_s = (
        await _server_s(client),
        time.perf_counter(),
        time.process_time(),
    )
    while time.perf_counter() - wall_s < seconds:
        await write(making)
        batches += 1
    wall_s = time.perf_counter() - wall_s - making.wall_s
    processor_s = time.process_time() - processor_s - making.processor_s
    server_s = await _server_s(client) - server_s
    entries = batches * _BATCH
    return Rate(
        per_s=round(entries / wall_s),
        client_us=round(processor_s / entries * 1e6, 1),
        server_us=round(server_s / entries * 1e6, 1),
    )


async def insert_for(client: MongoConnection, seconds: float, jobs: int) -> Rate:
    """Insert documents and nothing else."""
    # Positions that no store reaches, and no earlier round has used.
    load, positions = Load(jobs), dict.fromkeys(range(_SHARDS), time.time_ns())

    async def write(making: Making) -> None:
        documents = []
        with making():
            for entry in load.batch()[0]:
                document = entry_document(entry, shard_of(entry.job, _SHARDS))
                positions[document["lane"]] += 1
                documents.append(document | {"position": positions[document["lane"]]})
        await client.database.entries.insert_many(documents)

    return await _measure(client, seconds, write)


async def commit_for(client: MongoConnection, store: MongoStore, seconds: float, jobs: int) -> Rate:
    """Commit batches as the state manager does."""
    load = Load(jobs)
    made = [*load.jobs.values()]
    await store.commit(
        Commit(refusals=[], entries=load.creator, jobs=made, created=[*load.jobs], moved=[])
    )

    async def write(making: Making) -> None:
        with making():
            entries, touched = load.batch()
        await store.commit(Commit(refusals=[], entries=entries, jobs=touched, created=(), moved=()))

    return await _measure(client, seconds, write)


async def insert_alone(url: str, seconds: float) -> Rate:
    """Measure `insert_many` with nothing else."""
    store, client = MongoStore(url, shards=_SHARDS), MongoConnection(url, "motor")
    await store.open()  # for the indexes
    try:
        return await insert_for(client, seconds, 100)
    finally:
        await store.close()
        await client.close()


async def measure(url: str, seconds: float) -> dict[str, Rate]:
    """Measure both, the store with batches that touch few jobs and with some that touch many."""
    store, client = MongoStore(url, shards=_SHARDS), MongoConnection(url, "motor")
    await store.open()
    try:
        return {
            "insert_many": await insert_for(client, seconds, 100),
            "commit_100_jobs": await commit_for(client, store, seconds, 100),
            "commit_500_jobs": await commit_for(client, store, seconds, 500),
        }
    finally:
        await store.close()
        await client.close()


def main() -> None:
    """Print the rates: of a database that may be filled, in so many seconds each."""
    rates = asyncio.run(measure(sys.argv[1], float(sys.argv[2])))
    print(msgspec.json.encode(rates).decode())


if __name__ == "__main__":
    main()

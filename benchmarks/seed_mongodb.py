"""
Fills a database as years of use would, and measures how long pages take then.

One million jobs of one owner in five states, a tag on each, and one job with a hundred thousand
entries; the documents are the store's own, written past it because only the reading is measured.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from benchmarks.mongodb_limit import Load
from jobwire.actors.stores.base import JobCursor, JobFilter
from jobwire.actors.stores.mongodb import MongoStore
from jobwire.actors.stores.mongodb.client import MongoConnection, insert
from jobwire.actors.stores.mongodb.documents import entry_document, job_document
from jobwire.actors.stores.rows import job_key
from jobwire.schemas.identifiers import EventId, random_job_id, shard_of
from jobwire.schemas.jobs import Change, Job

_ENTRIES = 100_000
_PORTION = 2_000
_PAGE = 100
_SHARDS = 4
_READS = 200
#: How the jobs are spread: most have ended well.
_STATES = (("FINISHED", "success", 90), ("FAILED", "failure", 7), ("RUNNING", None, 2))
_NEWEST = datetime(2026, 1, 1, tzinfo=UTC)
_TAGS = 50
#: The job with the long history.
_LONG = random_job_id(bytes(16))


def _jobs(dice: random.Random, first: int, count: int) -> list[Job]:
    """Make jobs, each one second older than the one before."""
    made = []
    (sample,) = Load(1).jobs.values()
    weights = [share for _, _, share in _STATES]
    for number in range(first, first + count):
        state, outcome, _ = dice.choices(_STATES, weights)[0]
        created = _NEWEST - timedelta(seconds=number)
        made.append(
            replace(
                sample,
                id=random_job_id(dice.randbytes(16)),
                name=f"run {number}",
                tags=(f"tag{number % _TAGS}",),
                state=state,
                outcome=outcome,
                created=created,
                updated=created,
            )
        )
    return made


async def seed(client: MongoConnection, jobs: int) -> None:
    """Write everything that is not there yet."""
    dice = random.Random(4)
    database = client.database
    if await database.jobs.estimated_document_count() >= jobs:
        return
    for first in range(0, jobs, _PORTION):
        made = _jobs(dice, first, min(_PORTION, jobs - first))
        documents = [{"_id": job_key(job.id), **job_document(job)} for job in made]
        await insert(database.jobs, documents, ordered=False)
    creation = replace(Load(1).creator[0], job=_LONG)
    for first in range(1, _ENTRIES, _PORTION):
        documents = []
        for seq in range(first, first + _PORTION):
            entry = replace(
                creation,
                seq=seq,
                id=EventId(f"e-{seq}"),
                name="update",
                data=b"{}",
                change=Change(),
            )
            document = entry_document(entry, shard_of(_LONG, _SHARDS))
            documents.append(document | {"position": seq})
        await insert(database.entries, documents, ordered=False)


async def _p95_ms(read: Callable[[], Awaitable[list[object]]]) -> float:
    times = []
    for _ in range(_READS):
        start = time.perf_counter()
        page = await read()
        times.append(time.perf_counter() - start)
        assert len(page) == _PAGE
    return round(statistics.quantiles(times, n=20)[-1] * 1e3, 2)


async def measure(url: str, jobs: int) -> dict[str, float]:
    """Return the p95 of each kind of page, in milliseconds."""
    store, client = MongoStore(url, shards=_SHARDS), MongoConnection(url, "motor", timeout_ms=None)
    await store.open()
    started = time.perf_counter()
    await seed(client, jobs)
    dice = random.Random(5)

    def anywhere() -> JobCursor:
        return JobCursor(_NEWEST - timedelta(seconds=dice.randrange(jobs // 2)), _LONG)

    async def find(which: JobFilter) -> list[object]:
        return [*await store.find("bench", which, anywhere(), _PAGE)]

    async def history() -> list[object]:
        seq = dice.randrange(_ENTRIES - _PAGE)
        return [*await store.history("bench", _LONG, seq, _PAGE)]

    filters = {
        "jobs": lambda: find(JobFilter()),
        "jobs by state": lambda: find(JobFilter(state="FINISHED")),
        "jobs by state and tag": lambda: find(JobFilter(state="FAILED", tag="tag7")),
        "jobs by word and state": lambda: find(JobFilter(state="FINISHED", words=("run",))),
        "live jobs": lambda: find(JobFilter(is_live=True)),
    }
    found: dict[str, float] = {"seeding_s": round(time.perf_counter() - started)}
    found["history of 100,000 entries"] = await _p95_ms(history)
    for name, read in filters.items():
        found[name] = await _p95_ms(read)
    begun = time.perf_counter()
    await store.count("bench", 10_000)
    found["count"] = round((time.perf_counter() - begun) * 1e3, 2)
    await store.close()
    await client.close()
    return found


def main() -> None:
    """Fill the database of a URL with so many jobs, and print the p95 of pages in milliseconds."""
    print(json.dumps(asyncio.run(measure(sys.argv[1], int(sys.argv[2]))), indent=1))


if __name__ == "__main__":
    main()

"""Jobwire itself: the same measures, taken with the parts of its own benchmark."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from benchmarks.events import load
from benchmarks.feed import Feed
from benchmarks.load import Plan
from benchmarks.peers.row import Quantiles, Row, quantiles
from benchmarks.service import service
from jobwire.actors.cli.release import release

_CLIENTS: Final = 64
_JOBS: Final = 200
_TASKS: Final = 500
_SLOTS: Final = 8
_RATE: Final = 10
_WARM_UP_S: Final = 2
_TRUE: Final = {"spec": {"argv": ["/bin/true"]}}


def measure(seconds: float) -> Iterator[Row]:
    """Measure `jobwire up`."""
    rate, change = _changes(seconds)
    yield Row(
        system=f"Jobwire {release()}, `jobwire up`",
        durability=(
            "SQLite, journal_mode = wal, synchronous = 2: flushed at each commit, each event once; "
            "jobs start once, their ends are found again after a crash"
        ),
        changes_per_s=rate,
        change=change,
        start=_start(seconds),
        jobs_per_s=_throughput(),
    )


def _changes(seconds: float) -> tuple[float, Quantiles]:
    """Return events that were stored in a second, and how long their answers took."""
    with service() as running:
        jobs = running.running_jobs(_JOBS)
        plan = Plan(
            host=running.host,
            port=running.port,
            seconds=_WARM_UP_S,
            connections=_CLIENTS,
            jobs=jobs,
        )
        load(plan)
        before = running.entries()
        result = load(
            Plan(
                host=running.host,
                port=running.port,
                seconds=seconds,
                connections=_CLIENTS,
                jobs=jobs,
                tag="measured",
            )
        )
        stored = running.entries() - before
    return stored / result["seconds"], Quantiles(result["p50_ms"], result["p99_ms"])


def _start(seconds: float) -> Quantiles:
    """Return how long it takes from submitting `/bin/true` to hearing RUNNING on the stream."""
    times = []
    with service() as running, Feed(running) as feed:
        feed.wait_for(running.call("POST", "/v1/jobs", _TRUE)["id"], "FINISHED")
        began = time.perf_counter()
        for number in range(max(50, int(seconds * _RATE))):
            time.sleep(max(0.0, began + number / _RATE - time.perf_counter()))
            sent = time.perf_counter()
            job = running.call("POST", "/v1/jobs", _TRUE)["id"]
            times.append(feed.wait_for(job, "RUNNING") - sent)
    return quantiles(times)


def _throughput() -> float:
    """Return jobs that ended in a second, of many that were submitted at once."""
    with service(settings={"JOBWIRE_LOCAL__SLOTS": str(_SLOTS)}) as running, Feed(running) as feed:
        began = time.perf_counter()
        with ThreadPoolExecutor(_SLOTS) as clients:
            list(clients.map(lambda _: running.call("POST", "/v1/jobs", _TRUE), range(_TASKS)))
        return _TASKS / (feed.wait(_TASKS, 120) - began)

"""Figures of the actors as separate processes, over a real broker and a real database."""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
import pymongo

from benchmarks import amqp, mongodb_limit, seed_mongodb
from benchmarks.events import bare_rate, load
from benchmarks.figures import LIMIT_S, Figure, middle, rounds
from benchmarks.fleet import Fleet, fleet, flush_ms, servers
from benchmarks.load import Plan
from benchmarks.service import bare_handler
from jobwire.actors.stores.mongodb.client import MongoConnection

_CLIENTS, _BULK_CLIENTS, _LINES = 64, 16, 100
_JOBS = 200
#: Every so many jobs have a callback.
_CALLBACKS = 10
#: After so long the state managers have shared the shards; and how long each side runs in turn.
_SHARED_S, _PART_S = 10, 5.0
#: Stored jobs of a service that has just begun, and of one that has been used for long.
_FEW, _MANY = 10_000, 1_000_000


def _jobs(running: Fleet, receiver: int) -> list[tuple[str, str]]:
    """Make jobs that run, one in ten with a callback."""
    jobs = []
    for number in range(_JOBS):
        body: dict[str, Any] = {"name": f"bench {number}", "tags": ["bench"]}
        if number % _CALLBACKS == 0:
            body["callbacks"] = [{"url": f"http://127.0.0.1:{receiver}/callback"}]
        made = running.call("POST", "/v1/jobs", body)
        event = {"uuid": made["id"], "token": made["token"], "name": "run"}
        running.call("POST", "/v1/events?wait=5", event)
        jobs.append((made["id"], made["token"]))
    return jobs


def _send(
    running: Fleet,
    jobs: list[tuple[str, str]],
    seconds: float,
    *,
    lines: int = 1,
    tag: str,
    rate: float = 0,
) -> tuple[dict[str, Any], float]:
    """Send for a while; give what the load saw, and the entries a second in the database."""
    before = running.entries()
    plan = Plan(
        host=running.host,
        port=running.port,
        seconds=seconds,
        connections=_CLIENTS if lines == 1 else _BULK_CLIENTS,
        jobs=jobs,
        lines=lines,
        tag=tag,
        rate=rate,
    )
    result = load(plan)
    return result, (running.entries() - before) / result["seconds"]


def single_events(seconds: float) -> Figure:
    """Single-event POSTs of 64 clients against a handler that only decodes."""
    late: list[float] = []
    with servers() as ours, fleet(ours) as running, bare_handler() as port, running.watched():
        jobs = _jobs(running, port)

        def measure(number: int, part: float) -> float:
            result, rate = _send(running, jobs, part, tag=f"s{number}")
            late.append(result["p99_ms"])
            return rate

        pairs = rounds(seconds, measure, lambda part: bare_rate(port, jobs, part))
    ratio = statistics.median(stored / limit for stored, limit in pairs)
    p99 = statistics.median(late)
    return Figure(
        "broker: single-event POSTs, 64 clients",
        f"{middle(pairs, 0):,.0f} stored/s, p99 {p99:.0f} ms",
        f"bare aiohttp handler {middle(pairs, 1):,.0f}/s",
        f"{ratio:.0%}",
        "22 %, p99 <= 60 ms",
        "33 %, p99 <= 30 ms",
        ratio >= 0.22 and p99 <= 60,
    )


def bulk_events(seconds: float) -> Figure:
    """NDJSON of 100 lines against `insert_many` alone; and how far the storing lags behind."""
    with servers() as ours, fleet(ours) as running, bare_handler() as port, running.watched():
        jobs, backlog = _jobs(running, port), _Backlog(running)
        with backlog:
            other = ours.mongo.database()
            pairs = rounds(
                seconds,
                lambda number, part: _send(running, jobs, part, lines=_LINES, tag=f"n{number}")[1],
                lambda part: asyncio.run(mongodb_limit.insert_alone(other, part)).per_s,
            )
    stored = middle(pairs, 0)
    return Figure(
        "broker: NDJSON of 100, stored",
        f"{stored:,.0f} events/s, oldest unstored packet {backlog.longest_s:.1f} s",
        f"insert_many alone {middle(pairs, 1):,.0f}/s",
        f"{statistics.median(rate / limit for rate, limit in pairs):.0%}",
        "10,000/s, backlog <= 2 s",
        "16,000/s",
        stored >= 10_000 and backlog.longest_s <= 2,
    )


class _Backlog:
    """Watches the gateway's own figure of how long its oldest packet has waited."""

    def __init__(self, running: Fleet) -> None:
        self.longest_s = 0.0
        self._running = running
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            self.longest_s = max(self.longest_s, self._running.metric("jobwire_backlog_seconds"))


def visible_state(seconds: float) -> Figure:
    """From sending a POST to finding the new state in the database, 100 a second."""
    with servers() as ours, fleet(ours) as running, bare_handler(), running.watched():
        flush = [flush_ms()]
        late = _visible(running, int(seconds * 100))
        flush.append(flush_ms())
    name = "broker: POST to state in the database at 100/s"
    return _latency(name, late, max(flush), (15, 60), (7, 35))


def visible_state_under_load(seconds: float) -> Figure:
    """Measure the same while other clients send 70 % of what the service can take."""
    with servers() as ours, fleet(ours) as running, bare_handler() as port, running.watched():
        flush, jobs = flush_ms(), _jobs(running, port)
        _, most = _send(running, jobs, 8, tag="w")
        running.settle()
        others = threading.Thread(
            target=lambda: _send(running, jobs, seconds + 2, tag="o", rate=most * 0.7)
        )
        others.start()
        time.sleep(1)
        late = _visible(running, int(seconds * 20), rate=20)
        others.join()
    name = f"broker: the same at 70 % of the maximum ({most * 0.7:,.0f}/s)"
    return _latency(name, late, flush, (50, 200), (25, 100))


def _visible(running: Fleet, count: int, rate: float = 100) -> list[float]:
    """Return the milliseconds of each job, from the POST to the state in the database."""
    made = [running.call("POST", "/v1/jobs", {}) for _ in range(count)]
    seen = _Seen(running.database_url)
    with seen, socket.create_connection((running.host, running.port)) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        start = time.perf_counter()
        for number, job in enumerate(made):
            time.sleep(max(0.0, start + number / rate - time.perf_counter()))
            body = json.dumps({"uuid": job["id"], "token": job["token"], "name": "run"})
            seen.expect(UUID(job["id"]).bytes)
            line.sendall(
                "POST /v1/events HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            line.recv(65_536)
    return sorted(seen.late_ms)


class _Seen:
    """Looks into the database, again and again, for jobs that run."""

    def __init__(self, url: str) -> None:
        self.late_ms: list[float] = []
        self._jobs = pymongo.MongoClient[dict[str, Any]](url).get_default_database()["jobs"]
        self._sent: dict[bytes, float] = {}
        self._over = False
        self._thread = threading.Thread(target=self._look)

    def expect(self, key: bytes) -> None:
        self._sent[key] = time.perf_counter()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._thread.join()
        self._jobs.database.client.close()

    def _look(self) -> None:
        deadline = None
        while self._sent or not self._over:
            waiting = list(self._sent)
            found = self._jobs.find({"_id": {"$in": waiting}, "state": "RUNNING"}, {"_id": 1})
            for row in found:
                sent = self._sent.pop(row["_id"])
                self.late_ms.append((time.perf_counter() - sent) * 1e3)
            time.sleep(0.0005)
            if self._over:
                deadline = deadline or time.perf_counter() + 30
                if time.perf_counter() > deadline:
                    raise RuntimeError(f"{len(self._sent)} jobs never ran")


def _latency(
    name: str,
    late: Sequence[float],
    flush: float,
    least: tuple[float, float],
    aim: tuple[float, float],
) -> Figure:
    p50, p99 = statistics.median(late), late[int(len(late) * 0.99)]
    return Figure(
        name,
        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms",
        f"three flushes of the disk, one after the other: {3 * flush:.1f} ms",
        "",
        f"{least[0]:g} / {least[1]:g} ms",
        f"{aim[0]:g} / {aim[1]:g} ms",
        p50 <= least[0] and p99 <= least[1],
    )


def events_from_the_bus(seconds: float) -> Figure:
    """Single messages to `events.in`, counted where they are stored."""
    with servers() as ours, fleet(ours) as running, bare_handler() as port, running.watched():
        jobs = _jobs(running, port)
        packed = _publish(running, jobs, LIMIT_S, tag="p", packed=True)
        before, start = running.entries(), time.perf_counter()
        _publish(running, jobs, seconds, tag="b")
        running.settle()
        rate = (running.entries() - before) / (time.perf_counter() - start)
    return Figure(
        "broker: events in over AMQP, single messages",
        f"{rate:,.0f} stored/s",
        f"confirmed packets of 50 KiB, one at a time: {packed:,.0f}/s",
        "",
        "2,500/s",
        "4,000/s",
        rate >= 2_500,
    )


def _publish(
    running: Fleet, jobs: list[tuple[str, str]], seconds: float, *, tag: str, packed: bool = False
) -> float:
    plan = amqp.Plan(url=running.broker_url, seconds=seconds, jobs=jobs, tag=tag, packed=packed)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.amqp"],
        input=msgspec.json.encode(plan),
        stdout=subprocess.PIPE,
        check=True,
    )
    return float(done.stdout)


def twice_as_many(seconds: float) -> Figure:
    """Return the processor time of an event with two gateways and state managers, against one."""
    one = ("gateway", "state-manager", "notifier")
    two = (*one, "gateway", "state-manager")
    with (
        servers() as ours,
        fleet(ours, one) as alone,
        fleet(ours, two) as both,
        bare_handler() as port,
    ):
        jobs = {running: _jobs(running, port) for running in (alone, both)}
        time.sleep(_SHARED_S)

        def cost(running: Fleet) -> float:
            return sum(where_the_time_goes(running, jobs[running], _PART_S).values())

        pairs = [(cost(both), cost(alone)) for _ in range(max(1, round(seconds / 2 / _PART_S)))]
    change = statistics.median(more / less for more, less in pairs) - 1
    return Figure(
        "broker: two gateways and state managers against one of each",
        f"{middle(pairs, 0):.0f} us of processor time an event",
        f"one of each: {middle(pairs, 1):.0f} us",
        f"{change:+.0%}",
        "within 30 %",
        "10 %",
        change <= 0.30,
    )


def where_the_time_goes(
    running: Fleet, jobs: list[tuple[str, str]], seconds: float, lines: int = 1
) -> Mapping[str, float]:
    """Return the microseconds of processor time that each part uses for one event."""
    running.settle()
    entries, before = running.entries(), running.cpu_s()
    _send(running, jobs, seconds, lines=lines, tag=f"c{time.monotonic_ns()}")
    running.settle()
    count, after = running.entries() - entries, running.cpu_s()
    return {name: (after[name] - before[name]) / count * 1e6 for name in after}


def processor_time(seconds: float) -> Figure:
    """Show where the time of an event goes."""
    with servers() as ours, fleet(ours) as running, bare_handler() as port, running.watched():
        jobs = _jobs(running, port)
        parts = [where_the_time_goes(running, jobs, seconds / 2, lines) for lines in (1, _LINES)]
    shown = "; ".join(
        ", ".join(f"{name} {micros:.0f}" for name, micros in part.items()) for part in parts
    )
    return Figure("broker: us of an event, single; NDJSON", shown, "", "", "", "", met=True)


def pages(_seconds: float) -> Figure:
    """Read pages of a job with 100,000 entries, and of 1,000,000 jobs."""
    with servers() as ours:
        late = asyncio.run(seed_mongodb.measure(ours.mongo.database(), _MANY))
    history = late["history of 100,000 entries"]
    jobs = max(ms for name, ms in late.items() if "job" in name)
    return Figure(
        "broker: history page at 100,000 entries; slowest jobs page at 1,000,000 jobs",
        f"p95 {history:.1f} ms; {jobs:.1f} ms",
        "",
        "",
        "p95 <= 30 ms",
        "10 ms",
        history <= 30 and jobs <= 30,
    )


def growth(seconds: float) -> Figure:
    """Return the processor time of an event at 1,000,000 stored jobs, in turn with 10,000."""
    with servers() as ours, fleet(ours) as young, fleet(ours) as old, bare_handler() as port:
        jobs = {running: _jobs(running, port) for running in (young, old)}
        for running, stored in ((young, _FEW), (old, _MANY)):
            asyncio.run(_seed(running.database_url, stored))

        def cost(running: Fleet) -> float:
            parts = where_the_time_goes(running, jobs[running], _PART_S, _LINES)
            return sum(parts.values())

        for running in (young, old):
            cost(running)  # all is warm
        pairs = [(cost(old), cost(young)) for _ in range(max(1, round(seconds / 2 / _PART_S)))]
    change = statistics.median(more / less for more, less in pairs) - 1
    return Figure(
        "broker: an event at 1,000,000 stored jobs, in turn with 10,000",
        f"{middle(pairs, 0):.0f} us of processor time",
        f"at 10,000: {middle(pairs, 1):.0f} us",
        f"{change:+.0%}",
        "within 20 %",
        "10 %",
        change <= 0.20,
    )


async def _seed(url: str, jobs: int) -> None:
    client = MongoConnection(url, "motor", timeout_ms=None)
    await seed_mongodb.seed(client, jobs)
    await client.command("fsync")  # what was just filled in is not to be written meanwhile
    await client.close()


FIGURES = {
    "broker-single": single_events,
    "broker-bulk": bulk_events,
    "broker-visible": visible_state,
    "broker-visible-loaded": visible_state_under_load,
    "broker-amqp": events_from_the_bus,
    "broker-twice": twice_as_many,
    "broker-cpu": processor_time,
    "broker-pages": pages,
    "broker-growth": growth,
}

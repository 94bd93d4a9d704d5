"""Figures of the event path and of reading."""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.figures import LIMIT_S, Figure, middle, rounds
from benchmarks.load import Plan
from benchmarks.seed import fill
from benchmarks.service import Service, bare_handler, service

_CLIENTS = 64
_BULK_CLIENTS = 16
_JOBS = 200


def load(plan: Plan) -> dict[str, Any]:
    """Run the load generator in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=msgspec.json.encode(plan),
        stdout=subprocess.PIPE,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    if result["failures"]:
        print(f"  {result['failures']} requests failed: {result['first_failure']}", file=sys.stderr)
    return result


def bare_rate(port: int, jobs: list[tuple[str, str]], seconds: float) -> float:
    """Return the requests a second of the bare handler."""
    plan = Plan(host="127.0.0.1", port=port, seconds=seconds, connections=_CLIENTS, jobs=jobs)
    result = load(plan)
    return float(result["requests"] / result["seconds"])


def single_events(seconds: float) -> Figure:
    """Single-event POSTs of 64 clients against a handler that only decodes."""
    with service() as running, bare_handler() as port, running.watched():
        jobs = running.running_jobs(_JOBS)
        late: list[float] = []

        def measure(number: int, part: float) -> float:
            result, rate = _stored(running, jobs, part, _CLIENTS, 1, f"s{number}")
            late.append(result["p99_ms"])
            return rate

        pairs = rounds(seconds, measure, lambda part: bare_rate(port, jobs, part))
    ratio = statistics.median(stored / limit for stored, limit in pairs)
    p99 = statistics.median(late)
    return Figure(
        "single-event POSTs, 64 clients",
        f"{middle(pairs, 0):,.0f} events/s, p99 {p99:.0f} ms",
        f"bare aiohttp handler {middle(pairs, 1):,.0f}/s",
        f"{ratio:.0%}",
        "30 %, p99 <= 30 ms",
        "45 %",
        ratio >= 0.30 and p99 <= 30,
    )


def bulk_events(seconds: float) -> Figure:
    """NDJSON of 100 lines against group commits of the same rows."""
    with service() as running, running.watched():
        jobs = running.running_jobs(_JOBS)

        def measure(number: int, part: float) -> float:
            return _stored(running, jobs, part, _BULK_CLIENTS, 100, f"n{number}")[1]

        pairs = rounds(seconds, measure, _sqlite_rate)
    ratio = statistics.median(stored / limit for stored, limit in pairs)
    return Figure(
        "NDJSON of 100",
        f"{middle(pairs, 0):,.0f} events/s",
        f"SQLite group commit alone {middle(pairs, 1):,.0f}/s",
        f"{ratio:.0%}",
        "60 %",
        "80 %",
        ratio >= 0.60,
    )


def _stored(
    running: Service,
    jobs: list[tuple[str, str]],
    seconds: float,
    connections: int,
    lines: int,
    tag: str,
) -> tuple[dict[str, Any], float]:
    """Send for a while; give what the load saw, and the entries a second in the store."""
    entries = running.entries()
    plan = Plan(
        host=running.host,
        port=running.port,
        seconds=seconds,
        connections=connections,
        jobs=jobs,
        lines=lines,
        tag=tag,
    )
    result = load(plan)
    return result, (running.entries() - entries) / result["seconds"]


def _sqlite_rate(seconds: float) -> float:
    command = [sys.executable, "-m", "benchmarks.sqlite_limit", str(seconds)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def visible_state(seconds: float) -> Figure:
    """From sending a POST to having read the new state back, 100 a second."""
    with service() as running, running.watched():
        count = int(seconds * 100)
        jobs = [running.call("POST", "/v1/jobs", {}) for _ in range(count)]
        latencies = sorted(_paced(running, jobs))
    p50 = statistics.median(latencies) * 1e3
    p99 = latencies[int(len(latencies) * 0.99)] * 1e3
    return Figure(
        "POST to state visible at 100/s",
        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms",
        "",
        "",
        "p50 <= 4 ms, p99 <= 15 ms",
        "1.5 / 5 ms",
        p50 <= 4 and p99 <= 15,
    )


def _paced(running: Service, jobs: list[Any]) -> list[float]:
    latencies = []
    with socket.create_connection((running.host, running.port)) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        start = time.perf_counter()
        for number, job in enumerate(jobs):
            time.sleep(max(0.0, start + number / 100 - time.perf_counter()))
            body = json.dumps({"uuid": job["id"], "token": job["token"], "name": "run"})
            sent = time.perf_counter()
            _exchange(
                line,
                "POST /v1/events HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}",
            )
            answer = _exchange(
                line,
                f"GET /v1/jobs/{job['id']} HTTP/1.1\r\nHost: bench\r\n"
                f"Authorization: Bearer {running.key}\r\n\r\n",
            )
            latencies.append(time.perf_counter() - sent)
            if json.loads(answer)["state"] != "RUNNING":
                raise RuntimeError(f"the state read back is not RUNNING: {answer!r}")
    return latencies


def _exchange(line: socket.socket, request: str) -> bytes:
    """Send a request in one piece; give the body of the answer."""
    line.sendall(request.encode())
    answer = b""
    while True:
        answer += line.recv(65_536)
        head, found, body = answer.partition(b"\r\n\r\n")
        if found and len(body) == int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0]):
            return body


def jobs_page(_seconds: float) -> Figure:
    """Read pages of 50 by state and tag at 100,000 jobs."""
    with tempfile.TemporaryDirectory(prefix="jobwire-bench-") as temporary:
        folder = Path(temporary)
        fill(folder, 100_000)
        with service(folder) as running:
            latencies = []
            for number in range(400):
                state = ("RUNNING", "FINISHED", "FAILED", "CREATED")[number % 4]
                path = f"/v1/jobs?state={state}&tag=batch-{number % 10}&limit=50"
                start = time.perf_counter()
                page = running.call("GET", path)
                latencies.append(time.perf_counter() - start)
                if len(page["items"]) != 50 or page["next"] is None:
                    raise RuntimeError(f"{path} gave {len(page['items'])} jobs")
    p95 = sorted(latencies)[int(len(latencies) * 0.95)] * 1e3
    return Figure(
        "GET /v1/jobs page of 50 by state and tag at 100,000 jobs",
        f"p95 {p95:.1f} ms",
        "",
        "",
        "p95 <= 20 ms",
        "5 ms",
        p95 <= 20,
    )


def million_events(_seconds: float) -> Figure:
    """Send a million events: the last tenth as fast as the first, and the memory flat."""
    with service() as running, running.watched():
        jobs = running.running_jobs(_JOBS)
        rates, limits, memory = [], [], []
        for number in range(10):
            limits.append(_sqlite_rate(LIMIT_S))
            plan = Plan(
                host=running.host,
                port=running.port,
                seconds=600,
                connections=8,
                jobs=jobs,
                lines=100,
                requests=1_000,
                tag=f"m{number}",
            )
            entries = running.entries()
            result = load(plan)
            rates.append((running.entries() - entries) / result["seconds"])
            memory.append(running.memory_mib())
    # Held against the limit before each: what the machine did meanwhile is not the service's.
    change = (rates[-1] / limits[-1]) / (rates[0] / limits[0]) - 1
    return Figure(
        "1,000,000 events, first and last tenth",
        f"{rates[0]:,.0f} and {rates[-1]:,.0f} events/s, "
        f"memory {memory[0]:.0f} and {memory[-1]:.0f} MiB",
        f"SQLite group commit alone {limits[0]:,.0f} and {limits[-1]:,.0f}/s",
        f"{change:+.0%}",
        "within 10 %, memory flat",
        "",
        change >= -0.10 and memory[-1] <= memory[0] * 1.10,
    )


def against(before: Path, seconds: float) -> Figure:
    """Hold the event path against that of an older release, in turn in the same minutes."""
    with service() as new, service(tree=before) as old:
        jobs = {each: each.running_jobs(_JOBS) for each in (new, old)}

        def rate(running: Service, part: float, tag: str) -> float:
            return _stored(running, jobs[running], part, _CLIENTS, 1, tag)[1]

        pairs = rounds(
            seconds,
            lambda number, part: rate(new, part, f"a{number}"),
            lambda part: rate(old, part, f"b{time.monotonic_ns()}"),
        )
    ratio = statistics.median(now / then for now, then in pairs)
    return Figure(
        "single-event POSTs with all actors on",
        f"{middle(pairs, 0):,.0f} events/s",
        f"before {middle(pairs, 1):,.0f}/s",
        f"{ratio:.0%}",
        "90 %",
        "",
        ratio >= 0.90,
    )


FIGURES = {
    "single": single_events,
    "bulk": bulk_events,
    "visible": visible_state,
    "page": jobs_page,
    "million": million_events,
}

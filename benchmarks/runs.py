"""Figures of jobs that the service runs, their files and their callbacks."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from benchmarks.feed import Feed
from benchmarks.figures import Figure
from benchmarks.service import Service, service

_TRUE = {"spec": {"argv": ["/bin/true"]}}
_RUNS = 500
_SLOTS = 8
_GIB = 1 << 30
_WAITING = 10_000


def start(seconds: float) -> Figure:
    """From sending a submission of `/bin/true` to having heard that it runs, 10 a second."""
    count = max(50, int(seconds * 10))
    with service() as running, Feed(running) as feed:
        running.call("POST", "/v1/jobs", _TRUE)
        times = []
        began = time.perf_counter()
        for number in range(count):
            time.sleep(max(0.0, began + number / 10 - time.perf_counter()))
            sent = time.perf_counter()
            job = running.call("POST", "/v1/jobs", _TRUE)["id"]
            times.append(feed.wait_for(job, "RUNNING") - sent)
        feed.wait(count + 1, 60)
    p50, p99 = _percentiles(times)
    bare = statistics.median(_timed(["/bin/true"]) for _ in range(50)) * 1e3
    return Figure(
        "submit to RUNNING of /bin/true",
        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms",
        f"/bin/true alone {bare:.1f} ms",
        "",
        "50 / 200 ms",
        "15 / 50 ms",
        p50 <= 50 and p99 <= 200,
    )


def throughput(_seconds: float) -> Figure:
    """500 jobs of `/bin/true` on 8 slots, from the first submission to the last end."""
    with service(settings={"JOBWIRE_LOCAL__SLOTS": str(_SLOTS)}) as running, Feed(running) as feed:
        began = time.perf_counter()
        with ThreadPoolExecutor(8) as clients:
            list(clients.map(lambda _: running.call("POST", "/v1/jobs", _TRUE), range(_RUNS)))
        rate = _RUNS / (feed.wait(_RUNS, 120) - began)
    alone = _RUNS / _timed(["sh", "-c", f"seq {_RUNS} | xargs -P {_SLOTS} -n 1 /bin/true"])
    return Figure(
        "500 jobs of /bin/true, 8 slots",
        f"{rate:.0f} jobs/s",
        f"xargs -P 8 alone {alone:.0f}/s",
        f"{rate / alone:.0%}",
        "20 jobs/s",
        "80 jobs/s",
        rate >= 20,
    )


class _Receiver(ThreadingHTTPServer):
    """Notes when each callback came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.came: dict[str, float] = {}


class _Take(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take one callback."""
        came = time.perf_counter()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert isinstance(self.server, _Receiver)
        is_done = b'"done":true' in body
        self.server.came.setdefault(f"done {self.path[1:]}" if is_done else self.path[1:], came)
        self.send_response(204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_PUT = do_POST  # noqa: N815 - the name that the library looks for

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def callback(seconds: float) -> Figure:
    """From sending an event to the arrival of its callback, 50 a second."""
    count = int(seconds * 50)
    receiver = _Receiver()
    Thread(target=receiver.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{receiver.server_address[1]}"
    with service() as running:
        jobs = [
            running.call(
                "POST",
                "/v1/jobs",
                {"callbacks": [{"url": f"{url}/{number}", "states": ["RUNNING"]}]},
            )
            for number in range(count)
        ]
        sent = {}
        began = time.perf_counter()
        for number, job in enumerate(jobs):
            time.sleep(max(0.0, began + number / 50 - time.perf_counter()))
            sent[str(number)] = time.perf_counter()
            event = {"uuid": job["id"], "token": job["token"], "name": "run"}
            running.call("POST", "/v1/events", event)
        deadline = time.monotonic() + 30
        while len(receiver.came) < count and time.monotonic() < deadline:
            time.sleep(0.05)
    receiver.shutdown()
    p50, p99 = _percentiles([receiver.came[number] - sent[number] for number in sent])
    return Figure(
        "transition to callback received at 50/s",
        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms",
        "",
        "",
        "30 / 150 ms",
        "8 / 40 ms",
        p50 <= 30 and p99 <= 150,
    )


def staging(_seconds: float) -> Figure:
    """Bring in a file of 1 GiB, held against `cp` and then `sha256sum`."""
    with tempfile.TemporaryDirectory(prefix="jobwire-bench-") as temporary:
        folder = Path(temporary)
        subprocess.run(
            ["sh", "-c", f"head -c {_GIB} /dev/urandom > {folder}/big"], check=True, timeout=120
        )
        pairs, grown = [], 0.0
        settings = {"JOBWIRE_STAGING__ROOTS": str(folder)}
        with service(settings=settings) as running, Feed(running) as feed:
            before = running.memory_mib()
            for _ in range(3):
                bare = _timed(["sh", "-c", f"cp {folder}/big {folder}/copy && sync {folder}/copy"])
                bare += _timed(["sha256sum", f"{folder}/copy"])
                (folder / "copy").unlink()
                pairs.append((_stage(running, feed, folder / "big"), bare))
            grown = running.memory_mib(peak=True) - before
    ratio = statistics.median(bare / staged for staged, bare in pairs)
    staged, bare = (statistics.median(pair[which] for pair in pairs) for which in (0, 1))
    return Figure(
        "stage a file of 1 GiB in (copy, sha-256, flush)",
        f"{staged:.2f} s, memory +{grown:.0f} MiB",
        f"cp, sync, sha256sum {bare:.2f} s",
        f"{ratio:.0%}",
        "50 %, memory flat",
        "90 %",
        ratio >= 0.5 and grown < 100,
    )


def _stage(running: Service, feed: Feed, file: Path) -> float:
    spec = {
        "argv": ["/bin/true"],
        "stage_in": [{"from": f"file://{file}"}],
        "clean_up": {"after_s": 0},
    }
    job = running.call("POST", "/v1/jobs", {"spec": spec})["id"]
    staged = feed.wait_for(job, "STAGED") - feed.wait_for(job, "STAGING")
    feed.wait_for(job, "FINISHED")
    return staged


def queue(_seconds: float) -> Figure:
    """10,000 jobs that wait for a slot: their memory, a page of them, and cancelling all."""
    with service(settings={"JOBWIRE_LOCAL__SLOTS": "1"}) as running:
        running.call("POST", "/v1/jobs", {"spec": {"argv": ["sleep", "600"]}})
        before = running.memory_mib()
        with ThreadPoolExecutor(8) as clients:
            list(clients.map(lambda _: running.call("POST", "/v1/jobs", _TRUE), range(_WAITING)))
        grown = running.memory_mib() - before
        pages = [_timed_call(running, "GET", "/v1/jobs?state=CREATED&limit=50") for _ in range(100)]
        cancelled = _timed_call(running, "POST", "/v1/jobs/cancel", {"all": True})
        left = running.call("GET", "/v1/jobs?state=CREATED")["items"]
    if left:
        message = f"{len(left)} jobs were not cancelled"
        raise RuntimeError(message)
    _, p99 = _percentiles(pages)
    return Figure(
        "10,000 queued jobs: memory, page of 50, cancel all",
        f"+{grown:.0f} MiB, p99 {p99:.1f} ms, {cancelled:.1f} s",
        "",
        "",
        "< 150 MB more, <= 10 s",
        "",
        grown < 150 and cancelled <= 10,
    )


def _percentiles(times: list[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile in milliseconds."""
    ordered = sorted(times)
    return statistics.median(ordered) * 1e3, ordered[int(len(ordered) * 0.99)] * 1e3


def _timed(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def _timed_call(running: Service, method: str, path: str, body: Any = None) -> float:
    began = time.perf_counter()
    running.call(method, path, body)
    return time.perf_counter() - began


def joblauncher(seconds: float) -> Figure:
    """From sending `POST /job` with two files to its DONE callback, one job after the other."""
    count = max(20, int(seconds * 5))
    receiver = _Receiver()
    Thread(target=receiver.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{receiver.server_address[1]}"
    times = []
    with tempfile.TemporaryDirectory(prefix="jobwire-bench-") as jobdir:
        for name in ("one", "two"):
            (Path(jobdir) / name).write_bytes(b"x" * 10_000)
        settings = {"JOBWIRE_STAGING__ROOTS": jobdir, "JOBWIRE_DIALECTS__JOBLAUNCHER__ENABLED": "1"}
        with service(settings=settings) as running:
            for number in range(count):
                asked = {
                    "jobdir": jobdir,
                    "executable": "/bin/true",
                    "prestaged": ["one", "two"],
                    "status_callback_url": f"{url}/{number}",
                }
                sent = time.perf_counter()
                running.send("POST", "/compat/joblauncher/job", asked)
                while (came := receiver.came.get(f"done {number}")) is None:
                    time.sleep(0.0005)
                times.append(came - sent)
    receiver.shutdown()
    p50, p99 = _percentiles(times)
    return Figure(
        "joblauncher: submit with two files to DONE callback",
        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms",
        "",
        "",
        "p50 250 ms",
        "p50 100 ms",
        p50 <= 250,
    )


FIGURES = {
    "start": start,
    "runs": throughput,
    "callback": callback,
    "staging": staging,
    "queue": queue,
    "joblauncher": joblauncher,
}

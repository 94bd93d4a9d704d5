"""The load generator: keep-alive connections that each send prepared requests one after another."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, cast

import msgspec
import uvloop


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to send, read from standard input."""

    host: str
    port: int
    seconds: float
    connections: int
    path: str = "/v1/events"
    jobs: list[tuple[str, str]]
    """Id and token of each job; events go to them in turn."""
    lines: int = 1
    """Events of one request: more than one makes it NDJSON."""
    rate: float = 0
    """Requests a second of all connections together; 0: as fast as answers come."""
    requests: int = 0
    """Stop after so many requests; 0: when the time is up."""
    tag: str = "e"
    """Head of the event ids."""
    wait: bool = False
    key: str = ""
    """API key that every request carries."""
    ids: bool = True
    """Whether events carry ids, as native ones may."""


class Result(NamedTuple):
    """What was answered."""

    requests: int
    failures: int
    seconds: float
    p50_ms: float
    p99_ms: float
    first_failure: str


class Connection(asyncio.Protocol):
    """One client: sends the next request when the last one is answered."""

    def __init__(self, next_request: Callable[[], bytes | None], done: Callable[[], None]) -> None:
        """Ask `next_request` for what to send; tell `done` at the end."""
        self.latencies: list[float] = []
        self.failures = 0
        self.first_failure = ""
        self._next = next_request
        self._done = done
        self._buffer = b""
        self._sent = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports are transports by what they do, not by inheritance.
        self._transport = cast("asyncio.Transport", transport)

    def send(self) -> None:
        """Send one request, or end."""
        request = self._next()
        if request is None or self._transport is None:
            self._done()
            return
        self._sent = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take an answer, in whatever pieces it comes."""
        buffer = self._buffer + data
        head = buffer.find(b"\r\n\r\n")
        if head < 0:
            self._buffer = buffer
            return
        at = buffer.find(b"Content-Length: ") + 16
        length = int(buffer[at : buffer.find(b"\r", at)])
        if len(buffer) < head + 4 + length:
            self._buffer = buffer
            return
        self._buffer = b""
        self.latencies.append(time.perf_counter() - self._sent)
        if buffer[9:10] != b"2":
            self.failures += 1
            self.first_failure = self.first_failure or buffer[:400].decode(errors="replace")
        self.answered()

    def answered(self) -> None:
        """Go on at once."""
        self.send()

    def connection_lost(self, _error: Exception | None) -> None:
        """End."""
        self._done()


class PacedConnection(Connection):
    """A client that waits for its turn, so that all of them together keep a rate."""

    def answered(self) -> None:
        """Wait for the next turn."""


def bodies(plan: Plan) -> Iterator[bytes]:
    """Yield the bodies of the requests, each event with an id of its own."""
    number = 0
    while True:
        lines = []
        for _ in range(plan.lines):
            job, token = plan.jobs[number % len(plan.jobs)]
            identity = b'"id":"%s-%d",' % (plan.tag.encode(), number) if plan.ids else b""
            lines.append(
                b'{"uuid":"%s","name":"update","token":"%s",%b"data":'
                b'{"step":%d,"node":"c14-021","loss":0.0123}}'
                % (job.encode(), token.encode(), identity, number)
            )
            number += 1
        yield b"\n".join(lines)


async def run(plan: Plan) -> Result:
    """Send for as long as the plan says."""
    loop = asyncio.get_running_loop()
    kind = b"application/json" if plan.lines == 1 else b"application/x-ndjson"
    head = (
        b"POST %s%s HTTP/1.1\r\nHost: bench\r\n%sContent-Type: %s\r\n"
        b"Content-Length: %%d\r\n\r\n"
        % (
            plan.path.encode(),
            b"?wait=5" if plan.wait else b"",
            b"Authorization: Bearer %s\r\n" % plan.key.encode() if plan.key else b"",
            kind,
        )
    )
    source = bodies(plan)
    sent = 0
    start = time.perf_counter()

    def next_request() -> bytes | None:
        nonlocal sent
        if time.perf_counter() - start > plan.seconds or (plan.requests and sent >= plan.requests):
            return None
        sent += 1
        body = next(source)
        return head % len(body) + body

    finished = [asyncio.Event() for _ in range(plan.connections)]
    shape = PacedConnection if plan.rate else Connection
    connections = []
    for event in finished:
        _, connection = await loop.create_connection(
            lambda event=event: shape(next_request, event.set),  # type: ignore[misc]
            plan.host,
            plan.port,
        )
        connections.append(connection)
    start = time.perf_counter()
    if plan.rate:
        await _pace(plan, connections, start)
    else:
        for connection in connections:
            connection.send()
        for event in finished:
            await event.wait()
    seconds = time.perf_counter() - start
    latencies = sorted(latency for connection in connections for latency in connection.latencies)
    return Result(
        len(latencies),
        sum(connection.failures for connection in connections),
        seconds,
        latencies[len(latencies) // 2] * 1e3 if latencies else 0,
        latencies[int(len(latencies) * 0.99)] * 1e3 if latencies else 0,
        next((c.first_failure for c in connections if c.first_failure), ""),
    )


async def _pace(plan: Plan, connections: list[Connection], start: float) -> None:
    number = 0
    while True:
        due = start + number / plan.rate
        now = time.perf_counter()
        if now - start > plan.seconds:
            await asyncio.sleep(0.5)
            return
        if due > now:
            await asyncio.sleep(due - now)
        connections[number % len(connections)].send()
        number += 1


def main() -> None:
    """Read a plan, carry it out, print the result."""
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    print(json.dumps(uvloop.run(run(plan))._asdict()))


if __name__ == "__main__":
    main()

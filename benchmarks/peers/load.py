"""A small load generator: clients that each send a request when the last one is answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import NamedTuple


class Load(NamedTuple):
    """What was answered."""

    accepted: int
    refused: int
    seconds: float
    latencies_s: list[float]


async def generate(
    port: int, requests: Iterator[bytes], accepted: bytes, clients: int, seconds: float
) -> Load:
    """
    Send for a while over connections that are kept; a 2xx counts if it holds `accepted`.

    Raises:
        OSError: the server is not there, or hangs up.

    """
    latencies: list[float] = []
    refused = 0
    began = time.perf_counter()

    async def client() -> None:
        nonlocal refused
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() - began < seconds:
            sent = time.perf_counter()
            writer.write(next(requests))
            head, body = await _answer(reader)
            latencies.append(time.perf_counter() - sent)
            refused += not (head[9:10] == b"2" and accepted in body)
        writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    elapsed = time.perf_counter() - began
    return Load(len(latencies) - refused, refused, elapsed, latencies)


async def _answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    at = lower.index(b"content-length: ") + len(b"content-length: ")
    length = int(lower[at : lower.index(b"\r", at)])
    return head, await reader.readexactly(length)

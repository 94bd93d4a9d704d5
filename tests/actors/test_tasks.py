"""Loops that have an owner."""

from __future__ import annotations

import asyncio

from actors.runtime.tasks import Loop
from tests.support.deadlines import turns, until


async def test_a_loop_that_fails_says_so_and_runs_again() -> None:
    runs: list[int] = []

    async def run() -> None:
        runs.append(len(runs))
        if len(runs) == 1:
            message = "a fault"
            raise RuntimeError(message)
        await asyncio.Event().wait()

    loop = Loop("test", run)
    loop.start()
    await until(lambda: loop.failing)
    await until(lambda: len(runs) == 2)
    await until(lambda: not loop.failing)
    await loop.stop()

    assert runs == [0, 1]


async def test_a_loop_that_returns_is_over() -> None:
    runs: list[int] = []

    async def run() -> None:
        runs.append(1)

    loop = Loop("test", run)
    loop.start()
    await turns()
    await loop.stop()

    assert runs == [1]
    assert not loop.failing


async def test_a_loop_is_stopped_before_it_started_and_twice() -> None:
    ended = asyncio.Event()

    async def run() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    loop = Loop("test", run)
    await loop.stop()
    loop.start()
    await turns()
    await loop.stop()
    await loop.stop()

    assert ended.is_set()

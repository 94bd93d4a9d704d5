"""Loops that have an owner."""

from __future__ import annotations

import asyncio

import pytest
import structlog
from structlog.testing import capture_logs

from jobwire.actors.runtime import tasks
from jobwire.actors.runtime.tasks import Loop
from tests.support.deadlines import PATIENCE_S, turns, until


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


async def test_a_cancellation_that_nobody_asked_for_is_a_failure_like_any_other() -> None:
    runs: list[int] = []

    async def run() -> None:
        runs.append(len(runs))
        if len(runs) == 1:
            gone = asyncio.get_running_loop().create_future()
            gone.cancel()
            await gone
        await asyncio.Event().wait()

    loop = Loop("test", run)
    loop.start()
    await until(lambda: loop.failing)
    await until(lambda: len(runs) == 2)
    async with asyncio.timeout(PATIENCE_S):
        await loop.stop()

    assert runs == [0, 1]


async def test_a_loop_whose_end_fails_ends_all_the_same() -> None:
    runs: list[int] = []

    async def run() -> None:
        runs.append(len(runs))
        try:
            await asyncio.Event().wait()
        finally:
            message = "what it holds cannot be given back"
            raise RuntimeError(message)

    loop = Loop("test", run)
    loop.start()
    await turns()
    async with asyncio.timeout(PATIENCE_S):
        await loop.stop()

    assert runs == [0]
    assert not loop.failing


@pytest.mark.parametrize(("steady_s", "pauses"), [(60.0, [0.01, 0.02]), (0.0, [0.01, 0.01])])
async def test_the_pause_grows_until_a_run_was_long(
    monkeypatch: pytest.MonkeyPatch, steady_s: float, pauses: list[float]
) -> None:
    monkeypatch.setattr(tasks, "_PAUSE_S", 0.01)
    monkeypatch.setattr(tasks, "_STEADY_S", steady_s)
    runs: list[int] = []

    async def run() -> None:
        runs.append(len(runs))
        if len(runs) > 2:
            await asyncio.Event().wait()
        message = "a fault"
        raise RuntimeError(message)

    loop = Loop("test", run, jitter=lambda: 1.0)
    monkeypatch.setattr(tasks, "_log", structlog.get_logger())
    structlog.reset_defaults()
    with capture_logs() as lines:
        loop.start()
        await until(lambda: len(runs) == 3)
    await loop.stop()

    assert [line["pause_s"] for line in lines] == pauses


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

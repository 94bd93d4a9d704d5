"""Work that is done again and again."""

from __future__ import annotations

import asyncio

from jobwire.actors.runtime.periodic import Periodic
from jobwire.schemas.errors import Unavailable
from tests.support.deadlines import turns, until


async def test_work_is_done_at_once_and_again_after_each_pause() -> None:
    done: list[int] = []

    async def work() -> None:
        done.append(1)

    often = Periodic("often", work, 0.001)
    rarely = Periodic("rarely", work, 60)
    often.start()
    await until(lambda: len(done) >= 3)
    await often.stop()
    done.clear()
    rarely.start()
    await turns()
    await rarely.stop()

    assert done == [1]


async def test_where_the_pause_comes_first_nothing_is_done_before_it() -> None:
    done: list[int] = []

    async def work() -> None:
        done.append(1)

    loop = Periodic("test", work, 60, pauses_first=True)
    loop.start()
    await turns()
    await loop.stop()

    assert done == []


async def test_what_is_away_is_tried_at_the_next_turn_and_is_no_failure() -> None:
    done: list[bool] = []

    async def work() -> None:
        done.append(loop.failing)
        if len(done) < 3:
            raise Unavailable

    loop = Periodic("test", work, 0.001)
    loop.start()
    await until(lambda: len(done) >= 4)
    await loop.stop()

    assert not any(done)


async def test_a_fault_in_the_work_shows_and_the_turns_go_on() -> None:
    done: list[int] = []

    async def work() -> None:
        done.append(1)
        if len(done) == 1:
            message = "a fault"
            raise RuntimeError(message)

    loop = Periodic("test", work, 0.001)
    loop.start()
    await until(lambda: loop.failing)
    await until(lambda: len(done) >= 3)
    await loop.stop()


async def test_work_that_swallows_its_cancellation_ends_with_its_turn() -> None:
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    loop = Periodic("test", work, 60)
    loop.start()
    await begun.wait()

    async with asyncio.timeout(2):
        await loop.stop()

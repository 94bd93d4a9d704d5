"""The database of a fleet is killed, paused and told to step down while clients report."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from fleet_lab import Lab, laboratory
from fleet_trial import ANSWER_S, Trial

from tests.support.deadlines import until
from tests.support.fleet import ALL

pytestmark = [
    pytest.mark.fault,
    pytest.mark.servers,
    pytest.mark.asyncio(loop_scope="module"),
]

#: How long the database stands still.
_PAUSE_S = 10.0
#: How many read at a time what cannot be read.
_READERS = 40
#: How long a lonely primary that stepped down takes no writes.
_NO_OFFICE_S = 5


# Every kind of fault, killed, stands still, steps down, is met by each driver.
@pytest_asyncio.fixture(
    name="lab", scope="module", loop_scope="module", params=["motor", "pymongo"]
)
async def _lab(request: pytest.FixtureRequest) -> AsyncIterator[Lab]:
    async with laboratory(settings={"JOBWIRE_DATABASE__DRIVER": request.param}) as lab:
        yield lab


# The set of three takes longest, so it is met by the default driver only.
@pytest_asyncio.fixture(name="trio", scope="module", loop_scope="module")
async def _trio() -> AsyncIterator[Lab]:
    async with laboratory(members=3) as lab:
        yield lab


async def _is_refused(lab: Lab, trial: Trial) -> str | None:
    """
    See what clients get while the database is away, and that readiness says so.

    Returns:
        A job that was asked for meanwhile, if its event became safe on the broker.

    """
    await trial.refuses()
    job = next(iter(trial.load.ledger.jobs))
    creation = asyncio.create_task(_create_late(lab))
    answers = await asyncio.gather(*(lab.ask("GET", f"/v1/jobs/{job}") for _ in range(_READERS)))
    assert {status for status, _, _ in answers} == {503}
    slowest_s = max(seconds for _, _, seconds in answers)
    assert slowest_s <= ANSWER_S, slowest_s
    for name in ALL:
        await until(lambda each=name: lab.misses(each, "store"))  # type: ignore[misc]
    return await creation


async def _create_late(lab: Lab) -> str | None:
    """Ask for a job; return the one that will be there, as far as was answered."""
    status, made, seconds = await lab.ask("POST", "/v1/jobs", {"name": "later"})
    assert seconds <= ANSWER_S, seconds
    assert status in {202, 503}, made
    return str(made["id"]) if status == 202 else None


async def _is_there(lab: Lab, job: str | None) -> None:
    """See that a job that was promised has come to be."""
    if job is not None:
        status, shown, _ = await lab.ask("GET", f"/v1/jobs/{job}")
        assert (status, shown["name"]) == (200, "later")


async def test_nothing_is_lost_when_the_database_is_killed(lab: Lab) -> None:
    [before] = lab.mongo.pids

    async with lab.trial() as trial:
        await trial.begin()
        await asyncio.to_thread(lab.mongo.kill)
        late = await _is_refused(lab, trial)
        await asyncio.to_thread(lab.mongo.start)
        trial.heal()

    assert lab.mongo.pids != [before]
    await _is_there(lab, late)


async def test_nothing_is_lost_when_the_database_stands_still(lab: Lab) -> None:
    async with lab.trial() as trial:
        await trial.begin()
        until_s = time.monotonic() + _PAUSE_S
        await asyncio.to_thread(lab.mongo.pause)
        late = await _is_refused(lab, trial)
        await asyncio.sleep(max(until_s - time.monotonic(), 0))
        lab.mongo.resume()
        trial.heal()

    await _is_there(lab, late)


async def test_nothing_is_lost_when_a_lonely_primary_steps_down(lab: Lab) -> None:
    async with lab.trial() as trial:
        await trial.begin()
        await asyncio.to_thread(lab.mongo.step_down, _NO_OFFICE_S)
        began = time.monotonic()
        await asyncio.to_thread(lab.mongo.primary)
        assert time.monotonic() - began > _NO_OFFICE_S / 5, "it took writes all the time"
        trial.heal()


async def test_nothing_is_lost_when_the_primary_of_three_steps_down(trio: Lab) -> None:
    async with trio.trial() as trial:
        await trial.begin()
        before = await asyncio.to_thread(trio.mongo.primary)
        await asyncio.to_thread(trio.mongo.step_down)
        trial.heal()
        assert await asyncio.to_thread(trio.mongo.primary) != before


async def test_nothing_is_lost_when_the_primary_of_three_is_killed(trio: Lab) -> None:
    async with trio.trial() as trial:
        await trial.begin()
        before = await asyncio.to_thread(trio.mongo.primary)
        await asyncio.to_thread(trio.mongo.kill)
        trial.heal()
        assert await asyncio.to_thread(trio.mongo.primary) != before


async def test_nothing_is_lost_when_the_primary_of_three_stands_still(trio: Lab) -> None:
    async with trio.trial() as trial:
        await trial.begin()
        before = await asyncio.to_thread(trio.mongo.primary)
        until_s = time.monotonic() + _PAUSE_S
        await asyncio.to_thread(trio.mongo.pause)
        assert await asyncio.to_thread(trio.mongo.primary) != before
        await asyncio.sleep(until_s - time.monotonic())
        trio.mongo.resume()
        trial.heal()

"""
Jobs of a service that is killed: each runs once, ends as it had to, and nobody is left untold.

Repeat a run of random kills with `JOBWIRE_FAULT_SEED=...`; its seed is in the report of a failure.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from http_load import SEED
from http_service import Service
from run_fleet import Fleet
from run_receiver import Receiver

pytestmark = pytest.mark.fault

_RANDOM_KILLS = 5

#: Every place where a worker may die, and at which pass it does.
PLACES = {
    "submitter.before_intent": 3,
    "submitter.after_intent": 2,
    "submitter.before_start": 3,
    "submitter.after_start": 2,
    "submitter.after_run_reported": 2,
    "submitter.before_end_reported": 1,
    "submitter.after_end_reported": 2,
    "stager.before_copy": 2,
    "stager.after_copy": 3,
    "stager.before_commit": 2,
    "stager.before_staged": 2,
    "stager.before_finish": 1,
    "stager.after_finish": 2,
    "notifier.before_plan": 4,
    "notifier.after_plan": 5,
    "notifier.before_send": 6,
    "notifier.after_send": 7,
    "notifier.after_record": 8,
}


class Yard(NamedTuple):
    """A service, its fleet of jobs, and the receiver of their callbacks."""

    service: Service
    fleet: Fleet
    receiver: Receiver

    async def start(self, failpoints: str = "") -> None:
        """Start the service and find out its key."""
        await self.service.start(failpoints)
        self.fleet.key = self.service.api_key

    async def submit(self, first: int = 0) -> None:
        """Ask for short jobs, long ones, failing ones and ones that succeed at a later try."""
        await asyncio.gather(
            *(self.fleet.submit(first + n, seconds=0.1 * (n % 4)) for n in range(6)),
            self.fleet.submit(first + 6, code=3),
            self.fleet.submit(first + 7, attempts=2),
        )


@pytest.fixture(name="yard")
async def _yard(memory: Path) -> AsyncIterator[Yard]:
    receiver = Receiver()
    await receiver.start()
    settings = {
        "JOBWIRE_STAGING__ROOTS": str(memory / "fleet"),
        "JOBWIRE_LOCAL__SLOTS": "4",
        "JOBWIRE_CALLBACKS__SCHEDULE_S": "0,0.2,0.5,1,2,4,8",
    }
    service = Service(memory / "data", settings=settings)
    fleet = Fleet(service.url, memory / "fleet", receiver)
    yield Yard(service, fleet, receiver)
    await fleet.close()
    await service.close()
    await receiver.close()


@pytest.mark.parametrize("place", PLACES)
async def test_each_job_runs_once_when_the_service_dies_at_each_named_place(
    yard: Yard, place: str
) -> None:
    await yard.start()
    await yard.service.kill()

    await yard.start(f"{place}=kill@{PLACES[place]}")
    asked = asyncio.create_task(yard.submit())
    assert await yard.service.ended(90.0) == -signal.SIGKILL, f"{place} was not struck"
    await yard.start()
    await asked
    await yard.fleet.wait()

    assert await yard.fleet.complaints() == []


async def test_each_job_runs_once_when_the_service_dies_at_any_moment(yard: Yard) -> None:
    moments = random.Random(SEED)
    await yard.start()
    asked = asyncio.create_task(yard.submit())

    for number in range(_RANDOM_KILLS):
        await asyncio.sleep(moments.uniform(0.05, 0.5))
        await yard.service.kill()
        await yard.start()
        if number == _RANDOM_KILLS // 2:
            await asked
            asked = asyncio.create_task(yard.submit(100))
    await asked
    await yard.fleet.wait()

    assert await yard.fleet.complaints() == [], f"JOBWIRE_FAULT_SEED={SEED}"


async def test_jobs_that_end_while_the_service_is_down_end_as_they_had_to(yard: Yard) -> None:
    await yard.start()
    await yard.submit()
    await asyncio.gather(*(yard.fleet.submit(20 + n, seconds=0.6, code=n) for n in range(4)))
    await asyncio.sleep(0.4)

    await yard.service.kill()
    await asyncio.sleep(1.2)
    await yard.start()
    await yard.fleet.wait()

    assert await yard.fleet.complaints() == []

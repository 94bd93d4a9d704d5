"""A cancel and the end of a job in the same moment, a thousand times: one of them wins, once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from http_load import SEED
from run_fleet import alive

from jobwire.actors.runtime.settings import Limits, LocalSite, Settings
from tests.support.service import Caller, running

pytestmark = [pytest.mark.fault, pytest.mark.timeout(400)]

_RACES = 1_000
_AT_A_TIME = 16
_ENDED_S = 90.0


async def test_a_cancel_and_an_end_in_the_same_moment_leave_one_outcome(memory: Path) -> None:
    settings = Settings(
        port=0,
        local=LocalSite(slots=8, grace_s=2),
        limits=Limits(jobs_per_minute=1_000_000),
    )
    moments = random.Random(SEED)
    seen: Counter[str] = Counter()
    jobs: list[str] = []
    async with running(memory / "data", settings) as service:
        races = iter(range(_RACES))

        async def race() -> None:
            about_s = 0.04  # where both may win; found anew all the time, however busy the machine
            for _ in races:
                delay_s = about_s * moments.uniform(0.5, 1.5)
                job, outcome = await _race(service.admin, delay_s)
                about_s *= 1.2 if outcome == "CANCELLED" else 1 / 1.2
                jobs.append(job)
                seen[outcome] += 1

        await asyncio.gather(*(race() for _ in range(_AT_A_TIME)))

    assert sum(seen.values()) == _RACES
    assert min(seen["FINISHED"], seen["CANCELLED"]) > _RACES / 10, (
        f"{seen}, JOBWIRE_FAULT_SEED={SEED}"
    )
    assert set(seen) == {"FINISHED", "CANCELLED"}, f"{seen}, JOBWIRE_FAULT_SEED={SEED}"
    assert not {run for run in alive() if run.split(".")[0] in set(jobs)}


async def _race(caller: Caller, delay: float) -> tuple[str, str]:
    """Run a job and cancel it a moment later; return how it ended."""
    job = await caller.make_job(spec={"argv": ["sleep", "0.02"]})
    await asyncio.sleep(delay)
    cancel = await caller.post(f"{job['job']}/cancel")
    ended = await _ended(caller, job)
    entries = (await caller.get(job["history"])).json["items"]
    ends = [entry for entry in entries if entry["outcome"] is not None and entry["applied"]]
    assert len({entry["state"] for entry in ends}) == 1, entries
    assert [entry["name"] for entry in ends if entry["name"] != "cleaned"] == [ends[0]["name"]]
    _check_answer(cancel.status, cancel.json, ended, entries)
    return job["id"], ended["state"]


def _check_answer(status: int, answer: Any, ended: Any, entries: list[Any]) -> None:
    """Check that whoever asked was told what is so."""
    cancels = [entry["applied"] for entry in entries if entry["name"] == "cancel"]
    if status == 409:
        assert answer["code"] == "already_ended", answer
        assert (ended["state"], any(cancels)) == ("FINISHED", False), entries
    elif status == 200:
        assert (ended["state"], answer["state"]) == ("CANCELLED", "CANCELLED"), entries
    else:
        assert (status, cancels) == (202, [True]), (answer, entries)


async def _ended(caller: Caller, job: Any) -> Any:
    async with asyncio.timeout(_ENDED_S):
        while True:
            seen = (await caller.get(job["job"])).json
            if seen["outcome"] is not None:
                return seen
            await asyncio.sleep(0.01)

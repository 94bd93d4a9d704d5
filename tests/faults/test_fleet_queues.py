"""The queues of a fleet are deleted while clients report; in a laboratory of their own."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from fleet_lab import SHARDS, Lab, laboratory

pytestmark = [
    pytest.mark.fault,
    pytest.mark.servers,
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(name="lab", scope="module", loop_scope="module")
async def _lab() -> AsyncIterator[Lab]:
    async with laboratory() as lab:
        yield lab


async def test_nothing_confirmed_later_is_lost_when_queues_are_deleted(lab: Lab) -> None:
    url = lab.fleet.environment["JOBWIRE_BROKER__URL"]
    shards = [f"events.{shard}" for shard in range(SHARDS)]
    manager = lab.fleet["state-manager"]

    async with lab.trial() as trial:
        await trial.begin()
        said = len(manager.said())
        for name in (*shards, "commands.stager"):
            await asyncio.to_thread(lab.rabbit.delete_queue, url, name)
        trial.counts_from = time.monotonic()
        trial.heal()

    lost = [json.loads(line) for line in manager.said()[said:].splitlines() if "lost" in line]
    assert {each["queue"] for each in lost if each["event"] == "consumer_lost"} == {*shards}

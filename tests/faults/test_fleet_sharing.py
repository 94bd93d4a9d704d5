"""Two state managers share the shards; each of them is killed, or wakes up late."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from fleet_lab import SHARDS, Lab, laboratory, say

from tests.support.deadlines import until
from tests.support.fleet import Member
from tests.support.stopwatch import Stopwatch

pytestmark = [
    pytest.mark.fault,
    pytest.mark.servers,
    pytest.mark.asyncio(loop_scope="module"),
]

#: A state manager that is new has its half after so long.
_HALF_S = 10.0
#: After so long the other one has the shards of one that was killed, or that stands still.
_KILLED_S, _STANDING_S = 10.0, 30.0

_QUEUES = {f"events.{shard}" for shard in range(SHARDS)}
#: Batches after which a state manager stands still.
_BATCHES = 40

#: Every place where a state manager may die.
_PLACES = (
    "store.before_insert",
    "store.after_insert",
    "store.after_projection",
    "store.after_commit",
    "state.after_commit",
    "state.before_reply",
    "state.before_ack",
)


@pytest_asyncio.fixture(name="lab", scope="module", loop_scope="module")
async def _lab() -> AsyncIterator[Lab]:
    async with laboratory(names=("gateway", "state-manager")) as lab:
        yield lab


@pytest_asyncio.fixture(name="second", loop_scope="module")
async def _second(lab: Lab) -> AsyncIterator[Member]:
    """Yield a second state manager that has not been started."""
    member = lab.fleet.add("second", "state-manager")
    yield member
    if member.is_running:
        member.resume()
        await member.stop()
    del lab.fleet.members[member.name]


async def _shares(lab: Lab) -> dict[str, set[str]]:
    """Return the shards' queues that each state manager has, by what the broker says."""
    url = lab.fleet.environment["JOBWIRE_BROKER__URL"]
    found: dict[str, set[str]] = {}
    for each in await asyncio.to_thread(lab.rabbit.consumers, url):
        if each["queue_name"] in _QUEUES and each["active"]:
            found.setdefault(each["consumer_tag"], set()).add(each["queue_name"])
    return found


async def _are_halves(lab: Lab) -> bool:
    return sorted(map(len, (await _shares(lab)).values())) == [SHARDS // 2, SHARDS // 2]


async def test_a_second_state_manager_has_half_and_the_first_takes_over_when_it_is_killed(
    lab: Lab, second: Member
) -> None:
    async with lab.trial() as trial:
        await trial.begin()
        probes = await lab.job_of_each_shard()
        watch = Stopwatch()
        await second.start()
        await until(lambda: _are_halves(lab))
        say(f"half of the shards after {watch.seconds:.1f} s")
        assert watch.seconds <= _HALF_S
        await trial.load.until(200)

        await second.kill()
        trial.heal()
        seconds = await lab.stored_again(probes, _KILLED_S)
        say(f"every shard stores {seconds:.1f} s after a kill")

    [everything] = (await _shares(lab)).values()
    assert everything == _QUEUES


async def test_one_that_stands_still_in_mid_batch_is_replaced_and_changes_nothing_when_it_wakes(
    lab: Lab, second: Member
) -> None:
    async with lab.trial() as trial:
        await trial.begin()
        probes = await lab.job_of_each_shard()
        await second.start(f"store.before_insert=pause@{_BATCHES}")
        await until(lambda: second.is_standing)

        seconds = await lab.stored_again(probes, _STANDING_S)
        say(f"every shard stores {seconds:.1f} s after a standstill")
        before = await trial.witness.histories(trial.load.ledger)
        second.resume()
        trial.heal()
        await second.ready()
        await until(lambda: _has_seen_known_events(second))

    after = await trial.witness.histories(trial.load.ledger)
    changed = [
        job for job in after if after[job][: len(before.get(job, ()))] != before.get(job, [])
    ]
    assert changed == []


async def _has_seen_known_events(member: Member) -> bool:
    """Return whether the batch that it had in hand turned out to be stored by another one."""
    return await member.counted("jobwire_events_duplicate_total") > 0


async def test_nothing_is_lost_when_a_state_manager_dies_at_each_named_place(lab: Lab) -> None:
    manager = lab.fleet["state-manager"]

    async with lab.trial() as trial:
        await trial.begin()
        assert await manager.stop() == 0
        for number, place in enumerate(_PLACES):
            await manager.start(f"{place}=kill@{5 + number}")
            assert await manager.ended() == -signal.SIGKILL, f"{place} was not struck"
        await manager.start()
        trial.heal()

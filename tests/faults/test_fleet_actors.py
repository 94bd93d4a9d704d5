"""Each actor of a fleet is killed, paused and restarted while all of them work."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from fleet_lab import Lab, laboratory, new_fleet
from fleet_trial import WELL_S, Trial

from tests.support.deadlines import until
from tests.support.fleet import ALL, Fleet, Member
from tests.support.mongodb import MongoServer
from tests.support.rabbitmq import RabbitServer
from tests.support.stopwatch import Stopwatch

pytestmark = [
    pytest.mark.fault,
    pytest.mark.servers,
    pytest.mark.asyncio(loop_scope="module"),
]

#: Those who run jobs, bring files and tell receivers.
_WORKERS = ("submitter", "stager", "notifier")
#: How long an actor stands still.
_PAUSE_S = 4.0


@pytest_asyncio.fixture(name="lab", scope="module", loop_scope="module")
async def _lab() -> AsyncIterator[Lab]:
    async with laboratory() as lab:
        yield lab


async def _begin(lab: Lab, actor: str, stack: AsyncExitStack) -> Trial:
    """Have clients report; where the actor does something for jobs, have jobs as well."""
    yard = await stack.enter_async_context(lab.yard())
    trial = await stack.enter_async_context(lab.trial())
    await trial.begin()
    if actor in _WORKERS:
        for number in range(5):
            await yard.submit(number, seconds=0.3 * number, attempts=2 if number == 1 else 1)
    return trial


@pytest.mark.parametrize("actor", ALL)
async def test_nothing_is_lost_when_an_actor_is_killed(lab: Lab, actor: str) -> None:
    async with AsyncExitStack() as stack:
        trial = await _begin(lab, actor, stack)
        member = lab.fleet[actor]

        await member.kill()
        assert member.process.returncode == -signal.SIGKILL
        await asyncio.sleep(1.0)
        await member.start()
        trial.heal()


@pytest.mark.parametrize("actor", ALL)
async def test_nothing_is_lost_when_an_actor_stands_still(lab: Lab, actor: str) -> None:
    async with AsyncExitStack() as stack:
        trial = await _begin(lab, actor, stack)
        member = lab.fleet[actor]
        if actor == "gateway":
            trial.answer_s += _PAUSE_S  # nobody is there who could answer meanwhile

        member.pause()
        await until(lambda: member.is_standing)
        await asyncio.sleep(_PAUSE_S)
        assert member.is_standing
        member.resume()
        trial.heal()


async def test_nothing_is_lost_when_each_process_is_restarted_in_turn(lab: Lab) -> None:
    codes = {}
    async with lab.trial() as trial:
        await trial.begin()

        for name, member in lab.fleet.members.items():
            codes[name] = await member.stop()
            await member.start()
            await member.ready()
            await trial.load.until(100)
        trial.heal()

    assert codes == dict.fromkeys(ALL, 0)


async def test_every_actor_may_start_before_broker_and_database(
    own_rabbit: RabbitServer, own_mongo: MongoServer, memory: Path
) -> None:
    fleet = new_fleet(memory / "data", own_rabbit.url, own_mongo.database())
    await asyncio.to_thread(own_rabbit.stop)
    await asyncio.to_thread(own_mongo.stop)
    try:
        for name in ALL:
            await fleet.add(name).start()
        await _all_miss(fleet, {"broker", "store"})
        await asyncio.to_thread(own_mongo.start)
        await _all_miss(fleet, {"broker"})
        await asyncio.to_thread(own_rabbit.start)
        watch = Stopwatch()
        await fleet.ready()
        assert watch.seconds <= WELL_S
    finally:
        await fleet.close()


async def _all_miss(fleet: Fleet, parts: set[str]) -> None:
    """Wait until each process names just these of the servers as missing."""

    async def misses(member: Member) -> bool:
        named = {each.partition(":")[0] for each in await member.not_ready() or ()}
        return named & {"broker", "store"} == parts

    for member in fleet.members.values():
        await until(lambda each=member: misses(each))  # type: ignore[misc]


async def test_every_actor_may_be_the_first_of_all(lab: Lab, memory: Path) -> None:
    fleets = {
        name: new_fleet(memory / name, lab.rabbit.vhost(), lab.mongo.database()) for name in ALL
    }
    try:
        await asyncio.gather(*(fleet.start([name]) for name, fleet in fleets.items()))
    finally:
        for fleet in fleets.values():
            await fleet.close()

"""The broker of a fleet is killed, paused, blocked, emptied and poisoned while clients report."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from typing import Final

import aio_pika
import pytest
import pytest_asyncio
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from fleet_lab import Lab, laboratory, say
from fleet_trial import ANSWER_S, Trial

from jobwire.schemas.codec import encode_packet
from jobwire.schemas.events import PACKET_VERSION, Packet
from tests.support.deadlines import until
from tests.support.fleet import ALL
from tests.support.proxy import FaultyProxy
from tests.support.stopwatch import Stopwatch

pytestmark = [
    pytest.mark.fault,
    pytest.mark.servers,
    pytest.mark.asyncio(loop_scope="module"),
]

#: How often an administrator closes all connections.
_CLOSINGS = 20
#: How long the broker stands still: longer than two heartbeats, so that both sides give up.
_PAUSE_S = 20.0
#: What `rabbitmqctl close_all_connections` does; gives the processes of the connections.
_CLOSE_ALL: Final = """
Pids = rabbit_networking:connections(),
[rabbit_networking:close_connection(Pid, <<"closed by an administrator">>) || Pid <- Pids],
Pids.
"""
#: Longest time that poison may delay what comes after it in its queue.
_DELAY_S = 5.0
#: Longest time of a read while the broker is away: it needs the database alone.
_READ_S = 1.0


@pytest_asyncio.fixture(name="lab", scope="module", loop_scope="module")
async def _lab() -> AsyncIterator[Lab]:
    async with laboratory() as lab:
        yield lab


async def _is_refused_and_read(lab: Lab, trial: Trial) -> None:
    """See what clients get while the broker is away, and that the gateway's readiness says so."""
    await trial.refuses()
    job = next(iter(trial.load.ledger.jobs))
    for method, path, body in (
        ("POST", "/v1/events", {"uuid": job, "name": "update"}),
        ("POST", "/v1/jobs", {"name": "not now"}),
    ):
        status, _, seconds = await lab.ask(method, path, body)
        assert (status, seconds <= ANSWER_S) == (503, True), (path, status, seconds)
    for path in (f"/v1/jobs/{job}", "/v1/jobs", f"/v1/jobs/{job}/history"):
        status, _, seconds = await lab.ask("GET", path)
        assert (status, seconds <= _READ_S) == (200, True), (path, status, seconds)
    await until(lambda: lab.misses("gateway", "broker"))


async def test_nothing_is_lost_when_the_broker_is_killed(lab: Lab) -> None:
    before = lab.rabbit.pid

    async with lab.trial() as trial:
        await trial.begin()
        await asyncio.to_thread(lab.rabbit.kill)
        assert not lab.rabbit.is_running
        await _is_refused_and_read(lab, trial)
        for name in ALL:
            await until(lambda each=name: lab.misses(each, "broker"))  # type: ignore[misc]
        await asyncio.to_thread(lab.rabbit.start)
        trial.heal()

    assert lab.rabbit.pid != before


async def test_nothing_is_lost_when_the_broker_is_restarted_in_good_order(lab: Lab) -> None:
    before = lab.rabbit.pid

    async with lab.trial() as trial:
        await trial.begin()
        await asyncio.to_thread(lab.rabbit.restart)
        trial.heal()

    assert lab.rabbit.pid != before


async def test_nothing_is_lost_when_the_broker_stands_still(lab: Lab) -> None:
    async with lab.trial() as trial:
        await trial.begin()
        until_s = time.monotonic() + _PAUSE_S
        await asyncio.to_thread(lab.rabbit.pause)
        await _is_refused_and_read(lab, trial)
        await asyncio.sleep(until_s - time.monotonic())
        await asyncio.to_thread(lab.rabbit.resume)
        trial.heal()


async def test_nothing_is_lost_while_the_broker_has_no_memory_left(lab: Lab) -> None:
    async with lab.trial() as trial:
        await trial.begin()
        connections = await _connections(lab)
        await asyncio.to_thread(lab.rabbit.memory_alarm, on=True)
        alarms = await asyncio.to_thread(lab.rabbit.ctl, "eval", "rabbit_alarm:get_alarms().")
        assert "memory" in alarms
        await _is_refused_and_read(lab, trial)
        await asyncio.sleep(5.0)
        await asyncio.to_thread(lab.rabbit.memory_alarm, on=False)
        trial.heal()

    async def are_as_many() -> bool:
        return len(await _connections(lab)) == len(connections)

    await until(are_as_many)


async def _connections(lab: Lab) -> set[str]:
    """Return the connections that the broker has, each by the address of its client."""
    listed = await asyncio.to_thread(lab.rabbit.ctl, "list_connections", "peer_port")
    return set(listed.split()[1:])


async def test_nothing_is_lost_when_an_administrator_closes_all_connections(lab: Lab) -> None:
    closed: set[str] = set()

    async def are_back() -> bool:
        return len(await _connections(lab)) >= len(ALL)

    async with lab.trial() as trial:
        await trial.begin()
        for _ in range(_CLOSINGS):
            await until(are_back)
            printed = await asyncio.to_thread(lab.rabbit.ctl, "eval", _CLOSE_ALL)
            now = set(re.findall(r"<[\d.]+>", printed))
            assert not now & closed
            closed |= now
            await trial.load.until(10)
        trial.heal()


async def test_a_gateway_whose_broker_is_a_black_hole_refuses_and_heals(lab: Lab) -> None:
    url = lab.fleet.environment["JOBWIRE_BROKER__URL"]

    async with FaultyProxy("127.0.0.1", lab.rabbit.port) as link:
        far = lab.fleet.add("far gateway", "gateway")
        await far.start(JOBWIRE_BROKER__URL=link.through(url))
        async with lab.trial(far.url) as trial:
            await trial.begin()
            link.swallow()
            forwarded = link.forwarded
            await trial.refuses()
            await asyncio.sleep(8.0)
            assert link.forwarded == forwarded
            link.heal()
            trial.heal()
        assert await far.stop() == 0
        del lab.fleet.members[far.name]


#: What can never be handled, for each queue; and what its reason must say.
_POISON: Final = (
    ("events.0", b"no packet", "packet"),
    ("events.0", encode_packet(Packet(PACKET_VERSION + 1, ())), "version"),
    ("commands.stager", b"no order", "not a command"),
    ("commands.site.local", b"no order", "not a command"),
    ("events.in", b"no event", ""),
)


async def test_poison_ends_among_the_dead_letters_and_delays_nobody(lab: Lab) -> None:
    async with lab.yard() as yard, lab.trial() as trial:
        await trial.begin()
        jobs = await lab.job_of_each_shard()
        connection = await aio_pika.connect(lab.fleet.environment["JOBWIRE_BROKER__URL"])
        async with connection:
            channel = await connection.channel()
            for queue, body, _ in _POISON:
                await channel.default_exchange.publish(aio_pika.Message(body), queue)
            trial.heal()
            watch = Stopwatch()
            await yard.submit(0)
            delay_s = await lab.stored_again(jobs, _DELAY_S)
            say(f"stored {delay_s:.1f} s after the poison")
            await yard.wait()
            assert watch.seconds <= 2 * _DELAY_S
            for queue, body, reason in _POISON:
                letter = await _letter(channel, queue)
                assert letter.body == body
                assert letter.headers["x-jobwire-queue"] == queue
                assert reason in str(letter.headers["x-jobwire-reason"])


async def _letter(channel: AbstractChannel, queue: str) -> AbstractIncomingMessage:
    """Take the oldest dead letter of a queue."""
    dead = await channel.get_queue(f"dead.{queue}")
    letter = await dead.get(no_ack=True, timeout=60)
    assert letter is not None
    return letter

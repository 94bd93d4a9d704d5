"""
A service that is killed, over real HTTP: whatever was answered is there, once and in order.

Repeat a run of random kills with `JOBWIRE_FAULT_SEED=...`; its seed is in the report of a failure.
"""

from __future__ import annotations

import asyncio
import random
import signal
from pathlib import Path

import pytest
from http_load import SEED, Load, eventually
from http_service import Service
from http_witness import Follower, Witness

pytestmark = pytest.mark.fault

_RANDOM_KILLS = 4
#: Kills within which a service that answers too early must have been found out.
_KILLS_OF_A_LIAR = 8

PLACES = (
    "gateway.before_answer",
    "store.before_insert",
    "store.after_insert",
    "store.after_projection",
    "store.after_commit",
    "state.after_commit",
    "state.before_reply",
    "state.before_ack",
)


async def test_nothing_answered_is_lost_when_the_process_dies_at_each_named_place(
    service: Service, load: Load
) -> None:
    await service.start()
    await load.start()
    shared = next(iter(load.ledger.jobs))
    followers = [
        Follower(service.url, service.api_key, "/v1/stream"),
        Follower(service.url, service.api_key, f"/v1/jobs/{shared}/stream"),
    ]
    for follower in followers:
        await follower.start()
    await service.kill()

    for number, place in enumerate(PLACES):
        await service.start(f"{place}=kill@{20 + 7 * number}")
        assert await service.ended(90.0) == -signal.SIGKILL, f"{place} was not struck"
    await service.start()
    await load.until(50)
    await load.stop()

    assert await Witness(service.url, service.api_key).complaints(load.ledger) == []
    await _follow_to_the_end(load, followers, shared)
    assert [gap for each in followers for gap in each.gaps(shared)] == []
    assert all(follower.connects > len(PLACES) // 2 for follower in followers)


async def _follow_to_the_end(load: Load, followers: list[Follower], job: str) -> None:
    last = (await load.insist("GET", f"/v1/jobs/{job}")).read()["seq"]
    for follower in followers:
        await eventually(lambda f=follower: f.has(job, last), 90.0, "the stream's end")  # type: ignore[misc]
        await follower.stop()


async def test_nothing_answered_is_lost_when_the_process_dies_at_any_moment(
    service: Service, load: Load
) -> None:
    moments = random.Random(SEED)
    await service.start()
    await load.start()

    for _ in range(_RANDOM_KILLS):
        await asyncio.sleep(moments.uniform(0.05, 0.8))
        await service.kill()
        await service.start()
    await load.until(50)
    await load.stop()

    found = await Witness(service.url, service.api_key).complaints(load.ledger)
    assert found == [], f"JOBWIRE_FAULT_SEED={SEED}"


async def test_a_service_that_answers_before_its_commit_is_found_out(memory: Path) -> None:
    liar = Service(memory / "data", mistake="answers_early")
    found: list[str] = []

    try:
        for number in range(_KILLS_OF_A_LIAR):
            await liar.start("store.before_insert=kill@60")
            load = Load(liar.url, lambda: liar.api_key, SEED + number)
            await load.start()
            assert await liar.ended(90.0) == -signal.SIGKILL
            await load.give_up()
            await liar.start()
            found = await Witness(liar.url, liar.api_key).complaints(load.ledger)
            await load.close()
            if any(text.startswith("accepted event lost") for text in found):
                break
            await liar.kill()
    finally:
        await liar.close()

    assert any(text.startswith("accepted event lost") for text in found)

"""A service that is told to stop, or stands still, under load (promise P10)."""

from __future__ import annotations

import asyncio
import signal

import pytest
from http_load import Load
from http_service import Service
from http_witness import Witness

from tests.support.stopwatch import Stopwatch

pytestmark = pytest.mark.fault

_STANDSTILL_S = 3.0


async def test_a_service_told_to_stop_ends_well_and_its_successor_goes_on(
    service: Service, load: Load
) -> None:
    await service.start()
    await load.start()

    for _ in range(2):
        await load.until(100)
        service.send(signal.SIGTERM)
        assert await service.ended(90.0) == 0, await service.errors()
        await service.start()
    await load.until(50)
    await load.stop()

    assert await Witness(service.url, service.api_key).complaints(load.ledger) == []


async def test_a_service_told_to_stop_answers_every_event_that_it_has_stored(
    service: Service, load: Load
) -> None:
    await service.start()
    await load.start()
    await load.until(100)

    service.send(signal.SIGTERM)
    ended = await service.ended(90.0)
    await load.give_up()
    await service.start()

    assert ended == 0
    witness = Witness(service.url, service.api_key)
    assert await witness.complaints(load.ledger) == []
    assert await witness.unanswered(load.ledger) == []


async def test_a_service_told_twice_to_stop_ends_at_once_and_loses_nothing(
    service: Service, load: Load
) -> None:
    await service.start()
    await load.start()
    await load.until(100)

    watch = Stopwatch()
    service.send(signal.SIGTERM)
    service.send(signal.SIGTERM)
    assert await service.ended(90.0) in (0, 1)
    assert watch.seconds < 5
    await service.start()
    await load.until(50)
    await load.stop()

    assert await Witness(service.url, service.api_key).complaints(load.ledger) == []


async def test_a_service_that_stood_still_answers_everybody_and_loses_nothing(
    service: Service, load: Load
) -> None:
    await service.start()
    await load.start()
    await load.until(50)

    service.send(signal.SIGSTOP)
    await asyncio.sleep(_STANDSTILL_S)  # the fault itself
    service.send(signal.SIGCONT)
    await load.until(50)
    await load.stop()

    assert load.ledger.answers["hung"] == 0
    assert await Witness(service.url, service.api_key).complaints(load.ledger) == []

"""Outcomes that somebody waits for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import msgspec
import pytest

from actors.operations.replies import Replies
from actors.transports.embedded import EmbeddedTransport
from schemas.identifiers import EventId
from schemas.outcomes import Outcome
from tests.support.deadlines import turns
from tests.support.factories import job_id

_EVENT = EventId("run-1")


class Line(NamedTuple):
    """Replies, and the transport on which they hear."""

    replies: Replies
    transport: EmbeddedTransport

    async def tell(self, event: EventId = _EVENT, number: int = 1, address: str = "") -> Outcome:
        """Send an outcome to the address."""
        outcome = Outcome(job=job_id(number), event=event, verdict="applied", seq=2)
        await self.transport.reply(address or self.replies.address, msgspec.msgpack.encode(outcome))
        await turns()
        return outcome


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    """Give replies that hear."""
    line = Line(Replies(), EmbeddedTransport())
    await line.transport.open()
    await line.replies.start(line.transport)
    yield line
    await line.transport.close()


async def test_who_waits_for_an_event_gets_its_outcome(line: Line) -> None:
    waiting = line.replies.expect(job_id(), _EVENT)

    outcome = await line.tell()

    assert await waiting == outcome


async def test_everybody_who_waits_for_one_event_gets_its_outcome(line: Line) -> None:
    waiting = [line.replies.expect(job_id(), _EVENT) for _ in range(2)]

    outcome = await line.tell()

    assert await asyncio.gather(*waiting) == [outcome, outcome]


async def test_an_outcome_of_another_event_or_job_is_not_ones_own(line: Line) -> None:
    waiting = line.replies.expect(job_id(), _EVENT)

    await line.tell(event=EventId("other"))
    await line.tell(number=2)
    await line.tell(address="replies.somebody-else")

    assert not waiting.done()


async def test_who_no_longer_waits_is_not_told_and_others_still_are(line: Line) -> None:
    gone, waiting = (line.replies.expect(job_id(), _EVENT) for _ in range(2))

    line.replies.forget(job_id(), _EVENT, gone)
    line.replies.forget(job_id(), _EVENT, gone)
    outcome = await line.tell()

    assert not gone.done()
    assert await waiting == outcome


async def test_forgetting_after_the_outcome_came_does_no_harm(line: Line) -> None:
    waiting = line.replies.expect(job_id(), _EVENT)
    await line.tell()

    line.replies.forget(job_id(), _EVENT, waiting)

    assert (await waiting).seq == 2


async def test_a_waiter_that_was_cancelled_keeps_no_outcome_from_the_next(line: Line) -> None:
    cancelled, waiting = (line.replies.expect(job_id(), _EVENT) for _ in range(2))
    cancelled.cancel()

    outcome = await line.tell()

    assert await waiting == outcome


def test_no_two_processes_share_an_address() -> None:
    assert Replies().address != Replies().address

"""Outcomes that somebody waits for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

import msgspec
import pytest

from jobwire.actors.messaging.replies import ReplyInbox
from jobwire.actors.transports.embedded import EmbeddedTransport
from jobwire.schemas.identifiers import EventId
from jobwire.schemas.outcomes import Outcome
from tests.support.deadlines import turns
from tests.support.factories import job_id


class Line(NamedTuple):
    """Replies, and the transport on which they hear."""

    replies: ReplyInbox
    transport: EmbeddedTransport

    async def tell(self, address: str) -> Outcome:
        """Send an outcome to an address."""
        outcome = Outcome(job=job_id(), event=EventId("run-1"), verdict="applied", seq=2)
        await self.transport.reply(address, msgspec.msgpack.encode(outcome))
        await turns()
        return outcome


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    """Yield replies that hear."""
    line = Line(ReplyInbox(), EmbeddedTransport())
    await line.transport.open()
    await line.replies.start(line.transport)
    yield line
    await line.transport.close()


async def test_who_waits_gets_what_is_told_at_the_address(line: Line) -> None:
    reply = line.replies.expect()

    outcome = await line.tell(reply.address)

    assert await reply.outcome == outcome


async def test_two_who_wait_are_told_apart(line: Line) -> None:
    first, second = line.replies.expect(), line.replies.expect()

    await line.tell(second.address)

    assert second.outcome.done()
    assert not first.outcome.done()


async def test_what_is_told_elsewhere_is_not_heard(line: Line) -> None:
    reply = line.replies.expect()

    await line.tell("replies.somebody-else.0")
    await line.tell(reply.address + "0")

    assert not reply.outcome.done()


async def test_who_no_longer_waits_is_not_told(line: Line) -> None:
    reply = line.replies.expect()

    line.replies.forget(reply)
    line.replies.forget(reply)
    await line.tell(reply.address)

    assert not reply.outcome.done()


async def test_an_outcome_that_is_told_twice_counts_once(line: Line) -> None:
    reply = line.replies.expect()

    outcome = await line.tell(reply.address)
    await line.tell(reply.address)

    assert await reply.outcome == outcome


async def test_a_waiter_that_was_cancelled_does_no_harm(line: Line) -> None:
    cancelled, reply = line.replies.expect(), line.replies.expect()
    cancelled.outcome.cancel()

    await line.tell(cancelled.address)
    await line.tell(reply.address)

    assert reply.outcome.done()


async def test_no_two_processes_share_an_address() -> None:
    assert ReplyInbox().expect().address != ReplyInbox().expect().address

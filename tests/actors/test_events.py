"""Posting events: what is waited for, and what a failure of one shard means for the others."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from msgspec import Struct, field

from jobwire.actors.messaging.replies import ReplyInbox
from jobwire.actors.operations.events import Events
from jobwire.actors.transports.embedded import EmbeddedTransport
from jobwire.schemas.errors import Forbidden, Invalid, TooLarge, Unauthorized, Unavailable
from jobwire.schemas.events import Event, SignedAuthority, TokenAuthority
from jobwire.schemas.identifiers import shard_of
from jobwire.schemas.outcomes import Outcome
from jobwire.schemas.principals import Principal
from jobwire.schemas.tokens import identify, mint_token
from tests.support.deadlines import PATIENCE_S
from tests.support.factories import KEYRING, NOW, OWNER, after, job_id
from tests.support.packing import packing

_SHARDS = 2
_ALICE = Principal(OWNER, frozenset({"events", "jobs"}))
_JOB = job_id()


class Bench(Struct):
    """Events, and a bus that answers the ids it is told to answer."""

    transport: EmbeddedTransport
    replies: ReplyInbox
    answered: set[str] = field(default_factory=set)
    broken: set[int] = field(default_factory=set)
    sent: list[Event] = field(default_factory=list)

    def events(self, data_bytes: int = 100) -> Events:
        """Make the events."""
        return Events(
            packer=packing(self.send, shards=_SHARDS),
            replies=self.replies,
            keyring=KEYRING,
            clock=lambda: NOW,
            data_bytes=data_bytes,
        )

    async def send(self, shard: int, events: tuple[Event, ...]) -> None:
        """Take a packet; answer who waits before it is confirmed."""
        if shard in self.broken:
            raise Unavailable
        self.sent += events
        for event in events:
            assert shard_of(event.job, _SHARDS) == shard
            if event.reply is not None and event.id in self.answered:
                outcome = Outcome(job=event.job, event=event.id, verdict="applied", seq=7)
                await self.transport.reply(event.reply, msgspec.msgpack.encode(outcome))


@pytest.fixture
async def bench() -> Bench:
    """Return a bench whose replies hear."""
    bench = Bench(EmbeddedTransport(), ReplyInbox())
    await bench.transport.open()
    await bench.replies.start(bench.transport)
    return bench


def _build(bench: Bench, event_id: str = "e", number: int = 1, **fields: Any) -> Event:
    return bench.events().build(
        job=job_id(number), name="run", principal=_ALICE, event_id=event_id, **fields
    )


async def test_an_event_with_a_token_carries_it_and_the_gateways_time(bench: Bench) -> None:
    token = mint_token(KEYRING, _JOB, 3)

    event = bench.events().build(job=_JOB, name="run", token=token, occurred=after(-5))

    assert event.authority == TokenAuthority(token)
    assert (event.received, event.occurred) == (NOW, after(-5))


async def test_an_event_of_a_caller_is_signed_for_the_state_manager(bench: Bench) -> None:
    event = _build(bench)

    sender = identify(KEYRING, event)
    assert isinstance(event.authority, SignedAuthority)
    assert sender is not None
    assert (sender.role, sender.principal) == ("caller", OWNER)


async def test_data_that_means_the_same_has_the_same_fingerprint(bench: Bench) -> None:
    one = _build(bench, data=b'{"a":1,"b":[2]}')
    same = _build(bench, data=b' {"b": [2], "a": 1}')
    other = _build(bench, data=b'{"a":1,"b":[3]}')

    assert one.digest == same.digest != other.digest
    assert same.data == b' {"b": [2], "a": 1}'


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"token": "wrong"}, Unauthorized),
        ({}, Unauthorized),
        ({"principal": Principal(OWNER, frozenset({"read", "jobs"}))}, Forbidden),
        ({"principal": _ALICE, "data": b"1" * 101}, TooLarge),
        ({"principal": _ALICE, "occurred": NOW.replace(year=1969)}, Invalid),
        ({"principal": _ALICE, "occurred": NOW.replace(year=9999)}, Invalid),
    ],
    ids=["wrong token", "nobody", "scope", "data", "too early", "too late"],
)
async def test_what_cannot_be_an_event_is_refused_before_it_is_sent(
    bench: Bench, fields: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        bench.events().build(job=_JOB, name="run", **fields)


@pytest.mark.parametrize("name", ["create", "delete", "rotate_token"])
async def test_an_event_of_the_record_needs_the_right_to_change_jobs(
    bench: Bench, name: str
) -> None:
    reporter = Principal(OWNER, frozenset({"events"}))

    with pytest.raises(Forbidden, match="'jobs'"):
        bench.events().build(job=_JOB, name=name, principal=reporter)


async def test_who_does_not_wait_is_answered_when_the_event_is_safe(bench: Bench) -> None:
    outcome = await bench.events().post(_build(bench))

    assert outcome is None
    assert [event.reply for event in bench.sent] == [None]


async def test_who_waits_gets_the_outcome(bench: Bench) -> None:
    bench.answered = {"e"}

    outcome = await bench.events().post(_build(bench), 5)

    assert outcome is not None
    assert outcome.seq == 7


async def test_who_waits_for_an_outcome_that_does_not_come_is_told_that_it_is_safe(
    bench: Bench,
) -> None:
    assert await bench.events().post(_build(bench), 0.01) is None
    assert not bench.replies._waiting


async def test_who_waits_for_what_cannot_be_sent_is_told_to_come_back(bench: Bench) -> None:
    bench.broken = {0, 1}

    with pytest.raises(Unavailable):
        await bench.events().post(_build(bench), 5)
    assert not bench.replies._waiting


async def test_of_many_each_is_told_its_own_outcome(bench: Bench) -> None:
    bench.answered = {"b"}
    events = [_build(bench, event_id=name) for name in ("a", "b", "c")]

    posted = await bench.events().post_many(events, 0.01)

    assert [each.error for each in posted] == [None, None, None]
    assert [each.outcome and each.outcome.event for each in posted] == [None, "b", None]
    assert not bench.replies._waiting


async def test_a_shard_that_is_away_fails_its_own_events_only(bench: Bench) -> None:
    bench.broken = {0}
    events = [_build(bench, number=number) for number in range(1, 20)]

    posted = await bench.events().post_many(events)

    for event, each in zip(events, posted, strict=True):
        assert isinstance(each.error, Unavailable) == (shard_of(event.job, _SHARDS) == 0)
    assert {shard_of(event.job, _SHARDS) for event in bench.sent} == {1}


async def test_when_nothing_could_be_sent_nothing_is_waited_for(bench: Bench) -> None:
    bench.broken = {0, 1}

    async with asyncio.timeout(PATIENCE_S):
        posted = await bench.events().post_many([_build(bench)], 60)

    assert isinstance(posted[0].error, Unavailable)
    assert not bench.replies._waiting


async def test_no_events_have_no_answers(bench: Bench) -> None:
    assert await bench.events().post_many([], 5) == []

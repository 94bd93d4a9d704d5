"""Shards: shared in equal parts among the state managers that are alive."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobwire.actors.roles import shard_assignment
from jobwire.actors.roles.shard_assignment import ShardAssignment, share_of
from jobwire.actors.stores.sqlite import SqliteStore
from jobwire.actors.transports.base import BusMessage
from jobwire.actors.transports.rabbitmq import RabbitTransport
from jobwire.schemas.errors import Unavailable
from tests.support.deadlines import until


@given(st.sets(st.text(min_size=1, max_size=4), min_size=1, max_size=12), st.integers(1, 64))
def test_every_shard_has_one_owner_and_shares_differ_by_one_at_most(
    alive: set[str], shards: int
) -> None:
    shares = [list(share_of(holder, sorted(alive), shards)) for holder in alive]

    assert sorted(shard for share in shares for shard in share) == list(range(shards))
    sizes = {len(share) for share in shares}
    assert max(sizes) - min(sizes) <= 1


def test_who_has_no_lease_has_no_share() -> None:
    assert list(share_of("a", ["b"], 4)) == []


class Member:
    """One state manager's part in sharing."""

    def __init__(self, store: SqliteStore, bus: RabbitTransport, holder: str) -> None:
        """Take part under a name."""
        self.bus = bus
        self.taken: list[tuple[str, bytes]] = []
        self.sharing = ShardAssignment(
            transport=bus, store=store, shards=4, holder=holder, take=self._take
        )

    async def _take(self, queue: str, messages: Sequence[BusMessage]) -> None:
        self.taken += [(queue, each.body) for each in messages]

    @property
    def shards(self) -> set[int]:
        """Return the shards that are consumed."""
        return set(self.sharing.shards)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_assignment, "RENEW_S", 0.1)
    # So long that nobody loses it by being slow.
    monkeypatch.setattr(shard_assignment, "LEASE_S", 600.0)


@pytest.fixture
async def members(store: SqliteStore, broker_url: str) -> AsyncIterator[list[Member]]:
    """Yield three state managers of one store and one broker; none takes part yet."""
    made = [
        Member(store, RabbitTransport(broker_url, holder), holder) for holder in ("a", "b", "c")
    ]
    for member in made:
        await member.bus.open()
    yield made
    for member in made:
        await member.sharing.stop()
        await member.bus.close()


async def test_shares_change_with_who_is_there(members: list[Member]) -> None:
    a, b, c = members
    await a.sharing.start()
    await until(lambda: a.shards == {0, 1, 2, 3})
    await b.sharing.start()
    await until(lambda: (a.shards, b.shards) == ({0, 2}, {1, 3}))
    await c.sharing.start()
    await until(lambda: (a.shards, b.shards, c.shards) == ({0, 3}, {1}, {2}))

    await b.sharing.stop()  # says so: nobody waits for its lease to run out
    await until(lambda: (a.shards, c.shards) == ({0, 2}, {1, 3}))

    assert b.shards == set()


async def test_the_shards_of_one_that_vanished_are_taken_over(
    members: list[Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_assignment, "LEASE_S", 1.0)
    a, b, _ = members
    await a.sharing.start()
    await b.sharing.start()
    await until(lambda: len(a.shards) == len(b.shards) == 2)

    await b.sharing._loop.stop()  # as a process that stands still: its lease runs out
    await until(lambda: a.shards == {0, 1, 2, 3})


async def test_a_shard_that_is_handed_over_keeps_its_order(members: list[Member]) -> None:
    a, b, _ = members
    await a.sharing.start()
    await until(lambda: len(a.shards) == 4)

    sent: list[bytes] = []

    async def send_until(is_enough: Callable[[], bool]) -> None:
        while not is_enough():
            sent.append(str(len(sent)).encode())
            await a.bus.send("events.1", sent[-1:])

    await send_until(lambda: len(a.taken) > 50)
    await b.sharing.start()
    await send_until(lambda: len(b.taken) > 50)
    await until(lambda: len(a.taken) + len(b.taken) >= len(sent))

    assert [body for _, body in [*a.taken, *b.taken]] == sent


async def test_a_store_that_is_away_takes_no_shard_from_anybody(
    members: list[Member], store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_assignment, "LEASE_S", 0.3)
    a = members[0]
    await a.sharing.start()
    await until(lambda: len(a.shards) == 4)
    asked: list[None] = []

    async def away(*_: object) -> None:
        asked.append(None)
        raise Unavailable

    monkeypatch.setattr(store, "claim", away)
    await until(lambda: len(asked) > 6)  # for longer than its lease was good

    assert len(a.shards) == 4


async def test_one_without_others_takes_all_and_asks_nobody(
    store: SqliteStore, broker_url: str
) -> None:
    bus = RabbitTransport(broker_url, "alone")
    await bus.open()
    alone = Member(store, bus, "")
    await alone.sharing.start()

    assert alone.shards == {0, 1, 2, 3}
    assert await store.holders("") == {}
    await alone.sharing.stop()
    await bus.close()

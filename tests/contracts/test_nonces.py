"""Nonces over every store: so many uses, and no more, whoever asks at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from jobwire.actors.dialects.pipelinejobs import PLUGIN
from jobwire.actors.dialects.pipelinejobs.nonce_record import Level
from jobwire.actors.dialects.pipelinejobs.nonces import NewNonce, Nonces, NonceScope
from jobwire.actors.operations.records import DialectRecords
from jobwire.actors.stores.base import Store
from jobwire.schemas.errors import Forbidden, JobwireError, NotFound, Unauthorized
from jobwire.schemas.principals import Principal
from tests.support.factories import OWNER, STRANGER

_HERE = NonceScope("actor", None)
_ALICE = Principal(OWNER, frozenset({"read", "events", "jobs"}))


class _Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


def _nonces(store: Store, clock: Callable[[], datetime]) -> Nonces:
    return Nonces(DialectRecords(store, PLUGIN.name, PLUGIN.unprefixed_kinds), clock)


async def _make(
    nonces: Nonces, level: Level = "EXECUTE", max_uses: int = -1, ttl_s: float | None = None
) -> NewNonce:
    return await nonces.create(
        _ALICE,
        _HERE,
        tenant="LAB",
        level=level,
        max_uses=max_uses,
        ttl_s=ttl_s,
        description="",
    )


async def _try(nonces: Nonces, text: str, use: str) -> bool:
    try:
        await nonces.redeem(await nonces.find(text), "EXECUTE", use)
    except Forbidden as error:
        return error.code != "nonce_spent"
    return True


async def test_fifty_who_redeem_five_uses_at_once_get_exactly_five(
    store: Store, make_store: Callable[[], Store]
) -> None:
    other = make_store()
    await other.open()
    gateways = [_nonces(store, _Clock()), _nonces(other, _Clock())]
    made = await _make(gateways[0], max_uses=5)

    admitted = await asyncio.gather(
        *(_try(gateways[each % 2], made.text, f"use {each}") for each in range(50))
    )
    again = await asyncio.gather(
        *(_try(gateways[each % 2], made.text, f"use {each}") for each in range(50))
    )
    stored = await gateways[1].get(OWNER, _HERE, made.text)
    await other.close()

    assert admitted.count(True) == 5
    # Who has spent a use repeats its event for nothing; nobody else gets in by that.
    assert again == admitted
    assert (stored.uses, stored.left) == (5, 0)


async def test_uses_without_a_limit_are_counted_too(store: Store) -> None:
    nonces = _nonces(store, _Clock())
    made = await _make(nonces)

    assert all(await asyncio.gather(*(_try(nonces, made.text, str(each)) for each in range(30))))

    stored = await nonces.get(OWNER, _HERE, made.text)
    assert (stored.uses, stored.left) == (30, -1)


async def test_the_store_holds_nothing_that_opens(store: Store) -> None:
    nonces = _nonces(store, _Clock())
    made = await _make(nonces)

    (record,) = await store.select("nonce", None, "", 9)

    assert made.text[-26:].encode() not in record.body
    assert made.text.startswith(made.nonce.name)


async def test_a_refusal_spends_no_use(store: Store) -> None:
    clock = _Clock()
    nonces = _nonces(store, clock)
    reader = await _make(nonces, level="READ", max_uses=1)
    brief = await _make(nonces, max_uses=1, ttl_s=60)

    with pytest.raises(Forbidden, match="READ"):
        await nonces.redeem(reader.nonce, "EXECUTE", "1")
    clock.at += timedelta(seconds=61)
    with pytest.raises(Forbidden, match="expired"):
        await nonces.redeem(brief.nonce, "EXECUTE", "1")

    assert (await nonces.get(OWNER, _HERE, reader.text)).uses == 0
    assert (await nonces.get(OWNER, _HERE, brief.text)).uses == 0


@pytest.mark.parametrize("wrong", ["", "LAB_", "LAB", "{}x", "x{}", "{name}"])
async def test_what_is_no_nonce_opens_nothing(store: Store, wrong: str) -> None:
    nonces = _nonces(store, _Clock())
    made = await _make(nonces)

    with pytest.raises(Unauthorized):
        await nonces.find(wrong.format(made.text, name=made.nonce.name))


async def test_one_that_was_deleted_opens_nothing_any_more(store: Store) -> None:
    nonces = _nonces(store, _Clock())
    made = await _make(nonces)
    found = await nonces.find(made.text)

    await nonces.delete(OWNER, _HERE, made.nonce.name)

    with pytest.raises(Unauthorized):
        await nonces.redeem(found, "READ", "1")
    with pytest.raises(Unauthorized):
        await nonces.find(made.text)


async def test_nonces_are_their_owners_and_of_one_place(store: Store) -> None:
    nonces = _nonces(store, _Clock())
    made = await _make(nonces)

    for owner, place in ((STRANGER, _HERE), (OWNER, NonceScope("actor", "alias"))):
        assert await nonces.all(owner, place) == []
        for verb in (nonces.get, nonces.delete):
            with pytest.raises(NotFound):
                await verb(owner, place, made.text)
    assert [each.handle for each in await nonces.all(OWNER, _HERE)] == [made.nonce.handle]


async def test_those_whose_time_is_over_make_room(store: Store) -> None:
    clock = _Clock()
    nonces = _nonces(store, clock)
    await _make(nonces, ttl_s=60)
    clock.at += timedelta(seconds=61)

    made = await _make(nonces)

    assert [each.handle for each in await nonces.all(OWNER, _HERE)] == [made.nonce.handle]


async def test_a_nonce_opens_no_more_than_its_maker_could(store: Store) -> None:
    nonces = _nonces(store, _Clock())
    reader = Principal(OWNER, frozenset({"jobs"}))

    made = await nonces.create(
        reader, _HERE, tenant="LAB", level="UPDATE", max_uses=1, ttl_s=None, description=""
    )

    assert made.nonce.scopes == {"jobs"}


async def test_a_store_that_is_away_is_told_to_everybody_who_waits(
    make_store: Callable[[], Store],
) -> None:
    store = make_store()
    await store.open()
    nonces = _nonces(store, _Clock())
    made = await _make(nonces, max_uses=5)
    await store.close()

    tried = await asyncio.gather(
        *(nonces.redeem(made.nonce, "EXECUTE", str(each)) for each in range(3)),
        return_exceptions=True,
    )

    assert all(isinstance(each, Exception) for each in tried)
    assert not any(isinstance(each, JobwireError) and each.status < 500 for each in tried)

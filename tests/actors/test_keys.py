"""API keys: made, believed for a while, expired, revoked."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec import Struct

from jobwire.actors.operations.keys import KeyRequest, Keys, require
from jobwire.actors.stores.sqlite import SqliteStore
from jobwire.schemas.errors import Forbidden, NotFound, Unauthorized
from jobwire.schemas.principals import Principal
from tests.support.factories import NOW


class Bench(Struct):
    """Keys, and the clock that they look at."""

    store: Any
    now: datetime = NOW

    def keys(self) -> Keys:
        """Make the keys of one process."""
        return Keys(self.store, lambda: self.now)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


class _Counting:
    """A store that counts look-ups."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.fetched = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def fetch(self, *args: Any) -> Any:
        self.fetched += 1
        return await self._store.fetch(*args)


@pytest.fixture
def bench(store: SqliteStore) -> Bench:
    """Return keys over a store."""
    return Bench(_Counting(store))


def _request(**fields: Any) -> KeyRequest:
    return KeyRequest(**{"principal": "bob", "scopes": ("read", "events"), **fields})


async def test_a_key_admits_its_principal_with_its_scopes(bench: Bench) -> None:
    keys = bench.keys()
    made = await keys.create(_request())

    assert await keys.authenticate(made.text) == Principal("bob", frozenset({"read", "events"}))


async def test_a_key_made_by_one_process_is_known_to_another(bench: Bench) -> None:
    made = await bench.keys().create(_request())

    assert (await bench.keys().authenticate(made.text)).name == "bob"


async def test_the_secret_of_a_key_is_not_stored(bench: Bench) -> None:
    made = await bench.keys().create(_request())

    (record,) = await bench.store.select("api_key", None, "", 9)

    assert made.text.encode() not in record.body
    assert made.text.split("_", 2)[2].encode() not in record.body


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-1] + ("a" if text[-1] != "a" else "b"),
        lambda text: text[:4] + ("z" if text[4] != "z" else "y") + text[5:],
        lambda text: text + "a",
        lambda _: "jwk_",
        lambda _: "",
    ],
    ids=["secret", "id", "longer", "head only", "empty"],
)
async def test_any_other_text_is_refused_and_always_alike(bench: Bench, change: Any) -> None:
    keys = bench.keys()
    made = await keys.create(_request())

    with pytest.raises(Unauthorized) as caught:
        await keys.authenticate(change(made.text))

    assert (caught.value.detail, caught.value.code) == ("the API key is not valid", "wrong_api_key")


async def test_a_key_is_looked_up_once_and_believed_for_five_seconds(bench: Bench) -> None:
    keys = bench.keys()
    made = await keys.create(_request())

    counts = []
    for pause in (0, 0, 4.9, 0.2):
        bench.wait(pause)
        await keys.authenticate(made.text)
        counts.append(bench.store.fetched)

    assert counts == [1, 1, 1, 2]


async def test_a_wrong_key_is_not_believed_from_memory(bench: Bench) -> None:
    keys = bench.keys()
    made = await keys.create(_request())
    await keys.authenticate(made.text)

    with pytest.raises(Unauthorized):
        await keys.authenticate(made.text + "x")


async def test_a_key_expires_to_the_moment_also_from_memory(bench: Bench) -> None:
    keys = bench.keys()
    made = await keys.create(_request(expires_in_s=2.0))

    bench.wait(1.9)
    await keys.authenticate(made.text)
    bench.wait(0.1)

    with pytest.raises(Unauthorized):
        await keys.authenticate(made.text)


async def test_a_revoked_key_admits_nobody_any_more(bench: Bench) -> None:
    keys = bench.keys()
    made, other = await keys.create(_request()), await keys.create(_request())
    for each in (made, other):
        await keys.authenticate(each.text)

    revoked = await keys.revoke(made.key.id)

    assert revoked.revoked == NOW
    with pytest.raises(Unauthorized):
        await keys.authenticate(made.text)
    assert (await keys.authenticate(other.text)).name == "bob"


async def test_another_process_notices_a_revocation_within_five_seconds(bench: Bench) -> None:
    here, there = bench.keys(), bench.keys()
    made = await here.create(_request())
    await there.authenticate(made.text)
    await here.revoke(made.key.id)

    bench.wait(5)

    with pytest.raises(Unauthorized):
        await there.authenticate(made.text)


async def test_revoking_again_keeps_the_first_moment(bench: Bench) -> None:
    keys = bench.keys()
    made = await keys.create(_request())
    first = await keys.revoke(made.key.id)

    bench.wait(60)
    second = await keys.revoke(made.key.id)

    assert first == second


async def test_an_unknown_key_cannot_be_revoked(bench: Bench) -> None:
    with pytest.raises(NotFound):
        await bench.keys().revoke("abcdefghij")


async def test_keys_are_listed_page_by_page(bench: Bench) -> None:
    keys = bench.keys()
    made = sorted([(await keys.create(_request())).key.id for _ in range(5)])

    first = await keys.all("", 3)
    second = await keys.all(first[-1].id, 3)

    assert [key.id for key in first + second] == made


async def test_memory_of_keys_is_bounded(bench: Bench) -> None:
    keys = bench.keys()
    made = await keys.create(_request())
    await keys.authenticate(made.text)

    for number in range(10_000):
        keys._cache[f"key {number}"] = (bench.now, Principal("x", frozenset()))

    assert len(keys._cache) == 10_000
    assert made.text not in keys._cache


def test_a_scope_that_is_missing_is_named() -> None:
    principal = Principal("bob", frozenset({"read"}))

    require(principal, "read")
    with pytest.raises(Forbidden, match="'jobs'"):
        require(principal, "jobs")

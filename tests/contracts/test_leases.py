"""What every store must do for roles that one of several processes holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from jobwire.actors.stores.base import Store
from tests.support.deadlines import until

_LONG_S = 60.0
_SHORT_S = 0.05


async def test_a_role_that_nobody_holds_is_taken(store: Store) -> None:
    assert await store.claim("shard.1", "one", _LONG_S) is not None
    assert await store.holders("shard.") == {"shard.1": "one"}


async def test_a_role_that_is_held_is_not_given_to_another(store: Store) -> None:
    await store.claim("shard.1", "one", _LONG_S)

    assert await store.claim("shard.1", "two", _LONG_S) is None
    assert await store.holders("shard.") == {"shard.1": "one"}


async def test_a_holder_keeps_its_role_and_its_number(store: Store) -> None:
    first = await store.claim("shard.1", "one", _SHORT_S)

    assert await store.claim("shard.1", "one", _LONG_S) == first
    await asyncio.sleep(2 * _SHORT_S)
    assert await store.claim("shard.1", "two", _LONG_S) is None


async def test_a_role_whose_time_is_over_goes_to_another_with_a_larger_number(
    store: Store,
) -> None:
    first = await store.claim("shard.1", "one", _SHORT_S)
    assert first is not None

    async def is_free() -> bool:
        return await store.holders("shard.") == {}

    await until(is_free)
    second = await store.claim("shard.1", "two", _LONG_S)

    assert second is not None
    assert second > first
    assert await store.claim("shard.1", "one", _LONG_S) is None


async def test_a_role_that_is_given_back_is_free_at_once(store: Store) -> None:
    first = await store.claim("shard.1", "one", _LONG_S)
    assert first is not None

    await store.release("shard.1", "one")

    assert await store.holders("shard.") == {}
    second = await store.claim("shard.1", "one", _LONG_S)
    assert second is not None
    assert second > first


async def test_only_its_holder_gives_a_role_back(store: Store) -> None:
    await store.claim("shard.1", "one", _LONG_S)

    await store.release("shard.1", "two")
    await store.release("shard.2", "two")

    assert await store.holders("") == {"shard.1": "one"}


async def test_roles_are_listed_by_the_beginning_of_their_names(store: Store) -> None:
    for role in ("shard.1", "shard.10", "shards", "notifier", "%", "_hard.1"):
        await store.claim(role, f"of {role}", _LONG_S)

    assert set(await store.holders("shard.")) == {"shard.1", "shard.10"}
    assert set(await store.holders("shard.1")) == {"shard.1", "shard.10"}
    assert await store.holders("_") == {"_hard.1": "of _hard.1"}
    assert len(await store.holders("")) == 6


async def test_names_that_look_like_operators_are_only_names(store: Store) -> None:
    first = await store.claim("$role", "$holder", _LONG_S)

    assert await store.holders("$") == {"$role": "$holder"}
    assert await store.claim("$role", "$fence", _LONG_S) is None
    assert await store.claim("$role", "$holder", _LONG_S) == first


async def test_of_many_that_want_a_role_one_gets_it(make_store: Callable[[], Store]) -> None:
    stores = [make_store() for _ in range(3)]
    for each in stores:
        await each.open()

    numbers = await asyncio.gather(
        *(stores[n % 3].claim("role", f"holder {n}", _LONG_S) for n in range(12))
    )
    for each in stores:
        await each.close()

    assert len([number for number in numbers if number is not None]) == 1


async def test_a_role_outlives_a_process_that_ends(make_store: Callable[[], Store]) -> None:
    first = make_store()
    await first.open()
    number = await first.claim("role", "one", _LONG_S)
    await first.close()

    second = make_store()
    await second.open()
    refused = await second.claim("role", "two", _LONG_S)
    kept = await second.claim("role", "one", _LONG_S)
    await second.close()

    assert (refused, kept) == (None, number)

"""Registered tables: numbered, never changed, found by their owner."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from jobwire.actors.lifecycle_registry import LIFECYCLES, LifecycleRegistry, table_key
from jobwire.actors.operations.lifecycles import Lifecycles
from jobwire.actors.stores.base import Record
from jobwire.actors.stores.sqlite import SqliteStore
from jobwire.schemas.errors import Conflict, Invalid, NotFound, TooManyRequests
from jobwire.schemas.lifecycle import EventKind
from jobwire.schemas.lifecycles import EXECUTION, PIPELINE
from jobwire.schemas.principals import Principal
from tests.support.factories import (
    OWNER,
    STRANGER,
    make_create,
    make_creation,
    make_event,
    make_job,
    make_lifecycle,
)

_ALICE = Principal(OWNER, frozenset())
_MALLORY = Principal(STRANGER, frozenset())
_SMALL = make_lifecycle()
_LARGER = make_lifecycle(events={**_SMALL.events, "note": EventKind()})


async def test_a_table_is_registered_as_version_one(store: SqliteStore) -> None:
    registered = await Lifecycles(store, 10).register(_ALICE, replace(_SMALL, version=77))

    assert registered == (_SMALL, True)


async def test_the_same_table_again_is_the_same_version(store: SqliteStore) -> None:
    lifecycles = Lifecycles(store, 10)
    await lifecycles.register(_ALICE, _SMALL)

    assert await lifecycles.register(_ALICE, _SMALL) == (_SMALL, False)


async def test_another_table_of_the_name_is_the_next_version_and_the_first_one_stays(
    store: SqliteStore,
) -> None:
    lifecycles = Lifecycles(store, 10)
    await lifecycles.register(_ALICE, _SMALL)

    second, is_new = await lifecycles.register(_ALICE, _LARGER)
    back, is_new_again = await lifecycles.register(_ALICE, _SMALL)

    assert (second.version, is_new, back.version, is_new_again) == (2, True, 3, True)
    assert await lifecycles.get(_ALICE, "small") == back
    assert await lifecycles.get(_ALICE, "small", 1) == _SMALL
    assert await lifecycles.get(_ALICE, "small", 2) == second


async def test_ten_versions_keep_their_order(store: SqliteStore) -> None:
    lifecycles = Lifecycles(store, 100)
    for number in range(11):
        await lifecycles.register(_ALICE, make_lifecycle(meaning=str(number)))

    assert (await lifecycles.get(_ALICE, "small")).version == 11


@pytest.mark.parametrize("name", ["pipeline", "execution"])
async def test_a_built_in_name_is_taken(store: SqliteStore, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        await Lifecycles(store, 10).register(_ALICE, replace(_SMALL, name=name))

    assert (caught.value.code, caught.value.pointer) == ("reserved_name", "/name")


async def test_a_wrong_table_is_not_registered(store: SqliteStore) -> None:
    lifecycles = Lifecycles(store, 10)

    with pytest.raises(Invalid):
        await lifecycles.register(_ALICE, replace(_SMALL, initial="NONE"))

    assert await lifecycles.newest(OWNER, "small") is None


async def test_an_owner_has_only_so_many_versions(store: SqliteStore) -> None:
    lifecycles = Lifecycles(store, 1)
    await lifecycles.register(_ALICE, _SMALL)

    with pytest.raises(TooManyRequests):
        await lifecycles.register(_ALICE, _LARGER)
    again = await lifecycles.register(_ALICE, _SMALL)
    foreign = await lifecycles.register(_MALLORY, _LARGER)

    assert again == (_SMALL, False)
    assert foreign[1]


async def test_two_registrations_at_once_do_not_share_a_version(store: SqliteStore) -> None:
    class _Raced(SqliteStore):
        async def put(self, kind: str, record: Record, *, fresh: bool = False) -> bool:
            await store.put(kind, Record(record.owner, record.key, b"{}"))
            return await store.put(kind, record, fresh=fresh)

        async def select(
            self, kind: str, owner: str | None, after: str, limit: int
        ) -> list[Record]:
            return await store.select(kind, owner, after, limit)

    raced = _Raced.__new__(_Raced)

    with pytest.raises(Conflict):
        await Lifecycles(raced, 10).register(_ALICE, _SMALL)


async def test_nobody_sees_the_tables_of_another(store: SqliteStore) -> None:
    lifecycles = Lifecycles(store, 10)
    await lifecycles.register(_ALICE, _SMALL)

    assert [each.name for each in await lifecycles.all(_ALICE)] == [
        "pipeline",
        "execution",
        "small",
    ]
    assert [each.name for each in await lifecycles.all(_MALLORY)] == ["pipeline", "execution"]
    with pytest.raises(NotFound):
        await lifecycles.get(_MALLORY, "small")


@pytest.mark.parametrize(("name", "version"), [("none", None), ("small", 2), ("pipeline", 2)])
async def test_what_was_never_registered_is_not_found(
    store: SqliteStore, name: str, version: int | None
) -> None:
    lifecycles = Lifecycles(store, 10)
    await lifecycles.register(_ALICE, _SMALL)

    with pytest.raises(NotFound) as caught:
        await lifecycles.get(_ALICE, name, version)

    assert caught.value.code == "unknown_lifecycle"


async def test_a_list_shows_the_newest_version_of_each_name(store: SqliteStore) -> None:
    lifecycles = Lifecycles(store, 10)
    await lifecycles.register(_ALICE, _SMALL)
    newest, _ = await lifecycles.register(_ALICE, _LARGER)

    assert (await lifecycles.all(_ALICE))[2:] == [newest]


# --- the tables that decisions need ---------------------------------------------------------------


async def _register(store: SqliteStore) -> None:
    for version, lifecycle in enumerate((_SMALL, _LARGER), 1):
        body = msgspec.json.encode(replace(lifecycle, version=version))
        await store.put(LIFECYCLES, Record(OWNER, table_key("small", version), body))


async def test_a_job_keeps_the_version_that_it_was_made_with(store: SqliteStore) -> None:
    await _register(store)
    tables = LifecycleRegistry(store)
    job = make_job(creation=make_creation(lifecycle="small", lifecycle_version=1))

    found = await tables.of(job, make_event("note"))

    assert found == _SMALL


async def test_a_create_names_its_table_unless_the_job_is_there(store: SqliteStore) -> None:
    await _register(store)
    tables = LifecycleRegistry(store)
    create = make_create(creation=make_creation(lifecycle="small", lifecycle_version=2))

    of_none = await tables.of(None, create)
    of_tombstone = await tables.of(make_job(deleted=True), create)
    of_job = await tables.of(make_job(), create)

    assert of_none is not None
    assert (of_none.version, of_tombstone, of_job) == (2, of_none, PIPELINE)


async def test_an_event_of_no_job_has_no_table(store: SqliteStore) -> None:
    assert await LifecycleRegistry(store).of(None, make_event()) is None


async def test_a_table_is_read_once_because_it_never_changes(store: SqliteStore) -> None:
    await _register(store)
    tables = LifecycleRegistry(store)
    first = await tables.get(OWNER, "small", 1)

    await store.drop(LIFECYCLES, OWNER, table_key("small", 1))

    assert await tables.get(OWNER, "small", 1) is first
    assert await tables.get(STRANGER, "small", 1) is None
    assert await tables.get(STRANGER, "execution", 1) is EXECUTION


async def test_memory_of_tables_is_bounded(store: SqliteStore) -> None:
    tables = LifecycleRegistry(store)
    await _register(store)
    for number in range(1_000):
        tables._read["x", str(number)] = _SMALL

    await tables.get(OWNER, "small", 1)

    assert len(tables._read) == 1_000

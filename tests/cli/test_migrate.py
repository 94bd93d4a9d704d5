"""All that one file holds moves to a database, compared, however often the copy is cut short."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import pytest
from msgspec.structs import replace
from pymongo import MongoClient

from jobwire.actors.runtime.folder import DataFolder
from jobwire.actors.stores.base import DeliveryFilter, EventKey, JobFilter, Record, Store
from jobwire.actors.stores.mongodb import MongoStore
from jobwire.actors.stores.sqlite import SqliteStore
from jobwire.schemas.commands import Outstanding
from jobwire.schemas.deliveries import Attempt, Delivery
from jobwire.schemas.errors import Misconfigured
from jobwire.schemas.identifiers import EventId, JobId
from jobwire.schemas.jobs import Change
from tests.cli.console import Console, texts
from tests.support.commits import keep, make_commit
from tests.support.factories import (
    OWNER,
    STRANGER,
    after,
    fold,
    job_id,
    make_creation,
    make_entry,
    make_history,
    make_refusal,
)

_SHARDS = 4
#: Entries of the largest job: several portions of the copy.
_MANY = 2_300
#: What the copy must find in each table.
_ROWS = {"entries": _MANY + 36 + 5, "jobs": 14, "refused": 3, "records": 3, "deliveries": 2}

Result = TypeVar("Result")


def _delivery(number: int, **fields: Any) -> Delivery:
    delivery = Delivery(
        id=f"msg_{number}",
        owner=OWNER,
        job=job_id(1),
        seq=number,
        event="run",
        state="RUNNING",
        subscription="sub_1",
        url="https://example.org/hook",
        endpoint="https://example.org alice",
        body=b'{"a":1}',
        created=after(number),
        status="pending",
        next_at=after(60),
    )
    return replace(delivery, **fields)


async def _fill(store: Store) -> None:
    """Write something of every kind."""
    await keep(store, *make_history(*["update"] * (_MANY - 1)))
    for number in range(2, 14):
        owner = STRANGER if number % 3 == 0 else OWNER
        creation = make_creation(owner=owner, name=f"n {number}", tags=("t",), heartbeat_s=60.0)
        await keep(store, *make_history("run", "update", job=job_id(number), creation=creation))
    job = fold(make_history("run", job=job_id(14)))
    awaited = Change(outstanding=Outstanding(EventId("run-3"), "Submit", 1, after(3)))
    told = make_entry(job=job.id, seq=3, name="run", due=("sub_1",), change=awaited)
    gone = make_entry(job=job.id, seq=4, name="delete", change=Change(deleted=True))
    await keep(store, *make_history("run", job=job.id))
    await keep(store, told, before=[job])
    await keep(store, gone, before=[fold([told], job)])
    born = make_entry(job=job.id, seq=5, change=Change(creation=make_creation(), generation=2))
    await keep(store, born, before=[fold([told, gone], job)])
    refusals = [make_refusal(event=f"e-{n}", owner=o) for n, o in ((1, OWNER), (2, OWNER), (3, ""))]
    await store.commit(make_commit(refusals=refusals))
    await store.mark_replayed(OWNER, EventKey(job_id(1), EventId("e-2")), EventId("again"))
    for record in (Record(OWNER, "a", b"1"), Record(STRANGER, "a", b"2"), Record("", "b", b"")):
        await store.put("kind", record)
    await store.put("service", Record("", "shards", b"1"))
    await store.check()
    ended = replace(
        _delivery(2).after(Attempt(after(9), 0.1, 500, "no")), status="gave_up", next_at=None
    )
    await store.plan_deliveries([_delivery(1), ended], ())
    (watched,) = await store.stale(after(64), 1)
    await store.watch(watched, after(7_777))


async def _contents(store: Store) -> dict[str, Any]:
    """Read all that the contract lets one read."""
    jobs = [job_id(number) for number in range(1, 16)]
    keys = [EventKey(job, EventId("run-2")) for job in jobs]
    view = await store.load(jobs, keys, fold=jobs, known=True)
    found: dict[str, Any] = {
        "view": (dict(view.jobs), {job: list(tail) for job, tail in view.tails.items() if tail}),
        "known": (dict(view.known), dict(view.refused)),
        "outstanding": await store.outstanding(after(9_999_999), None, 99),
        "stale": {job.id: job for job in await store.stale(after(9_999_999), 99)},
        "due": await store.due(99),
        "next": await store.next_delivery(after(0), ()),
        "deliverable": await store.deliverable(after(99), (), 9, 9),
        "records": await store.select("kind", None, "", 99),
    }
    for owner in (OWNER, STRANGER, ""):
        found[owner] = (
            await store.find(owner, JobFilter(), None, 99),
            await store.find(owner, JobFilter(tag="t"), None, 99),
            await store.find(owner, JobFilter(words=("n",), state="CREATED"), None, 99),
            await store.count(owner, 999),
            [await store.history(owner, job, 0, 9_999) for job in jobs],
            [replace(each, position=0) for each in await store.refusals(owner, 0, 99)],
            await store.deliveries(owner, DeliveryFilter(), None, 99),
            await _by_job(store, owner),
        )
    return found


async def _by_job(store: Store, owner: str) -> dict[JobId, list[int]]:
    """Read an owner's stream; return the seqs of each job in the order in which they came."""
    seqs: dict[JobId, list[int]] = {}
    place: tuple[int, ...] = ()
    while True:
        page, end = await store.since(owner, place, 500)
        for each in page:
            seqs.setdefault(each.entry.job, []).append(each.entry.seq)
        if end == place:
            return seqs
        place = end


def _with_store(store: Store, use: Callable[[Store], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        try:
            await store.open()
            return await use(store)
        finally:
            await store.close()

    return asyncio.run(run())


def _sqlite(folder: Path) -> SqliteStore:
    return SqliteStore(folder / "jobwire.db")


@pytest.fixture
def filled(bare: Console) -> Console:
    """Return a shell with a data folder in which there is something of every kind."""
    bare.folder.mkdir()
    DataFolder(bare.folder).secrets()
    _with_store(_sqlite(bare.folder), _fill)
    return bare


def _migrate(console: Console, url: str, **settings: str) -> Any:
    settings = {"JOBWIRE_SHARDS": str(_SHARDS), "JOBWIRE_DATABASE__URL": url} | settings
    return console.run("migrate-store", **settings)


def test_everything_is_there_afterwards(filled: Console, database_url: str) -> None:
    before = _with_store(_sqlite(filled.folder), _contents)

    ran = _migrate(filled, database_url)

    assert ran.code == 0, ran.err
    made = ran.record
    assert {table: copied["rows"] for table, copied in made["tables"].items()} == _ROWS
    assert len({copied["digest"] for copied in made["tables"].values()}) == len(_ROWS)
    assert str(filled.folder / "service-keys") in ran.err
    target = MongoStore(database_url, shards=_SHARDS)
    assert _with_store(target, _contents) == before
    assert _with_store(_sqlite(filled.folder), _contents) == before


def test_the_new_store_goes_on_where_the_old_one_ended(filled: Console, database_url: str) -> None:
    assert _migrate(filled, database_url).code == 0

    async def go_on(store: Store) -> None:
        shards = await store.fetch("service", "", "shards")
        assert shards == Record("", "shards", str(_SHARDS).encode())
        place = await store.newest(OWNER)
        view = await store.load([job_id(1)], [], fold=(), known=False)
        more = make_entry(seq=_MANY + 1, name="update")
        committed = await keep(store, more, before=[view.jobs[job_id(1)]])
        assert (await store.since(OWNER, place, 9))[0] == list(committed.stored)
        await store.commit(make_commit(refusals=[make_refusal(event="new")]))
        refused = await store.refusals(OWNER, 0, 9)
        assert [each.event for each in refused] == ["e-1", "e-2", "new"]

    _with_store(MongoStore(database_url, shards=_SHARDS), go_on)


@pytest.mark.parametrize("portion", [1, 2, 4, 6])
def test_a_copy_that_was_killed_goes_on_when_it_is_run_again(
    filled: Console, database_url: str, portion: int
) -> None:
    before = _with_store(_sqlite(filled.folder), _contents)

    killed = _migrate(filled, database_url, JOBWIRE_FAILPOINTS=f"migrate.after_rows=kill@{portion}")
    target = MongoStore(database_url, shards=_SHARDS)
    with pytest.raises(Misconfigured, match="run it again"):
        _with_store(target, _contents)
    ran = _migrate(filled, database_url)

    assert killed.code < 0
    assert ran.code == 0, ran.err
    assert {table: copied["rows"] for table, copied in ran.record["tables"].items()} == _ROWS
    target = MongoStore(database_url, shards=_SHARDS)
    assert _with_store(target, _contents) == before


def test_a_database_is_filled_once(filled: Console, database_url: str) -> None:
    assert _migrate(filled, database_url).code == 0

    again = _migrate(filled, database_url)

    assert again.code == 1
    assert "was filled before" in texts([again.err])


@pytest.mark.parametrize("collection", ["jobs", "records", "something"])
def test_a_database_that_holds_something_else_is_not_touched(
    filled: Console, database_url: str, collection: str
) -> None:
    client: MongoClient[dict[str, Any]] = MongoClient(database_url)
    with client:
        database = client.get_default_database()
        database[collection].insert_one({"_id": "theirs"})

        ran = _migrate(filled, database_url)

        assert database.list_collection_names() == [collection]
    assert ran.code == 1
    assert f"contains {collection} already" in texts([ran.err])


def _kill_in(console: Console, url: str) -> None:
    killed = _migrate(console, url, JOBWIRE_FAILPOINTS="migrate.after_rows=kill@2")
    assert killed.code < 0


def test_a_copy_is_not_mixed_from_two_data_folders(
    filled: Console, database_url: str, tmp_path: Path
) -> None:
    _kill_in(filled, database_url)
    other = Console(tmp_path / "other")
    _with_store(_sqlite_in(other.folder), _fill)

    ran = _migrate(other, database_url)

    assert ran.code == 1
    assert "from another data folder" in texts([ran.err])


def _sqlite_in(folder: Path) -> SqliteStore:
    folder.mkdir()
    return _sqlite(folder)


def test_a_copy_does_not_go_on_when_a_service_has_run_in_between(
    filled: Console, database_url: str
) -> None:
    _kill_in(filled, database_url)

    async def write(store: Store) -> None:
        await keep(store, *make_history(job=job_id(99)))

    _with_store(_sqlite(filled.folder), write)
    ran = _migrate(filled, database_url)

    assert ran.code == 1
    assert "start again" in texts([ran.err])


def test_a_copy_goes_on_with_the_same_number_of_shards_only(
    filled: Console, database_url: str
) -> None:
    _kill_in(filled, database_url)

    ran = _migrate(filled, database_url, JOBWIRE_SHARDS="8")

    assert ran.code == 1
    assert "shards = 4" in texts([ran.err])


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE jobs SET watch_at = 1 WHERE id = (SELECT id FROM jobs LIMIT 1)",
        "UPDATE entries SET digest = x'00' WHERE position = 7",
    ],
)
def test_what_was_changed_behind_the_copy_is_found_by_comparing(
    filled: Console, database_url: str, change: str
) -> None:
    # Killed in the records: entries and jobs are there, and are not copied again.
    killed = _migrate(filled, database_url, JOBWIRE_FAILPOINTS="migrate.after_rows=kill@6")
    with closing(sqlite3.connect(filled.folder / "jobwire.db")) as connection:
        connection.execute(change)
        connection.commit()

    ran = _migrate(filled, database_url)

    assert killed.code < 0
    assert ran.code == 1
    assert "is not what was copied" in texts([ran.err])
    with pytest.raises(Misconfigured):
        _with_store(MongoStore(database_url, shards=_SHARDS), _contents)


def test_nothing_is_copied_while_a_service_runs(bare: Console, database_url: str) -> None:
    bare.up()

    ran = _migrate(bare, database_url)

    assert ran.code == 1
    assert "already running" in texts([ran.err])


def test_what_is_missing_is_said(bare: Console, database_url: str) -> None:
    empty = _migrate(bare, database_url)
    _with_store(_sqlite_in(bare.folder), _fill)
    unnamed = bare.run("migrate-store")

    assert (empty.code, unnamed.code) == (1, 1)
    assert "no data" in texts([empty.err])
    assert "--to" in texts([unnamed.err])


def test_people_see_what_was_copied(filled: Console, database_url: str) -> None:
    shown = filled.look("migrate-store", "--to", database_url, columns=100)

    assert shown.code == 0, shown.out
    assert "copied and compared" in shown.out
    assert f"{_MANY + 41:,} entries" in shown.out
    assert "sha-256" in shown.out


def test_a_password_is_not_repeated(filled: Console) -> None:
    ran = filled.run("migrate-store", "--to", "mongodb://me:hush:hush@127.0.0.1:1/db")

    assert ran.code == 1
    assert "hush" not in ran.err

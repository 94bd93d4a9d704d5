"""What is peculiar to the store in one file."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct

from jobwire.actors.stores.base import JobFilter, Record
from jobwire.actors.stores.rows import job_id, job_key, microseconds, words
from jobwire.actors.stores.sqlite import SqliteStore
from jobwire.actors.stores.sqlite.schema import UPGRADES, VERSION
from jobwire.actors.stores.sqlite.threads import connect
from jobwire.schemas.errors import Misconfigured, Unavailable
from tests.support.commits import keep, make_commit
from tests.support.deadlines import PATIENCE_S
from tests.support.factories import (
    NOW,
    OWNER,
    after,
    make_creation,
    make_entry,
    make_history,
    make_job,
)
from tests.support.factories import job_id as numbered


async def test_a_full_database_refuses_writes_and_still_reads(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "small.db", max_bytes=400_000)
    await store.open()
    stored = 0

    async def fill() -> None:
        nonlocal stored
        for number in range(1, 1_000):
            await keep(store, make_entry(job=numbered(number), data=b'"' + b"x" * 20_000 + b'"'))
            stored += 1

    with pytest.raises(Unavailable) as caught:
        await fill()

    found = await store.find(OWNER, JobFilter(), None, 1_000)
    assert len(found) == stored > 0
    assert caught.value.code == "store_unavailable"
    assert len(await store.history(OWNER, numbered(1), 0, 9)) == 1
    await store.close()


async def test_a_database_of_a_newer_release_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    store = SqliteStore(path)

    with pytest.raises(Misconfigured, match="start the newer release"):
        await store.open()

    await store.close()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("this is no database, and long enough to be told from an empty one" * 20)
    store = SqliteStore(path)

    with pytest.raises(Unavailable):
        await store.open()

    await store.close()


async def test_a_commit_that_returned_is_on_disk(store: SqliteStore, tmp_path: Path) -> None:
    await keep(store, *make_history("run"))

    other = sqlite3.connect(tmp_path / "jobwire.db")
    (mode,) = other.execute("PRAGMA journal_mode").fetchone()
    (count,) = other.execute("SELECT count(*) FROM entries").fetchone()
    other.close()

    assert (mode, count) == ("wal", 2)


async def test_a_connection_that_writes_waits_for_the_disk(tmp_path: Path) -> None:
    connection = connect(tmp_path / "jobwire.db")

    (level,) = connection.execute("PRAGMA synchronous").fetchone()
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    connection.close()

    full = 2
    assert (level, mode) == (full, "wal")


async def test_two_entries_of_one_batch_that_clash_are_a_mistake_of_the_plan(
    store: SqliteStore,
) -> None:
    entry = make_entry()

    with pytest.raises(ValueError, match="same id or seq"):
        await store.commit(make_commit([entry, entry], jobs=[]))

    assert await store.newest(OWNER) == ()


async def test_writers_and_readers_do_not_wait_for_each_other(store: SqliteStore) -> None:
    await store.put("kind", Record(OWNER, "k", b"1"))

    async with asyncio.timeout(PATIENCE_S):
        results = await asyncio.gather(
            *(store.put("kind", Record(OWNER, f"k{n}", b"")) for n in range(20)),
            *(store.fetch("kind", OWNER, "k") for _ in range(20)),
            *(store.check() for _ in range(5)),
        )

    assert results.count(Record(OWNER, "k", b"1")) == 20


def test_a_job_id_is_kept_in_sixteen_bytes() -> None:
    assert len(job_key(numbered(5))) == 16
    assert job_id(job_key(numbered(5))) == numbered(5)


def test_moments_are_kept_to_the_microsecond() -> None:
    assert microseconds(after(0.000001)) - microseconds(NOW) == 1
    assert microseconds(NOW) == 1_772_366_400_000_000


def test_words_are_what_can_be_looked_up() -> None:
    assert words("Align-reads v2_final", None, "ALIGN \u00dcber") == [
        "align",
        "reads",
        "v2_final",
        "\u00fcber",
    ]
    assert len(words(" ".join(f"w{n}" for n in range(100)))) == 64


#: What the first release wrote of each.
_FIELDS_OF_JOBS, _FIELDS_OF_ENTRIES = 26, 15


def _shortened(record: Struct, fields: int) -> bytes:
    written = msgspec.msgpack.decode(msgspec.msgpack.encode(record))
    return msgspec.msgpack.encode(written[:fields])


async def test_owners_share_one_order(store: SqliteStore) -> None:
    await keep(store, *make_history("run"))

    committed = await keep(
        store, *make_history(job=numbered(2), creation=make_creation(owner="mallory"))
    )

    assert [(each.lane, each.position) for each in committed.stored] == [(0, 3)]
    assert await store.newest(OWNER) == (3,)


async def test_a_job_that_ended_before_its_end_was_noted_is_kept_from_the_upgrade_on(
    tmp_path: Path,
) -> None:
    file = tmp_path / "jobwire.db"
    job = make_job(outcome="success", state="FINISHED")
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(f"{UPGRADES[0]}{UPGRADES[1]} PRAGMA user_version = 2;")
        connection.execute(
            "INSERT INTO jobs VALUES (?, ?, 0, NULL, ?, ?, 'success', 0, NULL, NULL, 1, ?)",
            (job_key(job.id), job.owner, job.lifecycle, job.state, msgspec.msgpack.encode(job)),
        )
        connection.commit()
    before = datetime.now(UTC)

    store = SqliteStore(file)
    await store.open()
    kept = await store.forget(before - timedelta(seconds=2), 9)
    removed = await store.forget(before + timedelta(minutes=1), 9)
    await store.close()

    assert (kept, removed) == (0, 1)


async def test_much_that_is_to_be_removed_is_removed_in_several_turns(store: SqliteStore) -> None:
    for number in (1, 2, 3):
        entries = make_history(*["update"] * 9_998, job=numbered(number))
        end = make_entry(
            job=numbered(number), seq=10_000, name="finish", state="FINISHED", outcome="success"
        )
        await keep(store, *entries, end)

    turns = [await store.forget(after(99_999), 9) for _ in range(3)]

    assert turns == [2, 1, 0]


async def test_a_database_of_the_first_release_is_brought_up_to_date(tmp_path: Path) -> None:
    file = tmp_path / "jobwire.db"
    job, entry = make_job(), make_entry()
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(f"{UPGRADES[0]} PRAGMA user_version = 1;")
        # As that release wrote them: without the fields that came later.
        older = _shortened(job, _FIELDS_OF_JOBS)
        connection.execute(
            "INSERT INTO jobs VALUES (?, ?, 0, NULL, ?, ?, NULL, 0, NULL, NULL, 1, ?)",
            (job_key(job.id), job.owner, job.lifecycle, job.state, older),
        )
        written = _shortened(entry, _FIELDS_OF_ENTRIES)
        connection.execute(
            "INSERT INTO entries VALUES (1, ?, 1, ?, ?, ?, ?)",
            (job_key(entry.job), entry.id, entry.owner, entry.digest, written),
        )
        connection.commit()

    store = SqliteStore(file)
    await store.open()
    found = await store.get(job.owner, job.id)
    history = await store.history(entry.owner, entry.job, 0, 9)
    due = await store.due(9)
    await store.close()

    assert (found, history, due) == (job, [entry], [])

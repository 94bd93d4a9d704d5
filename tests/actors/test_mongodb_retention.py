"""What a late event does while the store in MongoDB forgets old jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from jobwire.actors.stores.mongodb import MongoStore, retention
from jobwire.schemas.jobs import Entry
from tests.support.commits import keep
from tests.support.factories import OWNER, after, fold, job_id, make_entry, make_history

pytestmark = pytest.mark.servers


@pytest.fixture
async def stores(database_url: str) -> AsyncIterator[tuple[MongoStore, MongoStore]]:
    """Yield the stores of two processes, over the same data of one lane."""
    pair = MongoStore(database_url, shards=1), MongoStore(database_url, shards=1)
    for store in pair:
        await store.open()
    yield pair
    for store in pair:
        await store.close()


def _ended(number: int) -> list[Entry]:
    return [
        *make_history(job=job_id(number)),
        _entry(number, 2, "finish", state="FINISHED", outcome="success"),
    ]


def _entry(number: int, seq: int, name: str, **fields: Any) -> Entry:
    return make_entry(
        job=job_id(number), seq=seq, name=name, received=after(number + seq), **fields
    )


async def test_a_late_event_between_two_pages_keeps_its_position_for_itself(
    stores: tuple[MongoStore, MongoStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    forgets, writes = stores
    monkeypatch.setattr(retention, "_PAGE", 1)
    histories = [_ended(1), _ended(2)]
    for history in histories:
        await keep(writes, *history)
    late = _entry(2, 3, "update", state="FINISHED", outcome="success")
    remove, lanes = retention._remove, list[object]()

    async def remove_and_be_late(*args: Any) -> bool:
        removed = await remove(*args)
        if not lanes:
            await keep(writes, late, before=[fold(histories[1])])
            lanes.append(await writes.newest(OWNER))
        return removed

    monkeypatch.setattr(retention, "_remove", remove_and_be_late)
    forgotten = await forgets.forget(after(99), 9)

    await keep(forgets, *make_history(job=job_id(3)))

    assert forgotten == 2
    assert lanes == [(5,)]
    assert await forgets.newest(OWNER) == (6,)

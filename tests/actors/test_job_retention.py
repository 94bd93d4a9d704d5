"""Jobs are forgotten some time after their end, if that is wished."""

from __future__ import annotations

from datetime import datetime

import pytest
from msgspec.structs import replace

from jobwire.actors.state_manager import job_retention
from jobwire.actors.state_manager.job_retention import JobRetention
from jobwire.actors.stores.sqlite import SqliteStore
from jobwire.schemas.errors import Unavailable
from tests.support.commits import make_commit
from tests.support.deadlines import until
from tests.support.factories import OWNER, after, job_id, make_history


async def _store_job(store: SqliteStore, number: int, *, ended: bool) -> None:
    *before, last = make_history("run", "finish", job=job_id(number))
    if ended:
        last = replace(last, state="FINISHED", outcome="success")
    await store.commit(make_commit([*before, last]))


async def _kept(store: SqliteStore) -> set[str]:
    kept = [job_id(number) for number in (1, 2) if await store.get(OWNER, job_id(number))]
    return set(kept)


@pytest.mark.parametrize(("keep_s", "forgotten"), [(1_000.0, 0), (10.0, 1)])
async def test_what_ended_long_enough_ago_is_forgotten(
    store: SqliteStore, keep_s: float, forgotten: int
) -> None:
    await _store_job(store, 1, ended=True)
    await _store_job(store, 2, ended=False)

    count = await JobRetention(store, keep_s, lambda: after(900)).forget()

    assert count == forgotten
    assert await _kept(store) == {job_id(1), job_id(2)} - ({job_id(1)} if forgotten else set())


async def test_it_looks_by_itself_and_outlives_a_store_that_is_away(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_retention, "_LOOK_S", 0.01)
    await _store_job(store, 1, ended=True)
    forget, looks = store.forget, list[int]()

    async def away_once(before: datetime, limit: int) -> int:
        looks.append(1)
        if len(looks) == 1:
            raise Unavailable
        return await forget(before, limit)

    monkeypatch.setattr(store, "forget", away_once)
    running = JobRetention(store, 10.0, lambda: after(900))
    await running.start()
    await until(lambda: len(looks) > 2)
    missing = running.not_ready()
    await running.stop()

    assert missing is None
    assert await _kept(store) == set()


async def test_without_a_time_everything_is_kept(store: SqliteStore) -> None:
    await _store_job(store, 1, ended=True)
    idle = JobRetention(store, 0, lambda: after(10**9))
    await idle.start()
    await idle.stop()

    assert await _kept(store) == {job_id(1)}

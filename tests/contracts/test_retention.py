"""What every store must do with jobs that ended long ago."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from jobwire.actors.stores.base import EventKey, JobFilter, Store
from jobwire.schemas.commands import Outstanding
from jobwire.schemas.deliveries import Attempt, Delivery
from jobwire.schemas.identifiers import EventId
from jobwire.schemas.jobs import Change, Entry, Job
from tests.support.commits import keep, make_commit
from tests.support.factories import (
    NOW,
    OWNER,
    after,
    fold,
    job_id,
    make_creation,
    make_entry,
    make_history,
)


async def _keep_ended(store: Store, number: int, at: float = 2, **fields: Any) -> list[Entry]:
    """Keep a job that ended so many seconds after the beginning."""
    entries = [
        *make_history(job=job_id(number), creation=make_creation(tags=("t",), name="word")),
        make_entry(
            job=job_id(number),
            seq=2,
            name="finish",
            received=after(at),
            **{"state": "FINISHED", "outcome": "success", **fields},
        ),
    ]
    await keep(store, *entries)
    return entries


async def _found(store: Store) -> set[str]:
    return {job.id for job in await store.find(OWNER, JobFilter(), None, 99)}


async def test_a_job_that_ended_before_a_moment_is_gone_as_a_whole(store: Store) -> None:
    entries = await _keep_ended(store, 1)
    keys = [EventKey(entry.job, entry.id) for entry in entries]

    assert await store.forget(after(3), 9) == 1

    assert await store.get(OWNER, job_id(1)) is None
    assert await store.history(OWNER, job_id(1), 0, 9) == []
    assert (await store.since(OWNER, (), 9))[0] == []
    for which in (JobFilter(), JobFilter(tag="t"), JobFilter(words=("word",))):
        assert await store.find(OWNER, which, None, 9) == []
    assert await store.count(OWNER, 99) == []
    view = await store.load([job_id(1)], keys, fold=[job_id(1)], known=True)
    assert (dict(view.jobs), dict(view.known)) == ({}, {})
    assert not any(view.tails.values())


async def test_a_job_that_ended_later_or_not_at_all_stays(store: Store) -> None:
    await _keep_ended(store, 1, at=10)
    await keep(store, *make_history("run", job=job_id(2)))

    assert await store.forget(after(10), 9) == 0
    assert await _found(store) == {job_id(1), job_id(2)}
    assert len(await store.history(OWNER, job_id(1), 0, 9)) == 2


async def test_what_comes_after_the_end_does_not_put_it_off(store: Store) -> None:
    entries = await _keep_ended(store, 1)
    late = make_entry(
        seq=3,
        name="update",
        state="FINISHED",
        outcome="success",
        applied=False,
        received=after(100),
    )
    await store.commit(make_commit([late], before=[fold(entries)], moved=()))

    assert await store.forget(after(50), 9) == 1


async def test_a_tombstone_goes_too(store: Store) -> None:
    entries = make_history("run")
    await keep(store, *entries)
    gone = make_entry(seq=3, name="delete", change=Change(deleted=True), received=after(3))
    await keep(store, gone, before=[fold(entries)])

    kept, removed = await store.forget(after(3), 9), await store.forget(after(4), 9)

    assert (kept, removed) == (0, 1)
    view = await store.load([job_id(1)], [EventKey(gone.job, gone.id)], fold=(), known=True)
    assert (dict(view.jobs), dict(view.known)) == ({}, {})


async def test_the_oldest_go_first_in_portions(store: Store) -> None:
    for number, at in ((1, 30), (2, 10), (3, 20), (4, 40)):
        await _keep_ended(store, number, at=at)

    assert await store.forget(after(99), 2) == 2
    assert await _found(store) == {job_id(1), job_id(4)}
    assert await store.forget(after(99), 2) == 2
    assert await store.forget(after(99), 2) == 0


async def test_many_that_ended_in_the_same_moment_all_go(store: Store) -> None:
    for number in range(1, 251):
        await _keep_ended(store, number)
    waiting = [_delivery(number) for number in range(1, 221)]
    await store.plan_deliveries(waiting, ())

    assert await store.forget(after(99), 1_000) == 30
    assert len(await store.find(OWNER, JobFilter(), None, 999)) == 220


async def test_a_job_that_awaits_a_command_stays_until_it_is_answered(store: Store) -> None:
    awaited = Outstanding(EventId("finish-2"), "CleanUp", 1, after(2))
    entries = await _keep_ended(store, 1, change=Change(outstanding=awaited))

    assert await store.forget(after(99), 9) == 0

    answered = make_entry(
        seq=3,
        name="cleaned",
        state="FINISHED",
        outcome="success",
        change=Change(outstanding=None),
        received=after(3),
    )
    await keep(store, answered, before=[fold(entries)])
    assert await store.forget(after(99), 9) == 1


async def test_a_job_of_which_somebody_must_be_told_stays_until_that_is_done(
    store: Store,
) -> None:
    entries = await _keep_ended(store, 1, due=("sub_1",))
    await _keep_ended(store, 2, at=50)

    assert await store.forget(after(99), 1) == 1
    assert await _found(store) == {job_id(1)}

    delivery = _delivery(1)
    await store.plan_deliveries([delivery], [EventKey(entries[1].job, entries[1].id)])
    assert await store.forget(after(99), 9) == 0
    ended = replace(
        delivery.after(Attempt(after(60), 0.1, 200, None)), status="delivered", next_at=None
    )
    await store.save_deliveries([ended])
    assert await store.forget(after(99), 9) == 1
    assert await store.delivery(OWNER, delivery.id) == ended


def _delivery(number: int) -> Delivery:
    return Delivery(
        id=f"msg_{number}",
        owner=OWNER,
        job=job_id(number),
        seq=2,
        event="finish",
        state="FINISHED",
        subscription="sub_1",
        url="https://example.org/hook",
        endpoint="https://example.org alice",
        body=b"{}",
        created=NOW,
        status="pending",
        next_at=NOW,
    )


async def test_a_job_that_lives_again_stays(store: Store) -> None:
    entries = make_history("run")
    gone = make_entry(seq=3, name="delete", change=Change(deleted=True))
    await keep(store, *entries)
    tombstone = fold([gone], fold(entries))
    await keep(store, gone, before=[fold(entries)])
    born = make_entry(
        seq=4,
        name="create",
        change=Change(creation=make_creation(), generation=2),
        received=after(9),
    )
    await keep(store, born, before=[tombstone])

    assert await store.forget(after(99), 9) == 0
    assert await store.get(OWNER, job_id(1)) == fold([born], tombstone)


async def test_the_order_goes_on_behind_what_was_removed(store: Store) -> None:
    await _keep_ended(store, 1)
    place = await store.newest(OWNER)
    await store.forget(after(99), 9)

    committed = await keep(store, *make_history(job=job_id(1)))
    page, _ = await store.since(OWNER, place, 9)

    assert page == list(committed.stored)


async def test_an_entry_of_a_writer_that_knew_the_job_does_not_bring_it_back(
    store: Store,
) -> None:
    entries = await _keep_ended(store, 1)
    known: Job = fold(entries)
    await store.forget(after(99), 9)
    late = make_entry(seq=3, name="update", state="FINISHED", outcome="success", applied=False)

    await store.commit(make_commit([late], before=[known], moved=()))

    view = await store.load([job_id(1)], [], fold=(), known=False)
    assert dict(view.jobs) == {}
    assert not view.tails.get(job_id(1))
    reborn = make_history("run", "finish")
    await keep(store, *reborn)
    assert await store.history(OWNER, job_id(1), 0, 9) == reborn


@pytest.mark.parametrize("limit", [1, 5])
async def test_nothing_is_removed_from_an_empty_store(store: Store, limit: int) -> None:
    assert await store.forget(after(99), limit) == 0

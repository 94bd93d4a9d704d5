"""What every store must do: the writing verbs, and what callers and the reaper read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from jobwire.actors.stores.base import (
    Commit,
    Count,
    EventKey,
    JobFilter,
    KnownEvent,
    Place,
    Positioned,
    Record,
    Store,
    is_after,
    moved_to,
)
from jobwire.schemas.commands import Outstanding
from jobwire.schemas.identifiers import EventId, JobId
from jobwire.schemas.jobs import Change, Entry, Job
from jobwire.schemas.outcomes import Reason
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

_JOB = job_id()
_OTHER = job_id(2)


def _key(entry: Entry) -> EventKey:
    return EventKey(entry.job, entry.id)


async def _history(store: Store, number: int = 1, owner: str = OWNER) -> list[Entry]:
    return await store.history(owner, job_id(number), 0, 1000)


async def _delete(store: Store, *names: str, number: int = 1) -> Job:
    """Keep a job and delete it; return its tombstone."""
    entries = make_history(*names, job=job_id(number))
    await keep(store, *entries)
    job = fold(entries)
    gone = make_entry(
        job=job.id,
        seq=job.seq + 1,
        name="delete",
        change=Change(deleted=True, outstanding=None),
    )
    await keep(store, gone, before=[job])
    return fold([gone], job)


# --- commit ---------------------------------------------------------------------------------------


async def test_a_commit_stores_its_entries_and_its_jobs(store: Store) -> None:
    entries = make_history("run", "update")

    committed = await store.commit(make_commit(entries))

    assert [each.entry for each in committed.stored] == entries
    assert committed.conflict is None
    assert await _history(store) == entries
    assert await store.get(OWNER, _JOB) == fold(entries)
    assert await store.newest(OWNER) == _behind((), committed.stored)


async def test_an_empty_commit_changes_nothing(store: Store) -> None:
    committed = await store.commit(make_commit())

    assert (list(committed.stored), committed.conflict) == ([], None)
    assert (await store.since(OWNER, (), 9))[0] == []


async def test_entries_are_read_where_their_commit_said_that_they_stand(store: Store) -> None:
    first = await keep(store, *make_history("run"))
    second = await keep(store, *make_history("run", "update", job=_OTHER))

    page, end = await store.since(OWNER, (), 100)

    assert _by_job(page) == _by_job([*first.stored, *second.stored])
    assert end == await store.newest(OWNER)


async def test_the_entries_of_a_commit_stand_directly_behind_each_other(store: Store) -> None:
    await keep(store, *make_history("run"))

    committed = await keep(store, *make_history("run", "update", job=_OTHER))

    (lane,) = {each.lane for each in committed.stored}
    first = committed.stored[0].position
    assert [each.position for each in committed.stored] == [first, first + 1, first + 2]
    assert lane >= 0


async def test_positions_without_gaps_are_counted_by_owner_and_lane(store: Store) -> None:
    await keep(store, *make_history("run", creation=make_creation(owner=STRANGER)))

    committed = await keep(store, *make_history("run", job=_OTHER))

    if store.is_gapless:
        assert [each.position for each in committed.stored] == [1, 2]
    else:
        assert committed.stored[0].position > 1


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 1000])
async def test_a_commit_of_any_size_is_stored_in_its_order(store: Store, size: int) -> None:
    entries = make_history(*["update"] * (size - 1))

    committed = await store.commit(make_commit(entries))

    assert len(committed.stored) == size
    assert [entry.seq for entry in await _history(store)] == list(range(1, size + 1))


async def _assert_conflict(store: Store, clash: list[Entry], culprit: Entry) -> None:
    """Commit what clashes; what is said to be stored, and only that, must be there."""
    before = await _history(store), await store.get(OWNER, _JOB)

    committed = await store.commit(make_commit(clash, jobs=[]))

    assert committed.conflict == _key(culprit)
    assert await _history(store) == [
        *before[0],
        *(each.entry for each in committed.stored if each.entry.job == _JOB),
    ]
    assert [each.entry for each in committed.stored] == clash[: len(committed.stored)]
    assert culprit not in clash[: len(committed.stored)]
    assert await store.get(OWNER, _JOB) == before[1]


async def test_an_id_that_is_taken_is_a_conflict(store: Store) -> None:
    entries = make_history("run")
    await keep(store, *entries)

    again = make_entry(seq=3, name="update", id=entries[1].id)

    await _assert_conflict(store, [again], again)


async def test_a_seq_that_is_taken_is_a_conflict(store: Store) -> None:
    await keep(store, *make_history("run"))

    stale = make_entry(seq=2, name="update")

    await _assert_conflict(store, [stale], stale)


async def test_the_first_of_several_conflicts_is_named(store: Store) -> None:
    await keep(store, *make_history("run", "update"))
    fine = make_entry(seq=4, name="fine")
    first, second = make_entry(seq=2, name="a"), make_entry(seq=3, name="b")

    await _assert_conflict(store, [fine, first, second], first)


async def test_a_store_goes_on_after_a_conflict(store: Store) -> None:
    entries = make_history("run")
    await keep(store, *entries)
    await _assert_conflict(store, [stale := make_entry(seq=2, name="update")], stale)

    later = make_entry(seq=3, name="update")
    await keep(store, later, before=[fold(entries)])

    assert await _history(store) == [*entries, later]


async def test_the_same_id_and_seq_in_two_jobs_is_no_conflict(store: Store) -> None:
    await keep(store, *make_history("run"))

    await keep(store, *make_history("run", job=_OTHER))

    assert len(await _history(store, 2)) == 2


async def test_a_projection_is_never_written_over_a_newer_one(store: Store) -> None:
    entries = make_history("run", "update")
    await keep(store, *entries)
    older = replace(fold(entries[:2]), state="RUNNING", name="older")

    for created, moved in (((), ()), ((), (_JOB,)), ((_JOB,), (_JOB,)), ((_JOB,), ())):
        await store.commit(make_commit(jobs=[older], created=created, moved=moved))

    assert await store.get(OWNER, _JOB) == fold(entries)
    assert [job.seq for job in await store.find(OWNER, JobFilter(), None, 9)] == [3]


async def test_a_projection_is_not_written_over_an_equal_one(store: Store) -> None:
    entries = make_history("run")
    await keep(store, *entries)

    await store.commit(make_commit(jobs=[replace(fold(entries), name="other")]))

    assert await store.get(OWNER, _JOB) == fold(entries)


async def test_a_projection_is_inserted_only_where_that_was_said(store: Store) -> None:
    job = fold(make_history("run"))

    await store.commit(make_commit(jobs=[job], created=(), moved=(_JOB,)))
    absent = await store.get(OWNER, _JOB)
    await store.commit(make_commit(jobs=[job], created=(_JOB,), moved=(_JOB,)))

    assert absent is None
    assert await store.get(OWNER, _JOB) == job


async def test_a_job_that_has_not_moved_still_counts_on(store: Store) -> None:
    entries = make_history()
    await keep(store, *entries)
    update = make_entry(seq=2, name="update", received=after(9))

    await store.commit(make_commit([update], before=[fold(entries)], moved=()))

    job = await store.get(OWNER, _JOB)
    assert job == fold([*entries, update])
    assert await store.find(OWNER, JobFilter(state="CREATED"), None, 9) == [job]


async def test_a_job_that_moved_is_found_where_it_went(store: Store) -> None:
    creation = make_creation(tags=("nightly",), name="align reads", parent=job_id(7))
    entries = make_history(creation=creation)
    await keep(store, *entries)
    run = make_entry(seq=2, name="run", state="RUNNING", outcome="success")

    await keep(store, run, before=[fold(entries)])

    for which in (
        JobFilter(),
        JobFilter(tag="nightly"),
        JobFilter(words=("align",)),
        JobFilter(parent=job_id(7)),
    ):
        found = [
            await store.find(OWNER, replace(which, state=state), None, 9)
            for state in ("CREATED", "RUNNING")
        ]
        assert [len(jobs) for jobs in found] == [0, 1]
    assert await store.count(OWNER, 99) == [Count("pipeline", "RUNNING", "success", 1)]


# --- load -----------------------------------------------------------------------------------------


async def test_a_load_returns_jobs_and_nothing_that_was_not_asked_for(store: Store) -> None:
    entries = make_history("run")
    await keep(store, *entries, *make_history(job=_OTHER))

    view = await store.load([_JOB], [_key(entries[1])], fold=(), known=False)

    assert dict(view.jobs) == {_JOB: fold(entries)}
    assert dict(view.known) == {}
    assert dict(view.refused) == {}
    assert not any(view.tails.values())


async def test_a_load_tells_which_ids_are_known_when_asked(store: Store) -> None:
    entries = make_history("run")
    await keep(store, *entries)
    fresh = EventKey(_JOB, EventId("fresh"))

    view = await store.load([_JOB], [_key(entries[1]), fresh], fold=(), known=True)

    assert dict(view.known) == {_key(entries[1]): KnownEvent(2, entries[1].digest, entries[1])}


async def test_a_load_always_tells_which_ids_are_refused(store: Store) -> None:
    refusal = make_refusal(owner="")
    await store.commit(make_commit(refusals=[refusal]))
    key = EventKey(_JOB, refusal.event)

    view = await store.load([_JOB], [key, EventKey(_OTHER, key.event)], fold=(), known=False)

    assert list(view.refused) == [key]
    assert [each.digest for each in view.refused[key]] == [refusal.digest]


async def test_one_id_can_be_refused_to_several_owners(store: Store) -> None:
    await keep(store, *make_history("run"))
    refusals = [make_refusal(owner=owner, data=owner.encode()) for owner in (STRANGER, OWNER)]
    await store.commit(make_commit(refusals=refusals))
    key = EventKey(_JOB, refusals[0].event)

    view = await store.load([_JOB], [key], fold=(), known=False)

    assert {refusal.owner for refusal in view.refused[key]} == {OWNER, STRANGER}
    for owner in (STRANGER, OWNER):
        kept = await store.refusal(owner, key)
        assert kept is not None
        assert kept.data == owner.encode()


async def test_entries_without_a_projection_come_with_the_job_that_is_not_there(
    store: Store,
) -> None:
    entries = make_history("run")
    await store.commit(make_commit(entries, jobs=[]))

    view = await store.load([_JOB, _OTHER], [], fold=(), known=False)

    assert dict(view.jobs) == {}
    assert list(view.tails[_JOB]) == entries
    assert not view.tails.get(_OTHER)


async def test_entries_after_the_projection_come_when_the_fold_is_asked_for(store: Store) -> None:
    entries = make_history("run", "update", "finish")
    await store.commit(make_commit(entries, jobs=[fold(entries[:2])]))

    plain = await store.load([_JOB], [], fold=(), known=False)
    folded = await store.load([_JOB], [], fold=[_JOB], known=False)

    assert not plain.tails.get(_JOB)
    assert list(folded.tails[_JOB]) == entries[2:]
    assert folded.jobs[_JOB].seq == 2


async def test_a_load_of_many_events_misses_none(store: Store) -> None:
    entries = make_history(*["update"] * 299)
    await keep(store, *entries)
    refusals = [make_refusal(event=f"r-{number}") for number in range(300)]
    await store.commit(make_commit(refusals=refusals))
    keys = [_key(entry) for entry in entries]
    refused = [EventKey(_JOB, refusal.event) for refusal in refusals]

    view = await store.load([_JOB], [*keys, *refused], fold=(), known=True)

    assert set(view.known) == set(keys)
    assert set(view.refused) == set(refused)


# --- refusals -------------------------------------------------------------------------------------


async def test_a_refusal_is_kept_once_and_its_first_copy_stands(store: Store) -> None:
    first = make_refusal(reason=Reason.DELETED)
    await store.commit(make_commit(refusals=[first]))

    await store.commit(make_commit(refusals=[replace(first, reason=Reason.FORGED)]))

    (kept,) = await store.refusals(OWNER, 0, 9)
    assert kept.reason == Reason.DELETED
    assert replace(kept, position=0) == first


async def test_of_two_refusals_of_one_event_in_a_commit_the_first_stands(store: Store) -> None:
    first = make_refusal(reason=Reason.DELETED)
    other = make_refusal(event="other")

    await store.commit(make_commit(refusals=[first, replace(first, reason=Reason.FORGED), other]))

    kept = await store.refusals(OWNER, 0, 9)
    assert [each.reason for each in kept] == [Reason.DELETED, other.reason]


async def test_refusals_come_oldest_first_page_by_page(store: Store) -> None:
    for number in range(5):
        await store.commit(make_commit(refusals=[make_refusal(event=f"e-{number}")]))

    first = await store.refusals(OWNER, 0, 3)
    second = await store.refusals(OWNER, first[-1].position, 3)

    assert [r.event for r in first + second] == [f"e-{number}" for number in range(5)]
    assert await store.refusals(OWNER, second[-1].position, 3) == []


async def test_one_refusal_is_found_by_its_key(store: Store) -> None:
    await store.commit(make_commit(refusals=[make_refusal()]))

    found = await store.refusal(OWNER, EventKey(_JOB, EventId("late-1")))

    assert found is not None
    assert found.position > 0
    assert await store.refusal(OWNER, EventKey(_OTHER, EventId("late-1"))) is None
    assert await store.refusal(OWNER, EventKey(_JOB, EventId("late-2"))) is None


async def test_a_replay_is_remembered(store: Store) -> None:
    await store.commit(make_commit(refusals=[make_refusal()]))
    key = EventKey(_JOB, EventId("late-1"))

    await store.mark_replayed(OWNER, key, EventId("replay-1"))

    found = await store.refusal(OWNER, key)
    assert found is not None
    assert found.replayed_as == "replay-1"
    assert [r.replayed_as for r in await store.refusals(OWNER, 0, 9)] == ["replay-1"]


# --- deletion -------------------------------------------------------------------------------------


async def test_of_a_deleted_job_only_ids_seqs_and_digests_are_left(store: Store) -> None:
    tombstone = await _delete(store, "run", "update")
    keys = [EventKey(_JOB, EventId(name)) for name in ("create-1", "run-2", "delete-4")]

    view = await store.load([_JOB], keys, fold=[_JOB], known=True)

    assert view.jobs[_JOB] == tombstone
    assert not view.tails.get(_JOB)
    digest = make_entry().digest
    assert dict(view.known) == {
        key: KnownEvent(seq, digest, None) for key, seq in zip(keys, (1, 2, 4), strict=True)
    }


async def test_a_deleted_job_is_nowhere_to_be_read(store: Store) -> None:
    await _delete(store, "run")

    assert await store.get(OWNER, _JOB) is None
    assert await _history(store) == []
    assert await store.find(OWNER, JobFilter(), None, 9) == []
    assert await store.count(OWNER, 99) == []
    assert (await store.since(OWNER, (), 9))[0] == []


async def test_a_deleted_job_is_found_by_no_tag_and_no_word(store: Store) -> None:
    entries = make_history(creation=make_creation(tags=("t",), name="word", parent=job_id(7)))
    await keep(store, *entries)
    gone = make_entry(seq=2, name="delete", change=Change(deleted=True))

    await keep(store, gone, before=[fold(entries)])

    for which in (JobFilter(tag="t"), JobFilter(words=("word",)), JobFilter(parent=job_id(7))):
        assert await store.find(OWNER, which, None, 9) == []


async def test_an_id_of_a_deleted_job_stays_taken(store: Store) -> None:
    tombstone = await _delete(store, "run")
    late = make_entry(seq=tombstone.seq + 1, name="run", id=EventId("run-2"))

    committed = await store.commit(make_commit([late], jobs=[]))

    assert committed.conflict == _key(late)


async def test_a_job_made_and_deleted_in_one_commit_leaves_a_tombstone_only(store: Store) -> None:
    creation = make_creation(tags=("t",), name="word")
    gone = make_entry(seq=2, name="delete", change=Change(deleted=True))

    await keep(store, *make_history(creation=creation), gone)

    assert await _history(store) == []
    assert (await store.since(OWNER, (), 9))[0] == []
    view = await store.load([_JOB], [], fold=(), known=False)
    assert view.jobs[_JOB].deleted


async def test_a_job_made_again_is_found_as_what_it_is_now(store: Store) -> None:
    tombstone = await _delete(store, "run")
    creation = make_creation(tags=("second",), name="again")
    change = Change(creation=creation, generation=2, attempt=2, first_attempt=2)
    create = make_entry(seq=tombstone.seq + 1, change=change, id=EventId("create-b"))

    await keep(store, create, before=[tombstone])

    job = await store.get(OWNER, _JOB)
    assert job == fold([create], tombstone)
    assert await _history(store) == [create]
    for which in (JobFilter(), JobFilter(tag="second"), JobFilter(words=("again",))):
        assert await store.find(OWNER, which, None, 9) == [job]


async def test_a_job_made_again_after_both_in_one_commit_is_found_once(store: Store) -> None:
    creation = make_creation(tags=("t",))
    entries = make_history(creation=creation)
    gone = make_entry(seq=2, name="delete", change=Change(deleted=True))
    await keep(store, *entries, gone)
    change = Change(creation=creation, generation=2, attempt=2, first_attempt=2)
    create = make_entry(seq=3, change=change, id=EventId("b"), received=after(50))

    await keep(store, create, before=[fold([*entries, gone])])

    assert [job.id for job in await store.find(OWNER, JobFilter(tag="t"), None, 9)] == [_JOB]


# --- owners ---------------------------------------------------------------------------------------


async def test_every_reading_verb_shows_an_owner_nothing_of_another(store: Store) -> None:
    creation = make_creation(tags=("t",), name="word", parent=job_id(7))
    await keep(store, *make_history("run", creation=creation))
    await store.commit(make_commit(refusals=[make_refusal()]))
    key = EventKey(_JOB, EventId("late-1"))
    await store.put("kind", Record(OWNER, "k", b"1"))

    await store.mark_replayed(STRANGER, key, EventId("mine"))

    assert await store.get(STRANGER, _JOB) is None
    assert await store.history(STRANGER, _JOB, 0, 9) == []
    for which in (
        JobFilter(),
        JobFilter(tag="t"),
        JobFilter(words=("word",)),
        JobFilter(parent=job_id(7)),
        JobFilter(state="CREATED"),
        JobFilter(tag="t", state="CREATED", parent=job_id(7)),
    ):
        assert await store.find(STRANGER, which, None, 9) == []
        assert len(await store.find(OWNER, which, None, 9)) == 1
    assert (await store.since(STRANGER, (), 9))[0] == []
    assert await store.count(STRANGER, 99) == []
    assert await store.refusals(STRANGER, 0, 9) == []
    assert await store.refusal(STRANGER, key) is None
    (refusal,) = await store.refusals(OWNER, 0, 9)
    assert refusal.replayed_as is None
    assert await store.fetch("kind", STRANGER, "k") is None
    assert await store.select("kind", STRANGER, "", 9) == []
    assert not await store.drop("kind", STRANGER, "k")
    assert await store.fetch("kind", OWNER, "k") == Record(OWNER, "k", b"1")


# --- history and the order of all -----------------------------------------------------------------


async def test_a_history_is_read_page_by_page(store: Store) -> None:
    entries = make_history(*["update"] * 6)
    await keep(store, *entries)

    pages = [await store.history(OWNER, _JOB, seq, 3) for seq in (0, 3, 6, 7)]

    assert [len(page) for page in pages] == [3, 3, 1, 0]
    assert [entry for page in pages for entry in page] == entries


def _behind(place: Place, entries: Sequence[Positioned]) -> Place:
    """Return the place of a reader that has seen entries, in the order of their lanes."""
    for each in entries:
        assert is_after(place, each)
        place = moved_to(place, each)
    return place


def _by_job(entries: Sequence[Positioned]) -> dict[JobId, list[Positioned]]:
    """Sort entries by job, each job's in the order in which they came."""
    found: dict[JobId, list[Positioned]] = {}
    for each in entries:
        found.setdefault(each.entry.job, []).append(each)
    return found


async def _all_since(store: Store, owner: str, limit: int) -> list[Entry]:
    """
    Read to the end as the contract says: until the place to go on from is the same.

    The entries come back in the order of jobs, each job's as they were read.
    """
    found: list[Positioned] = []
    place: Place = ()
    while True:
        page, end = await store.since(owner, place, limit)
        assert all(not is_after(end, each) for each in page)
        _behind(place, page)
        found += page
        if end == place:
            of_jobs = _by_job(found)
            return [each.entry for job in sorted(of_jobs) for each in of_jobs[job]]
        place = end


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_reading_on_from_page_to_page_gives_every_entry_once(
    store: Store, limit: int
) -> None:
    mine = [make_history("run", job=job_id(number)) for number in (1, 3, 5)]
    foreign = [
        make_history("run", job=job_id(number), creation=make_creation(owner=STRANGER))
        for number in (2, 4)
    ]
    for entries in (mine[0], foreign[0], mine[1], foreign[1], mine[2]):
        await keep(store, *entries)

    assert await _all_since(store, OWNER, limit) == [each for part in mine for each in part]
    assert await _all_since(store, STRANGER, limit) == [each for part in foreign for each in part]


async def test_a_quiet_owner_is_found_behind_very_many_entries_of_a_busy_one(
    store: Store,
) -> None:
    busy = make_history(*["update"] * 24_999, creation=make_creation(owner=STRANGER))
    await store.commit(make_commit(busy, jobs=[]))
    quiet = make_history(job=_OTHER)
    await keep(store, *quiet)

    assert await _all_since(store, OWNER, 100) == quiet


async def test_reading_from_beyond_the_end_stays_there(store: Store) -> None:
    await keep(store, *make_history())

    beyond = tuple(position + 1000 for position in await store.newest(OWNER))
    page, end = await store.since(OWNER, beyond, 10)

    assert (page, end) == ([], beyond)


async def test_a_place_that_names_some_lanes_only_is_before_all_of_the_others(
    store: Store,
) -> None:
    jobs = [job_id(number) for number in range(1, 9)]
    histories = {job: make_history("run", job=job) for job in jobs}
    stored = [each for job in jobs for each in (await keep(store, *histories[job])).stored]
    seen = [each for each in stored if each.lane == 0][:2]

    page, _ = await store.since(OWNER, _behind((), seen), 100)

    assert _by_job(page) == _by_job([each for each in stored if each not in seen])


async def test_after_the_newest_place_there_is_only_what_is_new(store: Store) -> None:
    await keep(store, *make_history("run"))
    place = await store.newest(OWNER)
    assert await store.since(OWNER, place, 9) == ([], place)

    committed = await keep(store, *make_history(job=_OTHER))

    page, end = await store.since(OWNER, place, 9)
    assert page == list(committed.stored)
    assert end == await store.newest(OWNER)


# --- the reaper's verbs ---------------------------------------------------------------------------


def _watched(number: int, seconds: float) -> list[Entry]:
    return make_history(job=job_id(number), creation=make_creation(heartbeat_s=seconds))


async def test_jobs_are_stale_when_their_watch_has_run_out(store: Store) -> None:
    await keep(store, *_watched(1, 30), *_watched(2, 10), *make_history(job=job_id(3)))

    stale = [[job.id for job in await store.stale(after(now), 9)] for now in (10.9, 11, 31)]

    assert stale == [[], [job_id(2)], [job_id(2), job_id(1)]]
    assert [job.id for job in await store.stale(after(99), 1)] == [job_id(2)]


async def test_a_watch_is_postponed_and_ended(store: Store) -> None:
    entries = _watched(1, 10)
    await keep(store, *entries)
    job = fold(entries)

    await store.watch(job, after(50))
    postponed = await store.stale(after(49), 9), await store.stale(after(50), 9)
    await store.watch(job, None)

    assert postponed == ([], [job])
    assert await store.stale(after(10_000), 9) == []


async def test_a_watch_of_a_job_that_moved_on_is_not_touched(store: Store) -> None:
    entries = _watched(1, 10)
    await keep(store, *entries)
    seen = fold(entries)
    await keep(store, make_entry(seq=2, name="run", state="RUNNING"), before=[seen])

    await store.watch(seen, None)

    assert [job.seq for job in await store.stale(after(10_000), 9)] == [2]


async def test_a_job_that_leaves_an_outcome_behind_is_watched_again(store: Store) -> None:
    entries = _watched(1, 10)
    await keep(store, *entries)
    ended = make_entry(seq=2, name="finish", state="FINISHED", outcome="success")
    await keep(store, ended, before=[fold(entries)])
    await store.watch(fold([*entries, ended]), None)
    index = make_entry(seq=3, name="index", state="INDEXING")

    await keep(store, index, before=[fold([*entries, ended])])

    assert [job.state for job in await store.stale(after(10_000), 9)] == ["INDEXING"]


async def test_a_deleted_job_is_not_watched(store: Store) -> None:
    entries = _watched(1, 10)
    await keep(store, *entries)

    gone = make_entry(seq=2, name="delete", change=Change(deleted=True))
    await keep(store, gone, before=[fold(entries)])

    assert await store.stale(after(10_000), 9) == []


async def _await_commands(store: Store, **seconds: float) -> list[Entry]:
    """Make jobs 1, 2, ... that await a command since so many seconds after the beginning."""
    creates = []
    for number, since in enumerate(seconds.values(), 1):
        awaited = Outstanding(EventId("create-1"), "Submit", 1, after(since))
        change = Change(creation=make_creation(), generation=1, outstanding=awaited)
        create = make_entry(job=job_id(number), received=after(0), change=change)
        await keep(store, create)
        creates.append(create)
    return creates


async def _awaited(store: Store, until: datetime) -> list[JobId]:
    return [each.job.id for each in await store.outstanding(until, None, 9)]


async def test_a_command_for_now_is_published_again_after_a_while_one_for_later_then(
    store: Store,
) -> None:
    await _await_commands(store, now=0, later=5, much_later=60)
    await keep(store, *make_history(job=job_id(4)))

    found = [await _awaited(store, after(s)) for s in (4, 5, 10, 60)]

    assert found == [[], [job_id(2)], [job_id(2), job_id(1)], [job_id(2), job_id(1), job_id(3)]]
    assert await _awaited(store, after(9_999)) == found[-1]


async def test_jobs_that_await_a_command_come_in_pages(store: Store) -> None:
    await _await_commands(store, one=7, two=7, three=3)

    pages, last = [], None
    while page := await store.outstanding(after(99), last, 1):
        pages.append((page[0].at, page[0].job.id))
        last = page[-1]

    assert pages == [(after(3), job_id(3)), (after(7), job_id(1)), (after(7), job_id(2))]


async def test_a_postponed_command_waits_unless_its_job_has_moved_on(store: Store) -> None:
    first, second = await _await_commands(store, first=5, second=5)
    jobs = [fold([first]), fold([second])]
    run = make_entry(job=job_id(2), seq=2, name="run", received=after(6), change=Change(held=False))
    await keep(store, run, before=[jobs[1]])

    await store.postpone([(job, after(300)) for job in jobs])
    await store.postpone([])

    assert await _awaited(store, after(299)) == [job_id(2)]
    assert len(await _awaited(store, after(300))) == 2


async def test_a_held_job_is_not_outstanding_until_it_is_released(store: Store) -> None:
    (create,) = await _await_commands(store, one=5)
    hold = make_entry(seq=2, name="hold", received=after(1), change=Change(held=True))
    await keep(store, hold, before=[fold([create])])
    held = await _awaited(store, after(9_999))
    release = make_entry(seq=3, name="release", received=after(2), change=Change(held=False))
    await keep(store, release, before=[fold([create, hold])])

    assert (held, await _awaited(store, after(9_999))) == ([], [job_id(1)])


async def test_an_answered_command_is_not_outstanding(store: Store) -> None:
    (create,) = await _await_commands(store, one=0)
    run = make_entry(seq=2, name="run", change=Change(outstanding=None))

    await keep(store, run, before=[fold([create])])

    assert await _awaited(store, after(9_999)) == []


# --- records --------------------------------------------------------------------------------------


async def test_a_record_is_put_fetched_and_dropped(store: Store) -> None:
    record = Record(OWNER, "k", b"\x00\xffbody")

    written = await store.put("kind", record)

    assert written
    assert await store.fetch("kind", OWNER, "k") == record
    assert await store.fetch("kind", None, "k") == record
    assert await store.fetch("other", OWNER, "k") is None
    assert await store.drop("kind", OWNER, "k")
    assert not await store.drop("kind", OWNER, "k")
    assert await store.fetch("kind", OWNER, "k") is None


async def test_a_record_is_replaced_unless_it_has_to_be_fresh(store: Store) -> None:
    await store.put("kind", Record(OWNER, "k", b"1"))

    refused = await store.put("kind", Record(OWNER, "k", b"2"), fresh=True)
    kept = await store.fetch("kind", OWNER, "k")
    replaced = await store.put("kind", Record(OWNER, "k", b"3"))
    fresh = await store.put("kind", Record(STRANGER, "k", b"4"), fresh=True)

    assert (refused, replaced, fresh) == (False, True, True)
    assert kept == Record(OWNER, "k", b"1")
    assert await store.fetch("kind", OWNER, "k") == Record(OWNER, "k", b"3")


async def test_a_record_is_swapped_only_while_it_is_as_expected(store: Store) -> None:
    await store.put("kind", Record(OWNER, "k", b"1"))
    await store.put("kind", Record(STRANGER, "k", b"1"))

    swapped = await store.swap("kind", Record(OWNER, "k", b"2"), b"1")
    late = await store.swap("kind", Record(OWNER, "k", b"3"), b"1")
    same = await store.swap("kind", Record(OWNER, "k", b"2"), b"2")
    nowhere = await store.swap("kind", Record(OWNER, "other", b"2"), b"")

    assert (swapped, late, same, nowhere) == (True, False, True, False)
    assert await store.fetch("kind", OWNER, "k") == Record(OWNER, "k", b"2")
    assert await store.fetch("kind", STRANGER, "k") == Record(STRANGER, "k", b"1")
    assert await store.fetch("kind", OWNER, "other") is None


async def test_of_many_who_swap_at_once_exactly_one_succeeds(store: Store) -> None:
    await store.put("kind", Record(OWNER, "k", b"start"))
    texts = [str(number).encode() for number in range(20)]

    swapped = await asyncio.gather(
        *(store.swap("kind", Record(OWNER, "k", text), b"start") for text in texts)
    )

    assert swapped.count(True) == 1
    assert await store.fetch("kind", OWNER, "k") == Record(OWNER, "k", texts[swapped.index(True)])


async def test_records_come_in_the_order_of_their_keys(store: Store) -> None:
    for owner, key in ((OWNER, "c"), (OWNER, "a"), (STRANGER, "b"), (OWNER, "d")):
        await store.put("kind", Record(owner, key, b""))
    await store.put("other", Record(OWNER, "z", b""))

    mine = await store.select("kind", OWNER, "", 2)
    rest = await store.select("kind", OWNER, mine[-1].key, 2)
    everybodys = await store.select("kind", None, "a", 9)

    assert [record.key for record in mine + rest] == ["a", "c", "d"]
    assert [record.key for record in everybodys] == ["b", "c", "d"]


# --- the store as a whole -------------------------------------------------------------------------


async def test_a_store_says_that_it_works(store: Store) -> None:
    await store.check()

    assert await store.select("kind", None, "", 9) == []


async def test_everything_is_there_after_opening_again(make_store: Callable[[], Store]) -> None:
    first = make_store()
    await first.open()
    entries = make_history("run", creation=make_creation(heartbeat_s=5.0, tags=("t",)))
    await keep(first, *entries)
    await first.commit(make_commit(refusals=[make_refusal()]))
    await first.put("kind", Record(OWNER, "k", b"1"))
    place = await first.newest(OWNER)
    await first.close()

    second = make_store()
    await second.open()
    try:
        assert await second.get(OWNER, _JOB) == fold(entries)
        assert await _history(second) == entries
        assert await second.newest(OWNER) == place
        assert len(await second.refusals(OWNER, 0, 9)) == 1
        assert len(await second.stale(after(99), 9)) == 1
        assert await second.fetch("kind", OWNER, "k") == Record(OWNER, "k", b"1")
        assert len(await second.find(OWNER, JobFilter(tag="t"), None, 9)) == 1
        committed = await keep(second, *make_history(job=_OTHER))
        assert await second.newest(OWNER) == _behind(place, committed.stored)
    finally:
        await second.close()


async def test_an_entry_with_everything_in_it_comes_back_as_it_was(store: Store) -> None:
    change = Change(
        creation=make_creation(name="\u00e9 \U0001f600", tags=("x",) * 3, deadline_s=0.5),
        cause="c" * 255,
        generation=2**40,
        previous_token_until=after(0.000001),
        outstanding=Outstanding(EventId("e"), "Cancel", 3, after(1)),
        cancel_applied=False,
        deleted=UNSET,
    )
    entry = make_entry(
        data=b'{"a.b":{"$where":[1.50,"\\u0000"]}}',
        id=EventId("\u00e9" * 255),
        source="s",
        occurred=after(-1),
        applied=False,
        reason=Reason.WRONG_STATE,
        change=change,
    )

    await store.commit(Commit(refusals=[], entries=[entry], jobs=[], created=(), moved=()))

    assert await _history(store) == [entry]

"""One batch through a real store: what is stored, what is refused, and what is said of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from jobwire.actors.lifecycle_registry import LifecycleRegistry
from jobwire.actors.state_manager import batch
from jobwire.actors.state_manager.batch import Settler
from jobwire.actors.state_manager.committed_batch import CommittedBatch
from jobwire.actors.state_manager.event_result import NOBODY
from jobwire.actors.stores.base import Commit, Committed, EventKey, Loaded, Store
from jobwire.actors.stores.sqlite import SqliteStore
from jobwire.schemas.errors import Unavailable
from jobwire.schemas.events import Event, TokenAuthority
from jobwire.schemas.identifiers import EventId, JobId
from jobwire.schemas.outcomes import Outcome, Reason
from jobwire.schemas.tokens import mint_token
from tests.support.commits import make_commit
from tests.support.factories import (
    KEYRING,
    OWNER,
    STRANGER,
    job_id,
    make_create,
    make_creation,
    make_entry,
    make_event,
    make_plan,
    make_signed,
)

_JOB = job_id()
_OTHER = job_id(2)
_REPLY = "replies.test"


def _settler(store: Store, most_events: int = 1_000) -> Settler:
    return Settler(store, KEYRING, LifecycleRegistry(store), most_events)


async def _settle(store: Any, *events: Event, redelivered: bool = False) -> CommittedBatch:
    return await _settler(store).settle(events, redelivered=redelivered)


async def _outcome(store: Store, event: Event, *, redelivered: bool = False) -> Outcome:
    """Settle one event that somebody waits for; return its outcome."""
    settled = await _settle(store, replace(event, reply=_REPLY), redelivered=redelivered)
    ((_, outcome),) = settled.outcomes
    return outcome


async def _history(store: Store, job: JobId = _JOB) -> list[tuple[int, str, bool]]:
    entries = await store.history(OWNER, job, 0, 1000)
    return [(entry.seq, entry.id, entry.applied) for entry in entries]


async def _refused(store: Store, owner: str = OWNER) -> list[tuple[str, str]]:
    return [(refusal.event, refusal.reason) for refusal in await store.refusals(owner, 0, 1000)]


# --- the plain way --------------------------------------------------------------------------------


async def test_a_batch_becomes_history_in_its_order(store: SqliteStore) -> None:
    events = [
        make_create(),
        make_event("run"),
        make_create(job=_OTHER),
        make_event("update"),
        make_event("run", job=_OTHER),
        make_event("finish"),
    ]

    settled = await _settle(store, *events)

    assert await _history(store) == [
        (1, "create", True),
        (2, "run-1", True),
        (3, "update-1", True),
        (4, "finish-1", True),
    ]
    assert [entry.id for entry in await store.history(OWNER, _OTHER, 0, 9)] == ["create", "run-1"]
    assert [each.entry.id for each in settled.entries] == [event.id for event in events]
    job = await store.get(OWNER, _JOB)
    assert job is not None
    assert (job.state, job.seq, job.last_event) == ("FINISHED", 4, "finish")


async def test_nobody_is_told_of_a_plain_event_that_nobody_waits_for(store: SqliteStore) -> None:
    settled = await _settle(store, make_create(), make_event("run"))

    assert settled.outcomes == []
    assert settled.conflicts == 0
    assert list(settled.awaiting) == []


async def test_the_positions_told_are_those_in_the_store(store: SqliteStore) -> None:
    await _settle(store, make_create(job=_OTHER))

    settled = await _settle(store, make_create(), make_event("run"))

    page, _ = await store.since(OWNER, (), 9)
    assert list(settled.entries) == page[1:]


async def test_an_outcome_tells_what_became_of_an_event(store: SqliteStore) -> None:
    created = await _outcome(store, make_create())
    applied = await _outcome(store, make_event("run"))
    kept = await _outcome(store, make_event("ready"))
    refused = await _outcome(store, make_event("run", job=_OTHER))

    assert created == Outcome(
        job=_JOB, event=EventId("create"), verdict="applied", seq=1, state="CREATED", generation=1
    )
    assert applied == Outcome(
        job=_JOB, event=EventId("run-1"), verdict="applied", seq=2, state="RUNNING"
    )
    assert kept == Outcome(
        job=_JOB,
        event=EventId("ready-1"),
        verdict="kept",
        reason=Reason.WRONG_SENDER,
        seq=3,
        state="RUNNING",
    )
    assert refused == Outcome(
        job=_OTHER, event=EventId("run-1"), verdict="refused", reason=Reason.UNKNOWN_JOB
    )


# --- duplicates -----------------------------------------------------------------------------------


async def test_an_event_twice_in_a_batch_counts_once(store: SqliteStore) -> None:
    run = make_event("run", data=b'{"a":1}')

    copies = [replace(run), replace(run)]

    settled = await _settle(store, make_create(), run, copies[0], make_event("update"), copies[1])

    assert [entry[1] for entry in await _history(store)] == ["create", "run-1", "update-1"]
    assert [(o.verdict, o.seq, o.duplicate) for _, o in settled.outcomes] == [
        ("applied", 2, True),
        ("applied", 2, True),
    ]


@pytest.mark.parametrize("redelivered", [False, True])
async def test_an_event_sent_again_in_a_later_batch_gets_its_first_outcome(
    store: SqliteStore, redelivered: bool
) -> None:
    run = make_event("run")
    await _settle(store, make_create(), run, make_event("finish"))

    again = await _outcome(store, run, redelivered=redelivered)

    assert (again.verdict, again.seq, again.state, again.duplicate) == (
        "applied",
        2,
        "RUNNING",
        True,
    )
    assert len(await _history(store)) == 3


async def test_a_repeated_event_lets_its_fresh_neighbours_pass(store: SqliteStore) -> None:
    run = make_event("run")
    await _settle(store, make_create(), run, make_create(job=_OTHER))

    settled = await _settle(
        store,
        make_event("update", event_id="u-1"),
        run,
        make_event("run", job=_OTHER),
        make_event("update", event_id="u-2"),
    )

    assert [each.entry.id for each in settled.entries] == ["u-1", "run-1", "u-2"]
    assert [entry[:2] for entry in await _history(store)][-2:] == [(3, "u-1"), (4, "u-2")]
    assert [(o.event, o.duplicate) for _, o in settled.outcomes] == [("run-1", True)]


async def test_a_kept_event_sent_again_is_still_kept_for_its_reason(store: SqliteStore) -> None:
    late = make_event("finish")
    await _settle(store, make_create(), late, make_event("run"))

    again = await _outcome(store, late)

    assert (again.verdict, again.reason, again.seq) == ("kept", Reason.WRONG_STATE, 2)


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "two batches"])
async def test_another_payload_under_a_known_id_is_a_conflict(
    store: SqliteStore, together: bool
) -> None:
    first = make_event("update", event_id="x", data=b'{"a":1}')
    other = make_event("update", event_id="x", data=b'{"a":2}')
    await _settle(store, make_create())
    if together:
        settled = await _settle(store, first, other)
    else:
        await _settle(store, first)
        settled = await _settle(store, other)

    ((_, outcome),) = settled.outcomes
    assert (outcome.verdict, outcome.seq, outcome.state) == ("conflict", None, None)
    assert settled.conflicts == 1
    (_, kept) = await store.history(OWNER, _JOB, 0, 9)
    assert kept.data == b'{"a":1}'


async def test_a_repeated_create_tells_the_present_generation(store: SqliteStore) -> None:
    create = make_create()
    await _settle(store, create, make_signed("rotate_token"))

    again = await _outcome(store, create)

    assert (again.verdict, again.duplicate, again.generation) == ("applied", True, 2)


async def test_a_rotation_tells_the_generation_that_it_began(store: SqliteStore) -> None:
    await _settle(store, make_create())

    outcomes = [
        await _outcome(store, make_signed("rotate_token", event_id=f"r-{n}")) for n in range(2)
    ]

    assert [outcome.generation for outcome in outcomes] == [2, 3]


# --- refusals -------------------------------------------------------------------------------------


async def test_a_refused_id_stays_refused_also_when_its_job_comes(store: SqliteStore) -> None:
    early = make_event("run")
    await _settle(store, early)
    await _settle(store, make_create())

    again = await _outcome(store, early)

    assert (again.verdict, again.reason) == ("refused", Reason.UNKNOWN_JOB)
    assert await _history(store) == [(1, "create", True)]


async def test_an_event_before_its_create_in_one_batch_is_refused(store: SqliteStore) -> None:
    await _settle(store, make_event("run"), make_create(), make_event("update"))

    assert [entry[1] for entry in await _history(store)] == ["create", "update-1"]


async def test_another_payload_under_a_refused_id_is_a_conflict(store: SqliteStore) -> None:
    await _settle(store, make_event("run", data=b"1"))

    assert (await _outcome(store, make_event("run", data=b"2"))).verdict == "conflict"


async def test_a_forged_event_is_refused_and_shown_to_nobody(store: SqliteStore) -> None:
    await _settle(store, make_create())
    forged = make_event("run", authority=TokenAuthority(mint_token(KEYRING, _OTHER, 1)))

    outcome = await _outcome(store, forged)

    assert (outcome.verdict, outcome.reason) == ("refused", Reason.FORGED)
    assert await _refused(store) == []
    assert await _refused(store, NOBODY) == [("run-1", Reason.FORGED)]


async def test_an_event_with_a_revoked_token_is_shown_to_the_owner_of_the_job(
    store: SqliteStore,
) -> None:
    await _settle(store, make_create(), make_signed("rotate_token"))

    await _settle(store, make_event("run", generation=1))

    assert await _refused(store) == [("run-1", Reason.TOKEN_REVOKED)]


async def test_what_a_stranger_sends_is_shown_to_the_stranger_only(store: SqliteStore) -> None:
    await _settle(store, make_create())

    await _settle(store, make_signed("run", principal=STRANGER))

    assert await _refused(store) == []
    assert await _refused(store, STRANGER) == [("run-1", Reason.UNKNOWN_JOB)]
    assert await _history(store) == [(1, "create", True)]


async def test_a_full_history_refuses_updates_and_takes_the_end(store: SqliteStore) -> None:
    events = [make_create(), make_event("run"), *_updates(5), make_event("finish")]

    await _settler(store, most_events=4).settle(events, redelivered=False)

    assert [entry[1] for entry in await _history(store)] == [
        "create",
        "run-1",
        "u-0",
        "u-1",
        "finish-1",
    ]
    assert await _refused(store) == [(f"u-{n}", Reason.EVENT_LIMIT) for n in (2, 3, 4)]


def _updates(count: int) -> list[Event]:
    return [make_event("update", event_id=f"u-{number}") for number in range(count)]


# --- deletion -------------------------------------------------------------------------------------

_FORCE = b'{"force":true}'


async def test_a_deletion_and_a_creation_in_one_batch_make_the_job_anew(store: SqliteStore) -> None:
    await _settle(store, make_create(), make_event("run"))
    deletion = make_signed("delete", data=_FORCE)

    settled = await _settle(
        store,
        make_event("update", event_id="before"),
        deletion,
        make_event("update", event_id="between"),
        make_create(event_id="again"),
        make_event("run", event_id="late", generation=1),
        make_event("run", event_id="new", generation=2),
    )

    job = await store.get(OWNER, _JOB)
    assert job is not None
    assert (job.state, job.seq, job.born, job.generation, job.attempt) == ("RUNNING", 6, 5, 2, 2)
    assert await _history(store) == [(5, "again", True), (6, "new", True)]
    assert await _refused(store) == [
        ("between", Reason.DELETED),
        ("late", Reason.TOKEN_REVOKED),
    ]
    assert [each.entry.id for each in settled.entries] == ["before", "delete-1", "again", "new"]


async def test_an_event_of_the_deleted_life_sent_again_is_answered_as_deleted(
    store: SqliteStore,
) -> None:
    run = make_event("run")
    await _settle(store, make_create(), run, make_signed("delete", data=_FORCE))

    again = await _outcome(store, run)

    assert (again.verdict, again.reason, again.duplicate) == ("refused", Reason.DELETED, True)
    assert await _refused(store) == []


async def test_the_create_of_a_deleted_job_sent_again_does_not_bring_it_back(
    store: SqliteStore,
) -> None:
    create = make_create()
    await _settle(store, create, make_signed("delete", data=_FORCE))

    again = await _outcome(store, create)

    assert (again.verdict, again.reason) == ("refused", Reason.DELETED)
    assert await store.get(OWNER, _JOB) is None


async def test_a_late_event_of_a_deleted_job_is_refused_and_its_owner_sees_it(
    store: SqliteStore,
) -> None:
    await _settle(store, make_create(), make_signed("delete", data=_FORCE))

    late = await _outcome(store, make_event("run"))

    assert (late.verdict, late.reason) == ("refused", Reason.DELETED)
    assert await _refused(store) == [("run-1", Reason.DELETED)]


# --- crashes and other writers --------------------------------------------------------------------


async def test_a_redelivered_batch_rolls_a_projection_forward_that_was_left_behind(
    store: SqliteStore, tmp_path: Path
) -> None:
    events = [make_create(), make_event("run"), make_event("update")]
    await _settle(store, *events)
    whole = await store.get(OWNER, _JOB)
    behind = SqliteStore(tmp_path / "behind.db")
    await behind.open()
    entries = await store.history(OWNER, _JOB, 0, 9)

    await behind.commit(make_commit(entries, jobs=[]))
    absent = await behind.get(OWNER, _JOB)
    settled = await _settle(behind, *events, redelivered=True)

    assert absent is None
    assert await behind.get(OWNER, _JOB) == whole
    assert [o.duplicate for _, o in settled.outcomes] == [True, True, True]
    assert list(settled.entries) == []
    await behind.close()


async def test_a_fresh_event_finds_entries_whose_projection_was_never_written(
    store: SqliteStore,
) -> None:
    await _settle(store, make_create(job=_OTHER))
    (entry,) = await store.history(OWNER, _OTHER, 0, 9)
    await store.commit(make_commit([replace(entry, job=_JOB)], jobs=[]))

    await _settle(store, make_event("run"))

    assert await _history(store) == [(1, "create", True), (2, "run-1", True)]
    job = await store.get(OWNER, _JOB)
    assert job is not None
    assert job.state == "RUNNING"


class _Meddled:
    """A store into which another writer writes just before a commit."""

    def __init__(self, store: Store, *meddlings: Callable[[], Awaitable[object]]) -> None:
        self._store = store
        self._meddlings = list(meddlings)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def commit(self, commit: Commit) -> Committed:
        if self._meddlings:
            await self._meddlings.pop(0)()
        return await self._store.commit(commit)


async def test_an_entry_that_another_writer_put_first_is_planned_around(
    store: SqliteStore,
) -> None:
    await _settle(store, make_create(), make_create(job=_OTHER))
    meddled = _Meddled(store, lambda: _settle(store, make_event("update", event_id="theirs")))

    settled = await _settle(meddled, make_event("run"), make_event("run", job=_OTHER))

    assert await _history(store) == [(1, "create", True), (2, "theirs", True), (3, "run-1", True)]
    assert [each.entry.seq for each in settled.entries] == [3, 2]


async def test_the_same_event_put_by_another_writer_first_counts_once(store: SqliteStore) -> None:
    await _settle(store, make_create())
    run = make_event("run", reply=_REPLY)
    meddled = _Meddled(store, lambda: _settle(store, run))

    settled = await _settle(meddled, run, make_event("update"))

    assert await _history(store) == [(1, "create", True), (2, "run-1", True), (3, "update-1", True)]
    ((_, outcome),) = settled.outcomes
    assert (outcome.verdict, outcome.seq, outcome.duplicate) == ("applied", 2, True)


async def test_an_entry_whose_projection_another_writer_has_not_yet_written_is_seen(
    store: SqliteStore,
) -> None:
    await _settle(store, make_create(), make_event("run"))
    theirs = make_entry(seq=3, name="update", state="RUNNING", id=EventId("theirs"))
    meddled = _Meddled(store, lambda: store.commit(make_commit([theirs], jobs=[])))

    settled = await _settle(meddled, make_event("finish"))

    assert [entry[:2] for entry in await _history(store)][2:] == [(3, "theirs"), (4, "finish-1")]
    assert [each.entry.seq for each in settled.entries] == [4]
    job = await store.get(OWNER, _JOB)
    assert job is not None
    assert (job.seq, job.state) == (4, "FINISHED")


async def test_a_deletion_by_another_writer_is_seen_before_anything_is_refused(
    store: SqliteStore,
) -> None:
    await _settle(store, make_create())
    meddled = _Meddled(store, lambda: _settle(store, make_signed("delete", data=_FORCE)))

    settled = await _settle(meddled, make_event("run", reply=_REPLY))

    ((_, outcome),) = settled.outcomes
    assert (outcome.verdict, outcome.reason) == ("refused", Reason.DELETED)


class _Halved:
    """A store without transactions: it stores the first entries of a batch, then the rest."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.commits: list[Commit] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def commit(self, commit: Commit) -> Committed:
        self.commits.append(commit)
        if len(self.commits) > 1 or len(commit.entries) < 2:
            return await self._store.commit(commit)
        some = replace(commit, entries=commit.entries[:1], jobs=[])
        committed = await self._store.commit(some)
        second = commit.entries[1]
        return replace(committed, conflict=EventKey(second.job, second.id))


async def test_a_commit_that_ends_in_the_middle_is_taken_up_where_it_ended(
    store: SqliteStore,
) -> None:
    halved = _Halved(store)

    settled = await _settle(halved, make_create(), make_event("run"), make_event("update"))

    assert [entry[:2] for entry in await _history(store)] == [
        (1, "create"),
        (2, "run-1"),
        (3, "update-1"),
    ]
    assert [each.entry.seq for each in settled.entries] == [1, 2, 3]
    job = await store.get(OWNER, _JOB)
    assert job is not None
    assert job.seq == 3


class _Contended:
    """A store whose every commit meets another writer."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def commit(self, commit: Commit) -> Committed:
        entry = commit.entries[0]
        return Committed([], conflict=EventKey(entry.job, entry.id))


async def test_a_batch_that_never_gets_through_is_to_be_delivered_again(store: SqliteStore) -> None:
    with pytest.raises(Unavailable, match="another writer"):
        await _settle(_Contended(store), make_create())


async def test_a_job_may_be_made_and_deleted_in_a_batch_as_often_as_its_sender_likes(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "_MOST_PLANS", 2)
    lives = [
        (
            make_create(event_id=f"create-{life}"),
            make_signed("delete", data=_FORCE, event_id=f"delete-{life}"),
        )
        for life in range(4)
    ]

    settled = await _settle(store, *(event for life in lives for event in life))

    assert len(settled.entries) == 8


class _Looking:
    """A store that remembers what it was asked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked_for_ids: list[bool] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def load(self, jobs: Any, keys: Any, *, fold: Any, known: bool) -> Loaded:
        self.asked_for_ids.append(known)
        return await self._store.load(jobs, keys, fold=fold, known=known)


@pytest.mark.parametrize(
    ("event", "redelivered", "asked"),
    [
        (make_event("run"), False, [False]),
        (make_event("run"), True, [True]),
        (make_event("run", job=_OTHER), False, [False, True]),
    ],
    ids=["fresh", "redelivered", "to be refused"],
)
async def test_ids_are_looked_up_only_when_it_matters(
    store: SqliteStore, event: Event, redelivered: bool, asked: list[bool]
) -> None:
    await _settle(store, make_create())
    looking = _Looking(store)

    await _settle(looking, event, redelivered=redelivered)

    assert asked == looking.asked_for_ids


# --- commands -------------------------------------------------------------------------------------


def _planned_create(job: JobId = _JOB) -> Event:
    return make_create(job=job, creation=make_creation(lifecycle="execution", plan=make_plan()))


def _awaited(jobs: object) -> list[tuple[JobId, str]]:
    assert isinstance(jobs, list)
    return [(job.id, job.outstanding.kind) for job in jobs]


async def test_a_command_is_to_be_published_when_its_cause_is_in_the_batch(
    store: SqliteStore,
) -> None:
    first = await _settle(store, _planned_create(), make_create(job=_OTHER))
    second = await _settle(store, make_event("update"))

    assert _awaited(first.awaiting) == [(_JOB, "Submit")]
    assert _awaited(second.awaiting) == []


async def test_a_repeated_cause_publishes_what_is_still_awaited(store: SqliteStore) -> None:
    create = _planned_create()
    await _settle(store, create)

    again = await _settle(store, create, redelivered=True)
    await _settle(store, make_signed("submit", role="worker"), make_signed("finish", role="worker"))
    answered = await _settle(store, create, redelivered=True)

    assert _awaited(again.awaiting) == [(_JOB, "Submit")]
    assert _awaited(answered.awaiting) == []


async def test_the_outcome_of_an_intent_tells_what_is_outstanding(store: SqliteStore) -> None:
    await _settle(store, _planned_create())

    outcome = await _outcome(store, make_signed("submit", role="worker", attempt=1))

    assert outcome.outstanding is not None
    assert outcome.outstanding.kind == "Submit"


# --- poison ---------------------------------------------------------------------------------------


async def test_an_event_set_aside_is_refused_as_poison_and_stays_so(store: SqliteStore) -> None:
    await _settle(store, make_create())
    run = make_event("run")

    await _settler(store).set_aside(run)

    outcome = await _outcome(store, run)
    assert (outcome.verdict, outcome.reason) == ("refused", Reason.POISON)
    assert await _refused(store) == [("run-1", Reason.POISON)]


async def test_an_event_that_is_in_the_history_is_not_set_aside(store: SqliteStore) -> None:
    run = make_event("run")
    await _settle(store, make_create(), run)

    await _settler(store).set_aside(run)

    assert await _refused(store) == []
    assert (await _outcome(store, run)).verdict == "applied"


@pytest.mark.parametrize(
    ("event", "owner"),
    [
        (make_event("run"), ""),
        (make_signed("run", principal=STRANGER), STRANGER),
        (make_event("run", authority=TokenAuthority("forged")), NOBODY),
    ],
    ids=["token", "caller", "forged"],
)
async def test_an_event_of_no_job_is_set_aside_for_whoever_sent_it(
    store: SqliteStore, event: Event, owner: str
) -> None:
    await _settler(store).set_aside(event)

    assert await _refused(store, owner) == [("run-1", Reason.POISON)]


# --- isolation (promise P12) ----------------------------------------------------------------------


async def test_a_strangers_event_does_not_take_the_id_from_the_jobs_own(
    store: SqliteStore,
) -> None:
    await _settle(store, make_create())
    await _settle(store, make_signed("run", event_id="e", principal=STRANGER))

    outcome = await _outcome(store, make_event("run", event_id="e"))

    assert outcome.verdict == "applied"


@pytest.mark.parametrize("data", [None, b'{"other":1}'], ids=["same", "another payload"])
async def test_a_stranger_cannot_tell_a_known_id_of_a_foreign_job_from_an_unknown_job(
    store: SqliteStore, data: bytes | None
) -> None:
    await _settle(store, make_create(), make_event("run", event_id="e"))

    outcome = await _outcome(store, make_signed("run", event_id="e", principal=STRANGER, data=data))

    assert (outcome.verdict, outcome.reason) == ("refused", Reason.UNKNOWN_JOB)
    assert (outcome.seq, outcome.state) == (None, None)

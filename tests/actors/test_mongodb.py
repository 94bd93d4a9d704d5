"""What is peculiar to the store in MongoDB."""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, cast

import pytest
import structlog
from bson.errors import InvalidBSON, InvalidDocument
from msgspec.structs import replace
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import BulkWriteError, OperationFailure
from structlog.testing import capture_logs

from jobwire.actors.lifecycle_registry import LifecycleRegistry
from jobwire.actors.runtime import failpoints
from jobwire.actors.state_manager.batch import Settler
from jobwire.actors.stores.base import (
    DeliveryCursor,
    DeliveryFilter,
    EventKey,
    JobCursor,
    JobFilter,
    OutstandingJob,
    Place,
    Positioned,
    Record,
    Store,
)
from jobwire.actors.stores.mongodb import MongoStore
from jobwire.actors.stores.mongodb.client import Driver, MongoConnection, translated
from jobwire.actors.stores.mongodb.schema import INDEXES, VERSION, prepare
from jobwire.actors.stores.rows import job_key
from jobwire.actors.stores.sqlite import SqliteStore
from jobwire.schemas.commands import Outstanding
from jobwire.schemas.deliveries import Attempt, Delivery
from jobwire.schemas.errors import InDoubt, Misconfigured, Unavailable
from jobwire.schemas.events import Event
from jobwire.schemas.identifiers import EventId
from jobwire.schemas.jobs import Change, Entry, advance
from tests.support.commits import keep, make_commit
from tests.support.deadlines import PATIENCE_S
from tests.support.factories import (
    KEYRING,
    OWNER,
    after,
    fold,
    job_id,
    make_create,
    make_creation,
    make_entry,
    make_history,
    make_refusal,
    make_signed,
)
from tests.support.mongodb import MongoServer
from tests.support.stopwatch import Stopwatch

_SHARDS = 4
_JOB = job_id()


@pytest.fixture(params=["motor", "pymongo"])
def driver(request: pytest.FixtureRequest) -> Driver:
    """Return each driver in turn."""
    return cast(Driver, request.param)


@pytest.fixture
async def mongodb(database_url: str, driver: Driver) -> AsyncIterator[MongoStore]:
    """Yield an open, empty store."""
    store = MongoStore(database_url, shards=_SHARDS, driver=driver)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def other(
    database_url: str, driver: Driver, mongodb: MongoStore
) -> AsyncIterator[MongoStore]:
    """Yield another process's store over the same data."""
    del mongodb  # the first one
    store = MongoStore(database_url, shards=_SHARDS, driver=driver)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def database(database_url: str) -> Iterator[Database[dict[str, Any]]]:
    """Yield the database itself."""
    client: MongoClient[dict[str, Any]] = MongoClient(database_url)
    with client:
        yield client.get_default_database()


# --- every query has its index --------------------------------------------------------------------


class _Asked:
    """Passes every verb on and notes its name."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.verbs: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.verbs.add(name)
        return getattr(self._store, name)


def _delivery(number: int, **fields: Any) -> Delivery:
    delivery = Delivery(
        id=f"msg_{number:04}",
        owner=OWNER,
        job=job_id(number),
        seq=2,
        event="run",
        state="RUNNING",
        subscription="sub_1",
        url="https://example.org/hook",
        endpoint=f"https://example.org {number % 5}",
        body=b"{}",
        created=after(number),
        status="pending",
        next_at=after(number),
    )
    return replace(delivery, **fields)


async def _write_some_of_everything(store: Store) -> None:
    histories = []
    for number in range(1, 61):
        creation = make_creation(
            tags=("t", f"t{number % 7}"), name="word", parent=job_id(99), heartbeat_s=9.0
        )
        histories.append(make_history("run", "update", job=job_id(number), creation=creation))
    entries = [entry for history in histories for entry in history]
    await store.commit(make_commit(entries))
    awaited = Change(outstanding=Outstanding(EventId("run-4"), "Submit", 1, after(3)))
    for number, history in enumerate(histories, 1):
        more = make_entry(
            job=job_id(number),
            seq=4,
            name="run",
            due=("sub_1",),
            change=awaited if number % 2 else Change(),
            state="RUNNING" if number % 2 else "FINISHED",
            outcome=None if number % 2 else "success",
        )
        await store.commit(make_commit([more], before=[fold(history)]))
    await store.commit(make_commit(refusals=[make_refusal(event=f"e{n}") for n in range(20)]))
    await store.plan_deliveries([_delivery(n) for n in range(1, 41)], ())
    for number in range(30):
        await store.put("kind", Record(OWNER, f"k{number:02}", b""))


async def _ask_everything(store: Store) -> None:
    key = EventKey(_JOB, EventId("run-2"))
    jobs = [job_id(number) for number in range(1, 70)]
    view = await store.load(jobs, [EventKey(job, key.event) for job in jobs], fold=jobs, known=True)
    job = view.jobs[_JOB]
    await store.get(OWNER, _JOB)
    for which in (
        JobFilter(),
        JobFilter(state="RUNNING"),
        JobFilter(outcome="success"),
        JobFilter(is_live=True),
        JobFilter(tag="t"),
        JobFilter(tag="t", state="RUNNING", lifecycle="pipeline"),
        JobFilter(words=("word", "t1"), parent=job_id(99)),
        JobFilter(parent=job_id(99), state="RUNNING"),
        JobFilter(since=after(0), until=after(99)),
    ):
        for place in (None, JobCursor(after(1), job_id(30))):
            await store.find(OWNER, which, place, 5)
    await store.history(OWNER, _JOB, 1, 2)
    await store.entry(OWNER, _JOB, 2)
    await store.since(OWNER, (1, 2), 5)
    await store.newest(OWNER)
    await store.count(OWNER, 99)
    await store.refusals(OWNER, 3, 5)
    await store.refusal(OWNER, EventKey(_JOB, EventId("e1")))
    await store.mark_replayed(OWNER, EventKey(_JOB, EventId("e1")), EventId("again"))
    (first, *_) = await store.outstanding(after(999), None, 5)
    await store.outstanding(after(999), OutstandingJob(first.at, first.job), 5)
    await store.postpone([(first.job, after(500))])
    await store.stale(after(999), 5)
    await store.watch(job, after(9))
    await store.watch(job, None)
    await store.put("kind", Record(OWNER, "k01", b"1"))
    await store.put("kind", Record(OWNER, "fresh", b"1"), fresh=True)
    for owner in (None, OWNER):
        await store.fetch("kind", owner, "k01")
        await store.select("kind", owner, "k05", 5)
    await store.swap("kind", Record(OWNER, "k01", b"2"), b"1")
    await store.drop("kind", OWNER, "k02")
    await store.claim("role", "me", 60)
    await store.holders("ro")
    await store.release("role", "me")
    due = await store.due(5)
    await store.plan_deliveries([_delivery(50)], [EventKey(due[0].job, due[0].id)])
    tries = await store.deliverable(after(30), (), 3, 9)
    await store.next_delivery(after(30), ())
    gave_up = [
        replace(each.after(Attempt(after(9), 0.1, 500, "no")), status="gave_up", next_at=None)
        for each in tries
    ]
    await store.save_deliveries(gave_up)
    await store.redeliver(OWNER, gave_up[0].id, after(9))
    for asked in (
        DeliveryFilter(),
        DeliveryFilter(status="gave_up"),
        DeliveryFilter(job=_JOB, subscription="sub_1", since=after(0)),
    ):
        await store.deliveries(OWNER, asked, DeliveryCursor(after(20), "msg_0020"), 5)
    await store.delivery(OWNER, "msg_0001")
    await store.recover(OWNER, after(0), after(9), 2)
    await store.drop_deliveries(after(99), 2)
    gone = make_entry(seq=5, name="delete", change=Change(deleted=True))
    await store.commit(make_commit([gone], before=[job]))
    await store.forget(after(999), 3)


def _stages(plan: Any) -> Iterator[str]:
    """Yield the names of all stages of a plan."""
    if isinstance(plan, dict):
        if "stage" in plan:
            yield plan["stage"]
        for part in plan.values():
            yield from _stages(part)
    elif isinstance(plan, list):
        for part in plan:
            yield from _stages(part)


async def test_every_query_has_its_index_and_none_sorts(
    mongodb: MongoStore, database: Database[dict[str, Any]]
) -> None:
    await _write_some_of_everything(mongodb)
    asked = _Asked(mongodb)

    database.command("profile", 2)
    await _ask_everything(cast("Store", asked))
    database.command("profile", 0)

    verbs = {name for name, _ in inspect.getmembers(Store, inspect.iscoroutinefunction)}
    assert asked.verbs == verbs - {"open", "close", "check"}
    ran = list(database["system.profile"].find({"ns": {"$not": {"$regex": "system"}}}))
    assert len(ran) > 70
    for each in ran:
        stages = set(_stages(each.get("execStats", {})))
        assert not stages & {"COLLSCAN", "SORT"}, each["command"]
        assert "COLLSCAN" not in each.get("planSummary", ""), each["command"]
        assert not each.get("hasSortStage"), each["command"]


async def test_a_page_costs_no_more_than_what_is_on_it(
    mongodb: MongoStore, database: Database[dict[str, Any]]
) -> None:
    await _write_some_of_everything(mongodb)
    database.command("profile", 2)

    for which in (
        JobFilter(),
        JobFilter(state="FINISHED", tag="t"),
        JobFilter(words=("word",)),
        JobFilter(is_live=True),
        JobFilter(parent=job_id(99)),
    ):
        assert len(await mongodb.find(OWNER, which, JobCursor(after(1), job_id(50)), 5)) == 5
    assert len(await mongodb.since(OWNER, (3, 3), 5)) == 2
    await mongodb.history(OWNER, _JOB, 1, 2)
    await mongodb.newest(OWNER)
    await mongodb.deliverable(after(99), (), 2, 4)

    database.command("profile", 0)
    for each in database["system.profile"].find({"op": {"$in": ["query", "command"]}}):
        assert each.get("docsExamined", 0) <= 6, each["command"]


async def test_a_count_looks_at_keys_only_and_at_no_more_than_it_is_to(
    mongodb: MongoStore, database: Database[dict[str, Any]]
) -> None:
    await _write_some_of_everything(mongodb)
    database.command("profile", 2)

    counts = await mongodb.count(OWNER, 5)

    database.command("profile", 0)
    ran = list(database["system.profile"].find({"command.aggregate": "jobs"}))
    assert [(each.state, each.jobs, each.at_least) for each in counts] == [
        ("FINISHED", 5, True),
        ("RUNNING", 5, True),
    ]
    assert sum(each["keysExamined"] for each in ran) <= 3 + 5 + 5
    assert sum(each["docsExamined"] for each in ran) == 0


def test_the_entries_can_be_sharded_by_lane() -> None:
    # A sharded collection keeps only unique indexes that begin with its shard key.
    unique = [each.document for each in INDEXES["entries"] if each.document.get("unique")]

    assert [next(iter(each["key"])) for each in unique] == ["lane", "lane"]


async def test_the_ends_of_all_lanes_are_found_in_one_step_each(
    mongodb: MongoStore, database: Database[dict[str, Any]]
) -> None:
    await _write_some_of_everything(mongodb)
    database.command("profile", 2)

    await mongodb.newest(OWNER)

    database.command("profile", 0)
    (ran,) = database["system.profile"].find({"command.aggregate": "entries"})
    assert "DISTINCT_SCAN" in ran["planSummary"]
    assert ran["keysExamined"] <= 3 * _SHARDS


async def test_a_load_asks_for_ids_after_everything_that_it_decides_by(
    mongodb: MongoStore, database: Database[dict[str, Any]]
) -> None:
    await keep(mongodb, *make_history("run"))
    database.command("profile", 2)

    await mongodb.load([_JOB], [EventKey(_JOB, EventId("run-2"))], fold=[_JOB], known=True)

    database.command("profile", 0)
    ran = database["system.profile"].find({"op": "query"}, sort=[("$natural", 1)])
    asked = [(each["command"]["find"], *each["command"]["filter"]) for each in ran]
    assert asked == [
        ("jobs", "_id"),
        ("entries", "lane", "job", "seq"),
        ("refused", "event"),
        ("entries", "_id", "lane"),
    ]


# --- positions ------------------------------------------------------------------------------------


def _numbers(entries: list[Positioned]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for each in entries:
        found.setdefault(each.lane, []).append(each.position)
    return found


async def test_a_writer_that_was_paused_goes_on_behind_the_others(
    mongodb: MongoStore, other: MongoStore
) -> None:
    first = await keep(mongodb, *make_history())
    theirs = await keep(
        other,
        *(make_entry(seq=seq, name="update") for seq in (2, 3)),
        before=[fold(make_history())],
    )

    mine = await mongodb.commit(
        make_commit([make_entry(seq=4, name="late"), make_entry(seq=5, name="late")], jobs=[])
    )

    stored = [*first.stored, *theirs.stored, *mine.stored]
    assert [each.position for each in stored] == [1, 2, 3, 4, 5]
    assert (await mongodb.since(OWNER, (), 9))[0] == stored


async def test_what_is_stored_before_a_conflict_leaves_no_gap(
    mongodb: MongoStore, other: MongoStore
) -> None:
    entries = make_history("run", "update")
    await keep(other, *entries)
    new = [make_entry(seq=seq, name="new") for seq in (4, 5)]
    clash = make_entry(seq=2, name="clash")

    commit = make_commit([*new, clash, *make_history(job=job_id(2))], jobs=[])

    committed = await mongodb.commit(commit)
    await keep(mongodb, make_entry(seq=6, name="more"), before=[fold([*entries, *new])])

    assert committed.conflict == EventKey(clash.job, clash.id)
    assert [each.position for each in committed.stored] == [4, 5]
    page, _ = await mongodb.since(OWNER, (), 99)
    assert set(map(tuple, _numbers(page).values())) == {(1, 2, 3, 4, 5, 6)}


async def test_a_reader_misses_nothing_that_several_writers_write(
    mongodb: MongoStore, other: MongoStore
) -> None:
    writers, each_writes, done = (mongodb, other), 40, asyncio.Event()

    async def write(store: MongoStore, begin: int) -> None:
        for number in range(begin, begin + each_writes):
            await keep(store, *make_history("run", "update", job=job_id(number)))

    async def read() -> list[Positioned]:
        found: list[Positioned] = []
        place: Place = ()
        while True:
            is_last = done.is_set()
            page, end = await mongodb.since(OWNER, place, 7)
            found += page
            if is_last and end == place:
                return found
            place = end

    reading = asyncio.create_task(read())
    # Two tasks of one process, and another process.
    await asyncio.gather(*(write(writers[turn % 2], 1 + turn * each_writes) for turn in range(4)))
    done.set()
    found = await reading

    assert len(found) == 4 * each_writes * 3
    for positions in _numbers(found).values():
        assert positions == list(range(1, len(positions) + 1))


async def test_a_commit_that_was_cancelled_may_be_stored_and_the_next_one_goes_on_behind_it(
    mongodb: MongoStore,
) -> None:
    histories = [make_history("run", "update", job=job_id(number)) for number in range(1, 25)]

    for turn, history in enumerate(histories):
        cancelled = asyncio.create_task(mongodb.commit(make_commit(history)))
        await asyncio.sleep(turn * 0.000_25)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        await _store_the_rest(mongodb, history)

    page, _ = await mongodb.since(OWNER, (), 999)
    for history in histories:
        assert await mongodb.history(OWNER, history[0].job, 0, 9) == history
    assert len(page) == sum(map(len, histories))
    for positions in _numbers(page).values():
        assert [*positions] == list(range(1, len(positions) + 1))


async def _store_the_rest(store: MongoStore, history: Sequence[Entry]) -> None:
    """Do what the state manager does: load, commit what is missing, and anew after a conflict."""
    job = history[0].job
    for _ in range(20):
        view = await store.load([job], [], fold=[job], known=False)
        known = [view.jobs[job]] if job in view.jobs else []
        for entry in view.tails.get(job, ()):
            known = [advance(known[0] if known else None, entry)]
        seq = known[0].seq if known else 0
        rest = history[seq:]
        committed = await store.commit(
            make_commit(rest, before=known, jobs=None if rest else known, created=[job])
        )
        if committed.conflict is None:
            return
    raise AssertionError("the history is never whole")


async def test_positions_may_be_larger_than_32_bits(
    mongodb: MongoStore, database: Database[dict[str, Any]]
) -> None:
    await keep(mongodb, *make_history())
    database.entries.update_many({}, {"$set": {"position": 2**40}})
    reopened = MongoStore(f"{_url_of(mongodb)}", shards=_SHARDS)

    committed = await keep(reopened, *make_history(job=job_id(5)))
    page, end = await reopened.since(OWNER, (), 9)
    await reopened.close()

    assert {type(each.position) for each in [*page, *committed.stored]} == {int}
    assert {type(number) for number in (*end, *await mongodb.newest(OWNER))} == {int}


def _url_of(store: MongoStore) -> str:
    return store._url


# --- writes in parts ------------------------------------------------------------------------------


class _Crash(Exception):
    """Ends a commit where it is."""


def _crash() -> None:
    raise _Crash


async def test_after_a_crash_behind_the_insert_the_entries_come_without_the_projection(
    mongodb: MongoStore,
) -> None:
    entries = make_history("run")
    failpoints.arm("store.after_insert", _crash)
    with pytest.raises(_Crash):
        await mongodb.commit(make_commit(entries, refusals=[make_refusal()]))
    failpoints.disarm()

    view = await mongodb.load([_JOB], [], fold=(), known=False)

    assert (dict(view.jobs), list(view.tails[_JOB])) == ({}, entries)
    assert len(await mongodb.refusals(OWNER, 0, 9)) == 1


async def test_after_a_crash_before_the_insert_only_refusals_are_there(
    mongodb: MongoStore,
) -> None:
    failpoints.arm("store.before_insert", _crash)
    with pytest.raises(_Crash):
        await mongodb.commit(make_commit(make_history(), refusals=[make_refusal()]))
    failpoints.disarm()

    assert await mongodb.history(OWNER, _JOB, 0, 9) == []
    assert len(await mongodb.refusals(OWNER, 0, 9)) == 1
    await keep(mongodb, *make_history("run"))


_CRASHES = (
    "store.before_insert",
    "store.after_insert",
    "store.after_projection",
    "store.after_commit",
)


def _any_event(dice: random.Random, number: int) -> Event:
    """Make an event of one of three jobs: births, reports, deletions, some of them repeated."""
    job = job_id(dice.randrange(1, 4))
    name = dice.choice(("create", "run", "update", "update", "finish", "delete"))
    identifier = f"{name}-{dice.choice((number, dice.randrange(number + 1)))}"
    if name == "create":
        creation = make_creation(tags=("t",), name="word", heartbeat_s=60.0)
        return make_create(job=job, creation=creation, event_id=identifier)
    return make_signed(name, job=job, event_id=identifier)


async def _left(store: Store) -> list[object]:
    """Read what settled events leave."""
    jobs = [job_id(number) for number in range(1, 4)]
    view = await store.load(jobs, (), fold=jobs, known=False)
    refused = [replace(each, position=0) for each in await store.refusals(OWNER, 0, 999)]
    histories = [await store.history(OWNER, job, 0, 999) for job in jobs]
    found = [
        await store.find(OWNER, which, None, 9)
        for which in (JobFilter(), JobFilter(tag="t"), JobFilter(state="RUNNING"))
    ]
    tails = [tail for tail in view.tails.values() if tail]
    stale = {job.id for job in await store.stale(after(9_999), 9)}
    return [dict(view.jobs), tails, refused, histories, found, await store.count(OWNER, 99), stale]


@pytest.mark.parametrize("seed", range(6))
async def test_crashes_and_repetitions_leave_what_a_store_in_one_piece_has(
    mongodb: MongoStore, other: MongoStore, store: SqliteStore, seed: int
) -> None:
    dice = random.Random(seed)
    crashes = 0

    for start in range(0, 240, 12):
        batch = [_any_event(dice, start + offset) for offset in range(12)]
        await Settler(store, KEYRING, LifecycleRegistry(store), 999).settle(batch, redelivered=True)
        redelivered = False
        while True:
            writer = dice.choice((mongodb, other))
            settler = Settler(writer, KEYRING, LifecycleRegistry(writer), 999)
            if dice.random() < 0.6:
                failpoints.arm(dice.choice(_CRASHES), _crash)
            try:
                await settler.settle(batch, redelivered=redelivered)
            except _Crash:
                redelivered = True
                crashes += 1
            else:
                break
            finally:
                failpoints.disarm()

    assert crashes > 5
    left = await _left(mongodb)
    assert left == await _left(store)
    assert all(left[2:4])
    page, _ = await mongodb.since(OWNER, (), 9_999)
    for job in {each.entry.job for each in page}:
        positions = [each.position for each in page if each.entry.job == job]
        assert positions == sorted(positions)


async def test_who_looks_at_a_half_deleted_job_finishes_the_deletion(
    mongodb: MongoStore, database: Database[dict[str, Any]]
) -> None:
    entries = make_history("run")
    gone = make_entry(seq=3, name="delete", change=Change(deleted=True))
    await keep(mongodb, *entries)
    bodies = {each["_id"]: each["body"] for each in database.entries.find()}
    await keep(mongodb, gone, before=[fold(entries)])
    # As a crash between the projection and the texts leaves it.
    for key, body in bodies.items():
        database.entries.update_one({"_id": key}, {"$set": {"body": body}})
    database.jobs.update_one({"_id": job_key(_JOB)}, {"$set": {"unstripped": True}})

    await mongodb.load([_JOB], [], fold=(), known=False)

    assert database.entries.count_documents({"body": {"$exists": True}}) == 0
    assert database.jobs.count_documents({"unstripped": {"$exists": True}}) == 0
    assert await mongodb.history(OWNER, _JOB, 0, 9) == []


async def test_a_batch_larger_than_one_command_is_stored_in_order(mongodb: MongoStore) -> None:
    large = b'"' + b"x" * 65_000 + b'"'
    entries = [make_entry()] + [
        make_entry(seq=seq, name="update", data=large) for seq in range(2, 601)
    ]
    clash = make_entry(seq=5, name="clash")

    committed = await mongodb.commit(make_commit([*entries, clash], jobs=[]))

    assert committed.conflict == EventKey(clash.job, clash.id)
    assert [each.entry for each in committed.stored] == entries
    assert [each.position for each in committed.stored] == list(range(1, 601))


async def test_names_that_look_like_operators_are_only_names(mongodb: MongoStore) -> None:
    creation = make_creation(owner="$owner", name="$where", tags=("$ne", "a.b"), parent=_JOB)
    entries: list[Entry] = make_history("$set", job=job_id(7), creation=creation)
    await keep(mongodb, *entries)
    await mongodb.put("$kind", Record("$owner", "$key", b"{}"))

    for which in (JobFilter(), JobFilter(tag="$ne"), JobFilter(tag="a.b"), JobFilter(parent=_JOB)):
        assert await mongodb.find("$owner", which, None, 9) == [fold(entries)]
    assert await mongodb.history("$owner", job_id(7), 0, 9) == entries
    assert (await mongodb.since("$owner", (), 9))[0] != []
    assert await mongodb.fetch("$kind", "$owner", "$key") == Record("$owner", "$key", b"{}")
    assert await mongodb.find("$ne", JobFilter(), None, 9) == []


async def test_a_delivery_is_changed_by_many_without_losing_a_change(
    mongodb: MongoStore, other: MongoStore
) -> None:
    await mongodb.plan_deliveries([_delivery(1)], ())

    await asyncio.gather(
        *(
            store.redeliver(OWNER, "msg_0001", after(9))
            for store in (mongodb, other)
            for _ in range(5)
        )
    )

    stored = await mongodb.delivery(OWNER, "msg_0001")
    assert stored is not None
    assert stored.asked == 10


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://me:hush@127.0.0.1:27017/?replicaSet=rs0",
        "mongodb://me:hush@hush@127.0.0.1:27017/jobs",
        "mongodb://127.0.0.1:hush/jobs",
        "amqp://me:hush@127.0.0.1/jobs",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(Misconfigured, match="must name a database") as caught:
        MongoStore(url, shards=1)

    assert "me:hush" not in str(caught.value)
    assert caught.value.__cause__ is None


class _Server:
    """Stands for a client of a server that answers so."""

    def __init__(self, **hello: Any) -> None:
        self._hello = hello

    async def command(self, name: str) -> dict[str, Any]:
        assert name == "hello"
        return self._hello


@pytest.mark.parametrize(
    ("hello", "said"),
    [
        ({"maxWireVersion": 21}, r"rs\.initiate\(\)"),
        ({"setName": "rs0", "maxWireVersion": 13}, "older than MongoDB 6.0"),
    ],
)
async def test_a_server_that_will_not_do_is_refused_with_what_to_do(
    hello: dict[str, Any], said: str
) -> None:
    with pytest.raises(Misconfigured, match=said):
        await prepare(cast(MongoConnection, _Server(**hello)))


async def _refused(url: str) -> str:
    store = MongoStore(url, shards=_SHARDS)
    with pytest.raises(Misconfigured) as caught:
        await store.open()
    await store.close()
    return caught.value.detail


async def test_a_database_of_a_newer_release_is_not_touched(
    database_url: str, database: Database[dict[str, Any]]
) -> None:
    database.meta.insert_one({"_id": "schema", "version": VERSION + 1})

    assert "start the newer release" in await _refused(database_url)
    assert database.list_collection_names() == ["meta"]


async def test_an_index_that_cannot_be_made_stops_the_start(
    database_url: str, database: Database[dict[str, Any]]
) -> None:
    database.entries.create_index([("owner", 1)], name="by_seq")

    assert "indexes of" in await _refused(database_url)


async def test_opening_again_changes_nothing(
    mongodb: MongoStore, database: Database[dict[str, Any]]
) -> None:
    before = {
        name: list(database[name].list_indexes()) for name in database.list_collection_names()
    }

    await mongodb.open()

    after_ = {
        name: list(database[name].list_indexes()) for name in database.list_collection_names()
    }
    assert before == after_
    assert database.meta.find_one({"_id": "schema"}) == {"_id": "schema", "version": VERSION}


# --- a database that is not there -----------------------------------------------------------------


async def test_a_server_that_is_not_there_is_said_in_time() -> None:
    store = MongoStore("mongodb://me:hush@127.0.0.1:9/jobs?replicaSet=rs0", shards=1)
    watch = Stopwatch()

    with pytest.raises(Unavailable) as caught:
        await store.open()
    with pytest.raises(Unavailable):
        await store.get(OWNER, _JOB)
    await store.close()

    assert watch.seconds < 8
    assert caught.value.retry_after_s
    assert caught.value.code == "store_unavailable"
    assert "does not answer" in caught.value.detail
    assert "hush" not in caught.value.detail
    assert "127.0.0.1" not in caught.value.detail


def test_the_words_of_the_driver_go_into_the_log_only() -> None:
    structlog.reset_defaults()
    with capture_logs() as lines, pytest.raises(Unavailable) as caught, translated():
        raise OperationFailure("node7.example is stepping down", 11602)

    assert "cannot do this now" in caught.value.detail
    assert "node7" not in caught.value.detail
    assert ["node7.example is stepping down" in line["error"] for line in lines] == [True]


@pytest.mark.parametrize(
    "error",
    [
        OperationFailure("object to insert too large", 10334),
        OperationFailure("bad value", 2),
        BulkWriteError({"writeErrors": [{"code": 17419, "errmsg": "too large"}]}),
        InvalidDocument("cannot encode"),
        InvalidBSON("cannot decode"),
    ],
    ids=["too large", "bad value", "in bulk", "document", "bson"],
)
def test_what_no_other_try_mends_stays_what_it_is(error: Exception) -> None:
    with pytest.raises(type(error)), translated():
        raise error


@pytest.mark.parametrize("code", [91, 11602, None], ids=["shutting down", "interrupted", "no code"])
def test_what_another_try_may_mend_is_unavailable(code: int | None) -> None:
    with pytest.raises(Unavailable), translated():
        raise OperationFailure("not now", code)


async def test_an_entry_as_large_as_a_command_is_stored(mongodb: MongoStore) -> None:
    large = make_entry(data=b"x" * 16_500_000)

    await mongodb.commit(make_commit([large], jobs=[]))

    assert await mongodb.history(OWNER, _JOB, 0, 9) == [large]


# Takes long, and what it is about is above the driver.
@pytest.mark.parametrize("driver", ["motor"], indirect=True)
async def test_more_than_one_command_can_hold_is_inserted_and_updated(
    mongodb: MongoStore,
) -> None:
    # Together over 60 MB, where one message has at most 48 MB.
    creator = [make_creation(name="-" * 6_000_000) for _ in range(10)]
    histories = [make_history(job=job_id(n), creation=each) for n, each in enumerate(creator, 1)]
    jobs = [fold(history) for history in histories]
    moves = [make_entry(job=job.id, seq=2, name="run", state="RUNNING") for job in jobs]

    await mongodb.commit(make_commit([each for (each,) in histories]))
    await mongodb.commit(make_commit(moves, before=jobs))

    for job in jobs:
        stored = await mongodb.get(OWNER, job.id)
        assert stored is not None
        assert (stored.state, stored.name) == ("RUNNING", "-" * 6_000_000)


async def test_an_entry_that_is_too_large_for_the_database_is_no_reason_to_try_again(
    mongodb: MongoStore,
) -> None:
    huge = make_entry(data=b"x" * 17_000_000)

    with pytest.raises((OperationFailure, InvalidDocument)):
        await mongodb.commit(make_commit([huge], jobs=[]))


async def test_a_server_that_stands_still_is_unavailable_in_time(
    own_mongo: MongoServer, driver: Driver
) -> None:
    store = MongoStore(own_mongo.database(), shards=_SHARDS, driver=driver)
    await store.open()
    entries = make_history("run")
    await keep(store, *entries)
    own_mongo.pause()

    watch = Stopwatch()
    results = await asyncio.gather(
        store.get(OWNER, _JOB),
        store.commit(make_commit([make_entry(seq=3, name="update")], before=[fold(entries)])),
        store.check(),
        return_exceptions=True,
    )
    took_s = watch.seconds
    own_mongo.resume()

    assert [type(each) for each in results] == [Unavailable, InDoubt, Unavailable]
    assert took_s < 5
    # The commit may have happened or not; either way the next one finds its place.
    await asyncio.to_thread(own_mongo.primary)
    view = await _load(store)
    tail = list(view.tails[_JOB])
    seq = (tail[-1].seq if tail else view.jobs[_JOB].seq) + 1
    committed = await store.commit(make_commit([make_entry(seq=seq, name="more")], jobs=[]))
    page, _ = await _patiently(lambda: store.since(OWNER, (), 99))
    await store.close()
    assert committed.conflict is None
    assert [each.position for each in page] == list(range(1, seq + 1))


async def test_when_the_database_is_away_no_request_waits_long_however_many_come(
    own_mongo: MongoServer, driver: Driver
) -> None:
    store = MongoStore(own_mongo.database(), shards=_SHARDS, driver=driver)
    await store.open()
    own_mongo.pause()
    took: list[float] = []

    async def ask_twice() -> None:
        watch = Stopwatch()
        for _ in range(2):
            with pytest.raises(Unavailable):
                await store.get(OWNER, _JOB)
        took.append(watch.seconds)

    await asyncio.gather(*(ask_twice() for _ in range(100)))
    own_mongo.resume()
    await asyncio.to_thread(own_mongo.primary)

    assert await _patiently(lambda: store.get(OWNER, _JOB)) is None
    await store.close()
    assert max(took) < 4.5


async def test_calls_that_are_cancelled_again_and_again_leave_the_driver_sound(
    own_mongo: MongoServer, driver: Driver
) -> None:
    store = MongoStore(own_mongo.database(), shards=_SHARDS, driver=driver)
    await store.open()
    await asyncio.to_thread(own_mongo.stop)

    # All wait for a server to be found. Within one of the driver's waits a second cancel comes.
    waiting = [
        asyncio.create_task(store.load([_JOB], [], fold=[_JOB], known=False)) for _ in range(40)
    ]
    await asyncio.sleep(1)
    for _ in range(4):
        for each in waiting:
            each.cancel()
        await asyncio.sleep(0)
    await asyncio.gather(*waiting, return_exceptions=True)
    await asyncio.to_thread(own_mongo.start)

    view = await _patiently(lambda: store.load([_JOB], [], fold=[_JOB], known=False))
    await store.close()
    assert dict(view.jobs) == {}


async def _patiently(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Ask until there is an answer: after a call without one, all are refused for a moment."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await ask()
            except Unavailable:
                await asyncio.sleep(0.1)


async def _load(store: MongoStore) -> Any:
    return await _patiently(lambda: store.load([_JOB], [], fold=[_JOB], known=False))


async def test_an_election_is_a_pause(mongo_set: MongoServer, driver: Driver) -> None:
    store = MongoStore(mongo_set.database(), shards=_SHARDS, driver=driver)
    await store.open()
    entries = make_history("run")
    await keep(store, *entries)

    await asyncio.to_thread(mongo_set.step_down)
    await _load(store)
    await keep(store, make_entry(seq=3, name="update"), before=[fold(entries)])

    assert len(await store.history(OWNER, _JOB, 0, 9)) == 3
    await store.close()

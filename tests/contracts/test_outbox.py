"""What every store must do for what must be told: due entries, deliveries, and their tries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from jobwire.actors.stores.base import DeliveryCursor, DeliveryFilter, EventKey, Store
from jobwire.schemas.deliveries import Attempt, Delivery
from jobwire.schemas.jobs import Change, Entry
from tests.support.commits import keep
from tests.support.factories import (
    NOW,
    OWNER,
    STRANGER,
    after,
    fold,
    job_id,
    make_entry,
    make_history,
)

_ALL = DeliveryFilter()


def _delivery(number: int = 1, **fields: Any) -> Delivery:
    delivery = Delivery(
        id=f"msg_{number:04}",
        owner=OWNER,
        job=job_id(),
        seq=number,
        event="run",
        state="RUNNING",
        subscription="sub_1",
        url="https://example.org/hook",
        endpoint="https://example.org alice",
        body=b'{"a":1}',
        created=after(number),
        status="pending",
        next_at=NOW,
    )
    return replace(delivery, **fields)


def _ended(delivery: Delivery, at: datetime, status: str = "delivered") -> Delivery:
    tried = delivery.after(Attempt(at, 0.1, 200, None))
    return replace(tried, status=status, next_at=None)


def _keys(*entries: Entry) -> list[EventKey]:
    return [EventKey(entry.job, entry.id) for entry in entries]


async def _plan(store: Store, *deliveries: Delivery) -> None:
    fresh = await store.plan_deliveries(deliveries, ())
    assert fresh == list(deliveries)


async def _keep_due(store: Store, number: int, *names: str) -> list[Entry]:
    entries = [
        entry if entry.seq == 1 else replace(entry, due=("sub_1",))
        for entry in make_history(*names, job=job_id(number))
    ]
    await keep(store, *entries)
    return entries


# --- entries that are to be told ------------------------------------------------------------------


async def test_entries_are_due_in_the_order_of_their_commits(store: Store) -> None:
    one = await _keep_due(store, 1, "run", "finish")
    other = await _keep_due(store, 2, "run")

    assert await store.due(10) == [one[1], one[2], other[1]]
    assert await store.due(2) == [one[1], one[2]]


async def test_an_entry_is_told_together_with_its_deliveries(store: Store) -> None:
    entries = await _keep_due(store, 1, "run", "finish")

    fresh = await store.plan_deliveries([_delivery(1), _delivery(2)], _keys(entries[1]))

    assert fresh == [_delivery(1), _delivery(2)]
    assert await store.due(10) == [entries[2]]
    assert await store.delivery(OWNER, "msg_0001") == _delivery(1)
    assert await store.history(OWNER, job_id(), 0, 10) == entries


async def test_an_entry_of_which_nobody_is_told_any_more_is_told_too(store: Store) -> None:
    entries = await _keep_due(store, 1, "run")

    assert await store.plan_deliveries((), _keys(entries[1])) == []
    assert await store.due(10) == []


async def test_a_delivery_that_is_planned_again_stays_as_it_is(store: Store) -> None:
    await _plan(store, _delivery(1))
    delivered = _ended(_delivery(1), after(5))
    await store.save_deliveries([delivered])

    fresh = await store.plan_deliveries([_delivery(1), _delivery(2)], ())

    assert fresh == [_delivery(2)]
    assert await store.delivery(OWNER, "msg_0001") == delivered


async def test_a_due_entry_of_a_deleted_job_is_whole_until_it_is_told(store: Store) -> None:
    entries = await _keep_due(store, 1, "run")
    gone = make_entry(seq=3, name="delete", change=Change(deleted=True))
    await keep(store, gone, before=[fold(entries)])

    assert await store.due(10) == [entries[1]]
    await store.plan_deliveries([_delivery()], _keys(entries[1]))

    assert await store.due(10) == []
    assert await store.history(OWNER, job_id(), 0, 10) == []


async def test_what_is_due_outlives_the_process(make_store: Callable[[], Store]) -> None:
    first = make_store()
    await first.open()
    entries = await _keep_due(first, 1, "run")
    await _plan(first, _delivery())
    await first.close()

    second = make_store()
    await second.open()
    due, deliverable = await second.due(10), await second.deliverable(NOW, (), 1, 10)
    await second.close()

    assert due == [entries[1]]
    assert deliverable == [_delivery()]


# --- tries that are due ---------------------------------------------------------------------------


async def test_a_try_is_due_from_its_moment_on(store: Store) -> None:
    await _plan(store, _delivery(1, next_at=after(10)))

    assert await store.deliverable(after(9), (), 5, 10) == []
    assert len(await store.deliverable(after(10), (), 5, 10)) == 1
    assert await store.next_delivery(NOW, ()) == after(10)
    assert await store.next_delivery(after(10), ()) is None


async def test_some_of_each_endpoint_are_given_the_longest_overdue_first(store: Store) -> None:
    busy = [_delivery(n, endpoint="a", next_at=after(100 - n)) for n in range(1, 6)]
    other = [_delivery(n, endpoint="b", next_at=after(n - 10)) for n in range(6, 8)]
    await _plan(store, *busy, *other)

    found = await store.deliverable(after(200), (), 2, 10)

    assert [each.id for each in found] == ["msg_0006", "msg_0007", "msg_0005", "msg_0004"]
    assert found == [other[0], other[1], busy[4], busy[3]]


async def test_no_more_are_given_than_asked_for(store: Store) -> None:
    await _plan(store, *(_delivery(n, endpoint=f"e{n}") for n in range(1, 9)))

    assert len(await store.deliverable(NOW, (), 4, 3)) == 3
    assert len(await store.deliverable(NOW, (), 4, 100)) == 8


async def test_busy_endpoints_are_left_out(store: Store) -> None:
    await _plan(
        store,
        _delivery(1, endpoint="a", next_at=after(1)),
        _delivery(2, endpoint="b", next_at=after(2)),
        _delivery(3, endpoint="c", next_at=after(3)),
    )

    found = await store.deliverable(after(9), {"a"}, 4, 10)

    assert [each.endpoint for each in found] == ["b", "c"]
    assert await store.next_delivery(NOW, ()) == after(1)
    assert await store.next_delivery(NOW, {"a"}) == after(2)
    assert await store.next_delivery(after(1), ()) == after(2)
    assert await store.next_delivery(NOW, {"a", "b", "c"}) is None


async def test_of_an_endpoint_with_overdue_tries_the_next_one_to_come_is_told(store: Store) -> None:
    await _plan(
        store,
        _delivery(1, next_at=after(-5)),
        _delivery(2, next_at=after(7)),
        _delivery(3, next_at=after(9)),
    )

    assert await store.next_delivery(NOW, ()) == after(7)


async def test_an_endpoint_with_many_deliveries_costs_no_more_than_one_with_few(
    store: Store,
) -> None:
    many = [_delivery(n, endpoint="a") for n in range(1, 2_001)]
    await store.plan_deliveries(many, ())
    await _plan(store, _delivery(3_000, endpoint="b", next_at=after(1)))

    found = await store.deliverable(after(2), (), 2, 10)

    assert [each.endpoint for each in found] == ["a", "a", "b"]


async def test_what_has_ended_is_not_due(store: Store) -> None:
    await _plan(store, _delivery(1))
    await store.save_deliveries([_ended(_delivery(1), after(5))])

    assert await store.deliverable(after(1_000), (), 4, 10) == []
    assert await store.next_delivery(after(-9), ()) is None


async def test_what_failed_is_due_at_its_next_moment(store: Store) -> None:
    await _plan(store, _delivery(1), _delivery(2))
    tried = replace(_delivery(1).after(Attempt(NOW, 1.5, 500, "no")), next_at=after(300))
    await store.save_deliveries([tried, _ended(_delivery(2), after(5))])

    assert await store.deliverable(after(299), (), 4, 10) == []
    assert await store.deliverable(after(300), (), 4, 10) == [tried]


async def test_a_try_of_a_delivery_that_was_dropped_is_forgotten(store: Store) -> None:
    await store.save_deliveries([_ended(_delivery(1), after(5))])

    assert await store.delivery(OWNER, "msg_0001") is None


# --- sent again -----------------------------------------------------------------------------------


async def test_a_delivery_is_due_again_when_its_owner_asks(store: Store) -> None:
    await _plan(store, _delivery(1))
    ended = _ended(_delivery(1), after(5))
    await store.save_deliveries([ended])

    asked = await store.redeliver(OWNER, "msg_0001", after(60))

    assert asked == ended.asked_again(after(60))
    assert await store.deliverable(after(60), (), 4, 10) == [asked]
    assert await store.redeliver(STRANGER, "msg_0001", after(60)) is None
    assert await store.redeliver(OWNER, "msg_9999", after(60)) is None


async def test_a_try_begun_before_somebody_asked_again_does_not_end_the_delivery(
    store: Store,
) -> None:
    await _plan(store, _delivery(1))
    asked = await store.redeliver(OWNER, "msg_0001", after(60))
    assert asked is not None

    late = _ended(_delivery(1), after(61), "gave_up")
    await store.save_deliveries([late])

    stored = replace(asked, attempts=late.attempts)
    assert await store.delivery(OWNER, "msg_0001") == stored
    assert await store.deliverable(after(60), (), 4, 10) == [stored]
    await store.save_deliveries([_ended(stored, after(62))])
    assert await store.deliverable(after(99), (), 4, 10) == []


async def test_what_gave_up_since_a_moment_is_recovered_in_portions(store: Store) -> None:
    given_up = [_ended(_delivery(n), after(n), "gave_up") for n in range(1, 7)]
    overtaken = [
        replace(_ended(_delivery(n, created=after(4)), after(n), "gave_up"), gave_up="overtaken")
        for n in range(9, 13)
    ]
    foreign = _ended(_delivery(7, owner=STRANGER), after(7), "gave_up")
    delivered = _ended(_delivery(8), after(8))
    await _plan(store, *given_up, foreign, delivered, *overtaken)

    first = await store.recover(OWNER, after(3), after(60), 3)
    second = await store.recover(OWNER, after(3), after(60), 3)

    assert (first, second) == (3, 1)
    due = await store.deliverable(after(60), (), 10, 10)
    assert sorted(each.id for each in due) == [f"msg_{n:04}" for n in range(3, 7)]
    assert await store.delivery(STRANGER, "msg_0007") == foreign
    assert await store.delivery(OWNER, "msg_0008") == delivered
    assert [await store.delivery(OWNER, each.id) for each in overtaken] == overtaken


# --- lists ----------------------------------------------------------------------------------------


async def test_deliveries_are_listed_newest_first_page_by_page(store: Store) -> None:
    # Some of the same moment: the id decides.
    all_ = [_delivery(n, created=after(n // 3)) for n in range(1, 11)]
    await _plan(store, *all_)

    listed: list[Delivery] = []
    place: DeliveryCursor | None = None
    while page := await store.deliveries(OWNER, _ALL, place, 4):
        listed += page
        place = DeliveryCursor(page[-1].created, page[-1].id)

    assert listed == all_[::-1]


async def test_a_list_goes_on_where_its_last_delivery_was_dropped(store: Store) -> None:
    ended = [_ended(_delivery(n), after(n)) for n in range(1, 5)]
    await _plan(store, *ended)
    page = await store.deliveries(OWNER, _ALL, None, 2)

    await store.drop_deliveries(after(100), 10)
    await _plan(store, _delivery(1))
    rest = await store.deliveries(OWNER, _ALL, DeliveryCursor(page[-1].created, page[-1].id), 2)

    assert rest == [_delivery(1)]


async def test_deliveries_are_found_by_job_status_subscription_and_time(store: Store) -> None:
    mine = _delivery(1)
    given_up = _ended(_delivery(2), after(2), "gave_up")
    of_other_job = _delivery(3, job=job_id(2), subscription="sub_2")
    foreign = _delivery(4, owner=STRANGER)
    await _plan(store, mine, given_up, of_other_job, foreign)

    async def found(**fields: Any) -> list[str]:
        page = await store.deliveries(OWNER, DeliveryFilter(**fields), None, 10)
        return [each.id for each in page]

    assert await found() == ["msg_0003", "msg_0002", "msg_0001"]
    assert await found(job=job_id()) == ["msg_0002", "msg_0001"]
    assert await found(status="gave_up") == ["msg_0002"]
    assert await found(status="pending", job=job_id()) == ["msg_0001"]
    assert await found(subscription="sub_2") == ["msg_0003"]
    assert await found(subscription="sub_2", job=job_id()) == []
    assert await found(since=after(2)) == ["msg_0003", "msg_0002"]
    assert await found(since=after(2), status="pending") == ["msg_0003"]


async def test_a_delivery_is_its_owners_only(store: Store) -> None:
    await _plan(store, _delivery(1))

    assert await store.delivery(OWNER, "msg_0001") == _delivery(1)
    assert await store.delivery(STRANGER, "msg_0001") is None
    assert await store.deliveries(STRANGER, _ALL, None, 10) == []
    assert await store.deliveries(STRANGER, DeliveryFilter(job=job_id()), None, 10) == []


# --- retention ------------------------------------------------------------------------------------


async def test_what_ended_before_a_moment_is_dropped_in_portions(store: Store) -> None:
    old = [_ended(_delivery(n), after(n)) for n in range(1, 6)]
    young = _ended(_delivery(6), after(100))
    waiting = _delivery(7, created=after(-1_000))
    await _plan(store, *old, young, waiting)

    dropped = [await store.drop_deliveries(after(50), 3) for _ in range(3)]

    assert dropped == [3, 2, 0]
    assert await store.deliveries(OWNER, _ALL, None, 10) == [young, waiting]


async def test_what_is_sent_again_is_kept_again(store: Store) -> None:
    await _plan(store, _ended(_delivery(1), after(5)))
    await store.redeliver(OWNER, "msg_0001", after(60))

    assert await store.drop_deliveries(after(1_000), 10) == 0

"""The notifier with real receivers: who is told what, how often, and who waits for whom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from aiohttp import web
from msgspec.structs import replace
from standardwebhooks import WebhookVerificationError
from yarl import URL

from jobwire.actors.dialects.base import ForeignDialect, Notice
from jobwire.actors.notifier.breaker import FAILING
from jobwire.actors.notifier.endpoints import ENDPOINTS
from jobwire.actors.notifier.message import write_body
from jobwire.actors.runtime import failpoints
from jobwire.actors.runtime.settings import CallbackSettings
from jobwire.schemas.deliveries import Callback, Delivery, Subscription
from jobwire.schemas.errors import JobwireError, NotFound, Unavailable
from jobwire.schemas.jobs import Change, Ending, Entry, Job
from tests.support.deadlines import turns, until
from tests.support.factories import (
    OWNER,
    STRANGER,
    job_id,
    make_creation,
    make_entry,
    make_history,
    make_job,
)
from tests.support.receiver import Answer, endless, hang, receiving, reset, with_headers
from tests.support.stopwatch import Stopwatch
from tests.support.teller import QUICK, CommitPublisher, Leading, now, principal, telling


async def test_a_receiver_is_told_what_happened_signed_and_needs_no_further_request(
    tmp_path: Path,
) -> None:
    async with receiving() as receiver, telling(tmp_path) as teller:
        subscription = await teller.subscribe(receiver.url)
        (entry,) = await teller.tell(
            [subscription],
            state="FAILED",
            outcome="failure",
            data=b'{"line": 7}',
            source="platform",
            change=Change(cause="exit_code", ending=Ending(2, None, "two")),
        )

        (received,) = await receiver.wait(1)
        delivered = (await teller.wait_for("delivered"))[0]

    message = received.verified(subscription.secret)
    assert message["type"] == "job.update"
    assert message["data"] == {
        "job": job_id(),
        "name": "fit",
        "tags": ["nightly"],
        "lifecycle": "pipeline",
        "event": "update",
        "event_id": entry.id,
        "seq": 2,
        "state": "FAILED",
        "outcome": "failure",
        "attempt": 1,
        "cause": "exit_code",
        "exit_code": 2,
        "signal": None,
        "detail": "two",
        "data": {"line": 7},
        "source": "platform",
        "occurred": None,
    }
    assert received.headers["content-type"] == "application/json"
    assert received.id == delivered.id
    assert received.body == delivered.body
    assert delivered.next_at is None
    (attempt,) = delivered.attempts
    assert (attempt.status, attempt.error) == (200, None)
    assert 0 < attempt.duration_s < 5


async def test_another_secret_does_not_verify(tmp_path: Path) -> None:
    async with receiving() as receiver, telling(tmp_path) as teller:
        mine = await teller.subscribe(receiver.url)
        other = await teller.subscribe(receiver.url, number=2)
        await teller.tell([mine])

        (received,) = await receiver.wait(1)

    with pytest.raises(WebhookVerificationError):
        received.verified(other.secret)


async def test_a_secret_of_the_subscriber_signs(tmp_path: Path) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    async with receiving() as receiver, telling(tmp_path) as teller:
        await teller.tell([await teller.subscribe(receiver.url, secret=secret)])

        (received,) = await receiver.wait(1)

    assert received.verified(secret)


async def test_what_the_bus_loses_is_told_all_the_same(tmp_path: Path) -> None:
    async with receiving() as receiver, telling(tmp_path) as teller:
        await teller.tell([await teller.subscribe(receiver.url)], quietly=True)

        await receiver.wait(1)
        await teller.wait_for("delivered")

        assert await teller.store.due(10) == []


async def test_what_was_not_told_before_a_restart_is_told_after_it(tmp_path: Path) -> None:
    async with receiving() as receiver:
        async with telling(tmp_path, CallbackSettings(schedule_s=(3_600.0,))) as teller:
            await teller.tell([await teller.subscribe(receiver.url)], events=3)
            await teller.wait_for("pending", 3)
            for each in await teller.all():
                await teller.store.redeliver(OWNER, each.id, now())
            await teller.notifier.stop()
            before = await teller.all()
        async with telling(tmp_path) as teller:
            await teller.wait_for("delivered", 3)

    assert set(receiver.ids) == {each.id for each in before}


async def test_several_subscriptions_of_one_event_are_told_under_ids_of_their_own(
    tmp_path: Path,
) -> None:
    async with receiving() as one, receiving() as other, telling(tmp_path) as teller:
        subscriptions = [await teller.subscribe(each.url) for each in (one, other)]
        await teller.tell(subscriptions)

        (first,), (second,) = await one.wait(1), await other.wait(1)

    assert first.id != second.id
    assert first.body == second.body


async def test_a_job_that_was_deleted_before_anybody_was_told_is_told_of(tmp_path: Path) -> None:
    async with receiving() as receiver, telling(tmp_path) as teller:
        await teller.notifier.stop()
        subscription = await teller.subscribe(receiver.url)
        entries = await teller.tell([subscription], quietly=True)
        born = make_history()[0]
        gone = make_entry(seq=3, name="delete", change=Change(deleted=True))
        await teller.add([born, *entries], gone)
        await teller.notifier.start()

        (received,) = await receiver.wait(1)

    assert received.news["event"] == "update"
    assert received.verified(subscription.secret)


async def test_every_try_has_the_same_id_and_body_and_a_time_of_its_own(tmp_path: Path) -> None:
    settings = CallbackSettings(schedule_s=(0.0, 1.01))
    async with receiving() as receiver, telling(tmp_path, settings) as teller:
        receiver.answers = [500]
        subscription = await teller.subscribe(receiver.url)
        await teller.tell([subscription])

        first, second = await receiver.wait(2)
        delivery = (await teller.wait_for("delivered"))[0]

    assert first.id == second.id
    assert first.body == second.body
    assert int(first.timestamp) < int(second.timestamp)
    assert first.verified(subscription.secret) == second.verified(subscription.secret)
    assert [each.status for each in delivery.attempts] == [500, 200]
    assert [each.error for each in delivery.attempts] == ["answered 500", None]


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        (500, 500, "answered 500"),
        (404, 404, "answered 404"),
        (reset, None, "the connection was lost before the answer"),
        (
            with_headers(301, Location="/elsewhere"),
            301,
            "answered 301: a redirect is not followed",
        ),
    ],
    ids=["500", "404", "reset", "301"],
)
async def test_a_receiver_that_fails_is_tried_until_the_schedule_ends(
    tmp_path: Path, answer: int | Answer, status: int | None, error: str
) -> None:
    async with receiving() as receiver, telling(tmp_path) as teller:
        receiver.always = answer
        await teller.tell([await teller.subscribe(receiver.url)])

        delivery = (await teller.wait_for("gave_up"))[0]

    assert {each.path for each in receiver.received} == {"/hook"}
    assert set(receiver.ids) == {delivery.id}
    assert (delivery.gave_up, delivery.next_at, delivery.tries) == ("tries_ended", None, 4)
    assert [(each.status, each.error) for each in delivery.attempts] == [(status, error)] * 4


async def test_a_receiver_that_is_down_is_told_when_it_is_back(tmp_path: Path) -> None:
    async with receiving() as gone:
        pass
    settings = CallbackSettings(schedule_s=(0.0, *[0.05] * 60))
    async with telling(tmp_path, settings) as teller:
        await teller.tell([await teller.subscribe(gone.url)])

        async def failed() -> bool:
            return any(each.attempts for each in await teller.all())

        await until(failed)
        async with receiving(gone.port) as back:
            await back.wait(1)
            delivery = (await teller.wait_for("delivered"))[0]

    assert delivery.attempts[0].status is None
    assert (delivery.attempts[0].error or "").startswith("no connection: ")


async def test_a_receiver_that_never_answers_is_given_up_in_time(tmp_path: Path) -> None:
    settings = CallbackSettings(schedule_s=(0.0,), timeout_s=0.1)
    async with receiving() as receiver, telling(tmp_path, settings) as teller:
        receiver.always = hang
        await teller.tell([await teller.subscribe(receiver.url)])

        (attempt,) = (await teller.wait_for("gave_up"))[0].attempts

    assert (attempt.status, attempt.error) == (None, "no answer within 0.1 s")


async def test_an_answer_without_end_counts_and_is_cut_off(tmp_path: Path) -> None:
    async with receiving() as receiver, telling(tmp_path) as teller:
        receiver.always = endless()
        await teller.tell([await teller.subscribe(receiver.url)])

        (attempt,) = (await teller.wait_for("delivered"))[0].attempts
        await until(lambda: receiver.in_hand == 0)

    assert attempt.status == 200
    assert attempt.duration_s < 2


async def test_a_receiver_that_says_it_is_gone_gets_nothing_more(tmp_path: Path) -> None:
    async with receiving() as receiver, telling(tmp_path) as teller:
        receiver.always = 410
        subscription = await teller.subscribe(receiver.url)
        await teller.tell([subscription])
        await teller.wait_for("gave_up")
        other = await teller.subscribe(receiver.url, number=2)
        await teller.tell([other], number=2)

        deliveries = await teller.wait_for("gave_up", 2)

    assert [each.gave_up for each in deliveries] == ["gone", "gone"]
    assert [len(each.attempts) for each in deliveries] == [1, 0]
    assert len(receiver.received) == 1


async def test_a_receiver_that_asks_for_time_gets_it(tmp_path: Path) -> None:
    async with receiving() as receiver, telling(tmp_path) as teller:
        receiver.answers = [
            with_headers(429, Retry_After="1"),
            with_headers(
                503, Retry_After=format_datetime(now() + timedelta(seconds=3_600), usegmt=True)
            ),
        ]
        await teller.tell([await teller.subscribe(receiver.url)])

        await receiver.wait(2)

        async def waits() -> bool:
            return len((await teller.one()).attempts) == 2

        await until(waits)
        delivery = await teller.one()

    first, second = delivery.attempts
    assert (second.at - first.at).total_seconds() >= 1
    assert delivery.next_at is not None
    assert 3_000 < (delivery.next_at - second.at).total_seconds() < 3_700


async def test_an_address_that_may_not_be_called_is_a_failed_try(tmp_path: Path) -> None:
    settings = CallbackSettings(schedule_s=(0.0, 0.01))
    async with receiving() as receiver, telling(tmp_path, settings, allow=()) as teller:
        await teller.tell([await teller.subscribe(receiver.url)])

        delivery = (await teller.wait_for("gave_up"))[0]
        shown = teller.telemetry.render().decode()

    assert receiver.received == []
    assert [each.status for each in delivery.attempts] == [None, None]
    assert "is not allowed" in (delivery.attempts[0].error or "")
    assert 'jobwire_callbacks_attempted_total{result="denied"} 2.0' in shown
    assert 'jobwire_callbacks_gave_up_total{reason="tries_ended"} 1.0' in shown


async def test_a_name_that_leads_to_this_machine_is_a_failed_try(tmp_path: Path) -> None:
    settings = CallbackSettings(schedule_s=(0.0, 0.01))
    leading = Leading("127.0.0.1")
    async with receiving() as receiver, telling(tmp_path, settings, (), leading) as teller:
        url = f"http://callbacks.example.org:{receiver.port}/hook"
        await teller.tell([await teller.subscribe(url)])

        delivery = (await teller.wait_for("gave_up"))[0]

    assert receiver.received == []
    assert leading.asked
    assert {each.error for each in delivery.attempts} == {
        "the address is not one that may be called"
    }


@pytest.mark.parametrize(
    "place", ["notifier.before_plan", "notifier.after_plan", "notifier.before_send"]
)
async def test_a_crash_before_the_answer_loses_nothing(tmp_path: Path, place: str) -> None:
    passed: list[str] = []

    def crash() -> None:
        passed.append(place)
        raise RuntimeError(place)

    async with receiving() as receiver:
        async with telling(tmp_path, CallbackSettings(schedule_s=(0.0, 0.5, 0.5))) as teller:
            failpoints.arm(place, crash)
            (entry,) = await teller.tell([await teller.subscribe(receiver.url)])
            await until(lambda: bool(passed))
            await turns()
        failpoints.disarm()
        async with telling(tmp_path) as teller:
            delivered = (await teller.wait_for("delivered"))[0]

    assert entry.seq == delivered.seq
    assert receiver.ids == [delivered.id]


async def test_a_crash_between_the_answer_and_its_record_repeats_with_the_same_id(
    tmp_path: Path,
) -> None:
    async with receiving() as receiver:
        async with telling(tmp_path) as teller:

            async def fail(deliveries: Sequence[Delivery]) -> None:
                raise Unavailable(f"the disk is gone with {len(deliveries)} of them")

            teller.store.save_deliveries = fail  # type: ignore[method-assign]
            await teller.tell([await teller.subscribe(receiver.url)])
            await receiver.wait(1)
        async with telling(tmp_path) as teller:
            await receiver.wait(2)
            delivery = (await teller.wait_for("delivered"))[0]

    assert receiver.ids == [delivery.id] * 2
    assert delivery.tries == 1


async def test_what_the_store_cannot_record_now_is_recorded_later(tmp_path: Path) -> None:
    async with receiving() as receiver, telling(tmp_path) as teller:
        save = teller.store.save_deliveries
        failed: list[Sequence[Delivery]] = []

        async def fail_once(deliveries: Sequence[Delivery]) -> None:
            if not failed:
                failed.append(deliveries)
                raise Unavailable("the disk is busy")
            await save(deliveries)

        teller.store.save_deliveries = fail_once  # type: ignore[method-assign]
        await teller.tell([await teller.subscribe(receiver.url)])

        await teller.wait_for("delivered")

    assert failed
    assert len(receiver.received) == 1


async def test_a_dead_receiver_with_a_thousand_deliveries_delays_nobody_else(
    tmp_path: Path,
) -> None:
    settings = CallbackSettings(schedule_s=(0.0, 3_600.0), timeout_s=20.0)
    async with receiving() as dead, receiving() as well, telling(tmp_path, settings) as teller:
        dead.always = hang
        await teller.tell([await teller.subscribe(dead.url)], events=1_000)
        await dead.wait(4)
        other = await teller.subscribe(well.url, number=2)
        watch = Stopwatch()
        await teller.tell([other], number=2, events=50)

        await well.wait(50)
        took_s = watch.seconds

        assert took_s < 2
        assert dead.most_in_hand == 4
        assert len(teller.notifier._breaker._endpoints) <= 2


async def test_a_receiver_gets_so_many_at_a_time_and_everything_in_the_end(tmp_path: Path) -> None:
    settings = CallbackSettings(schedule_s=(0.0, 0.05), parallel=8, parallel_per_endpoint=3)
    async with receiving() as receiver, telling(tmp_path, settings) as teller:
        await teller.tell([await teller.subscribe(receiver.url)], events=300)

        deliveries = await teller.wait_for("delivered", 300)

    assert receiver.most_in_hand <= 3
    assert sorted(receiver.ids) == sorted(each.id for each in deliveries)
    assert len(set(receiver.ids)) == 300


async def test_receivers_that_fail_leave_tries_to_those_that_do_not(tmp_path: Path) -> None:
    settings = CallbackSettings(schedule_s=(0.0, *[0.01] * 40), parallel=4, timeout_s=0.1)
    leading = Leading("127.0.0.1")
    async with (
        receiving() as dead,
        receiving() as well,
        telling(tmp_path, settings, resolver=leading) as teller,
    ):
        dead.always = hang
        for number in range(2, 8):
            # The same receiver under other names: each an endpoint of its own.
            url = dead.url.replace("127.0.0.1", f"callbacks{number}.example.org")
            subscription = await teller.subscribe(url, number=number)
            await teller.tell([subscription], number=number, events=10)
        breaker = teller.notifier._breaker
        known = breaker._endpoints
        await until(lambda: sum(each.failures >= FAILING for each in known.values()) == 6)
        watch = Stopwatch()
        await teller.tell([await teller.subscribe(well.url)], events=20)

        await well.wait(20)
        took_s = watch.seconds

    assert took_s < 1


async def test_an_owner_with_many_receivers_that_hang_delays_no_other_owner(
    tmp_path: Path,
) -> None:
    settings = CallbackSettings(schedule_s=(0.0, 3_600.0), parallel=4, timeout_s=20.0)
    async with (
        receiving() as dead,
        receiving() as well,
        telling(tmp_path, settings, resolver=Leading("127.0.0.1")) as teller,
    ):
        dead.always = hang
        for number in range(2, 12):
            url = dead.url.replace("127.0.0.1", f"callbacks{number}.example.org")
            subscription = await teller.subscribe(url, number=number)
            await teller.tell([subscription], number=number)
        await dead.wait(2)
        other = await teller.subscribe(well.url, owner=STRANGER)
        # Found in the store, where those of the other owner wait for longer.
        await teller.tell([other], events=20, quietly=True)

        await well.wait(20)

        assert dead.most_in_hand == 2


async def test_what_is_asked_for_while_it_is_tried_is_tried_again(tmp_path: Path) -> None:
    settings = CallbackSettings(schedule_s=(0.0,), timeout_s=0.5)
    async with receiving() as receiver, telling(tmp_path, settings) as teller:
        receiver.answers = [hang]
        await teller.tell([await teller.subscribe(receiver.url)])
        await receiver.wait(1)
        await teller.deliveries.redeliver(principal(), (await teller.one()).id)

        delivery = (await teller.wait_for("delivered"))[0]

    assert [each.status for each in delivery.attempts] == [None, 200]
    assert receiver.ids == [delivery.id] * 2


@pytest.mark.parametrize(
    ("fields", "attempt"),
    [
        ({"state": "RETRYING", "change": Change(attempt=2)}, 1),
        ({"id": "jobwire.a2.run.0"}, 2),
        ({"id": "mine.a2.run"}, 3),
    ],
)
def test_a_message_names_the_attempt_that_its_event_tells_of(
    fields: dict[str, Any], attempt: int
) -> None:
    entry = make_entry(seq=2, name="fail", **fields)

    body = msgspec.json.decode(write_body(entry, make_job(attempt=3)))

    assert body["data"]["attempt"] == attempt


async def test_a_delivery_that_was_taken_is_sent_again_by_hand(tmp_path: Path) -> None:
    async with receiving() as receiver, telling(tmp_path) as teller:
        await teller.tell([await teller.subscribe(receiver.url)])
        first = (await teller.wait_for("delivered"))[0]

        asked = await teller.deliveries.redeliver(principal(), first.id)
        await receiver.wait(2)

        async def taken() -> bool:
            return (await teller.one()).status == "delivered"

        await until(taken)
        second = await teller.one()

    assert (asked.status, asked.id) == ("pending", first.id)
    assert receiver.ids == [first.id] * 2
    assert [each.status for each in second.attempts] == [200, 200]


async def test_a_stranger_sends_nothing_again(tmp_path: Path) -> None:
    async with receiving() as receiver, telling(tmp_path) as teller:
        await teller.tell([await teller.subscribe(receiver.url)])
        delivery = (await teller.wait_for("delivered"))[0]

        with pytest.raises(NotFound):
            await teller.deliveries.redeliver(principal(STRANGER), delivery.id)
        recovered = await teller.deliveries.recover(principal(STRANGER), delivery.created)

    assert recovered.deliveries == 0


async def test_what_gave_up_is_recovered_at_once(tmp_path: Path) -> None:
    settings = CallbackSettings(schedule_s=(0.0,))
    async with receiving() as receiver, telling(tmp_path, settings) as teller:
        receiver.always = 500
        await teller.tell([await teller.subscribe(receiver.url)], events=5)
        before = await teller.wait_for("gave_up", 5)
        receiver.always = 200

        late = await teller.deliveries.recover(principal(), now())
        recovered = await teller.deliveries.recover(principal(), before[0].created)
        after = await teller.wait_for("delivered", 5)

    assert (late.deliveries, recovered.deliveries, recovered.is_cut) == (0, 5, False)
    assert [each.id for each in after] == [each.id for each in before]
    assert all([a.status for a in each.attempts] == [500, 200] for each in after)


async def test_a_receiver_that_failed_for_long_is_disabled_across_restarts(tmp_path: Path) -> None:
    settings = CallbackSettings(schedule_s=(0.0, 0.02), disable_after_s=0.2)
    async with receiving() as receiver:
        receiver.always = 500
        async with telling(tmp_path, settings) as teller:
            subscription = await teller.subscribe(receiver.url)
            await teller.tell([subscription])
            await teller.wait_for("gave_up")
            (record,) = await teller.store.select(ENDPOINTS, None, "", 10)
            failing_since = (await teller.all())[0].attempts[0].at
        async with telling(tmp_path, settings) as teller:
            await until(lambda: (now() - failing_since).total_seconds() > 0.3)
            other = await teller.subscribe(receiver.url, number=2)
            await teller.tell([other], number=2, events=2)
            await teller.wait_for("gave_up", 3)
            third = await teller.subscribe(receiver.url + "/third", number=3)
            tries = len(receiver.received)
            await teller.tell([third], number=3)
            deliveries = await teller.wait_for("gave_up", 4)

    assert record.owner == OWNER
    assert deliveries[0].gave_up == "tries_ended"
    assert {each.gave_up for each in deliveries[1:]} == {"disabled"}
    assert deliveries[-1].attempts == ()
    assert len(receiver.received) == tries


async def test_a_disabled_receiver_is_tried_by_hand_and_a_success_enables_it(
    tmp_path: Path,
) -> None:
    settings = CallbackSettings(schedule_s=(0.0, 0.02, 0.02), disable_after_s=0.0)
    async with receiving() as receiver, telling(tmp_path, settings) as teller:
        receiver.answers = [500, 500, 500]
        await teller.tell([await teller.subscribe(receiver.url)])
        disabled = (await teller.wait_for("gave_up"))[0]
        assert disabled.gave_up == "disabled"
        tried = len(receiver.received)

        receiver.answers = [500]
        await teller.deliveries.redeliver(principal(), disabled.id)
        await receiver.wait(tried + 1)
        again = (await teller.wait_for("gave_up"))[0]
        receiver.answers = []
        await teller.deliveries.redeliver(principal(), disabled.id)
        await teller.wait_for("delivered")
        other = await teller.subscribe(receiver.url, number=2)
        await teller.tell([other], number=2)
        await teller.wait_for("delivered", 2)
        records = await teller.store.select(ENDPOINTS, None, "", 10)

    assert again.gave_up == "disabled"
    assert records == []


async def test_another_owner_of_a_disabled_receiver_is_told(tmp_path: Path) -> None:
    settings = CallbackSettings(schedule_s=(0.0, 0.02), disable_after_s=0.0)
    async with receiving() as receiver, telling(tmp_path, settings) as teller:
        receiver.answers = [500, 500]
        await teller.tell([await teller.subscribe(receiver.url)])
        await teller.wait_for("gave_up")
        other = await teller.subscribe(receiver.url, number=2, owner=STRANGER)
        await teller.tell([other], number=2)

        await receiver.wait(3)

        async def told() -> bool:
            return [each.status for each in await teller.all(STRANGER)] == ["delivered"]

        await until(told)


async def test_a_burst_that_is_more_than_is_remembered_is_told_completely(tmp_path: Path) -> None:
    async with receiving() as receiver, telling(tmp_path) as teller:
        await teller.tell([await teller.subscribe(receiver.url)], events=1_500)

        await receiver.wait(1_500, 15.0)
        await teller.wait_for("delivered", 1_500, 15.0)

    assert len(set(receiver.ids)) == 1_500


async def test_an_entry_whose_planning_fails_holds_up_no_other(tmp_path: Path) -> None:
    async with receiving() as receiver, telling(tmp_path) as teller:
        subscription = await teller.subscribe(receiver.url)
        plan = teller.notifier._planner._of_entry

        async def break_at_three(entry: object, job: object) -> list[Delivery]:
            if getattr(entry, "seq", 0) == 3:
                raise RuntimeError("seq 3")
            return await plan(entry, job)  # type: ignore[arg-type]

        teller.notifier._planner._of_entry = break_at_three  # type: ignore[method-assign]
        await teller.tell([subscription], events=4)

        received = await receiver.wait(3)

        assert sorted(each.news["seq"] for each in received) == [2, 4, 5]
        assert [each.seq for each in await teller.store.due(10)] == [3]


async def test_a_subscription_that_is_gone_holds_nothing_up(tmp_path: Path) -> None:
    async with receiving() as receiver, telling(tmp_path) as teller:
        gone = await teller.subscribe(receiver.url)
        await teller.deliveries.unsubscribe(gone)
        there = await teller.subscribe(receiver.url + "/two")
        await teller.tell([gone, there])

        (received,) = await receiver.wait(1)
        await teller.wait_for("delivered")

        assert received.path == "/hook/two"
        assert await teller.store.due(10) == []


async def test_old_deliveries_and_what_belongs_to_them_are_dropped(tmp_path: Path) -> None:
    async with receiving() as receiver, telling(tmp_path) as teller:
        mine = await teller.subscribe(receiver.url)
        entries = await teller.tell([mine])
        await teller.wait_for("delivered")
        kept = await teller.subscribe(receiver.url, number=2)
        await teller.tell([kept], number=2)
        await teller.wait_for("delivered", 2)
        gone = make_entry(seq=3, name="delete", change=Change(deleted=True))
        await teller.add([make_history()[0], *entries], gone)
        retention = teller.notifier._retention

        early = await retention.drop_subscriptions()
        retention._clock = lambda: now() + timedelta(days=40)
        still_listed = await retention.drop_subscriptions()
        deliveries = await retention.drop_deliveries()
        subscriptions = await retention.drop_subscriptions()

        assert (early, still_listed, deliveries, subscriptions) == (0, 0, 2, 1)
        assert await teller.all() == []
        assert await teller.deliveries.subscription(OWNER, mine.id) is None
        assert await teller.deliveries.subscription(OWNER, kept.id) is not None


async def test_a_subscription_that_came_with_a_refused_repetition_is_dropped(
    tmp_path: Path,
) -> None:
    async with receiving() as receiver, telling(tmp_path) as teller:
        named = await teller.subscribe(receiver.url)
        await teller.tell([named])
        await teller.wait_for("delivered")
        refused = await teller.subscribe(receiver.url + "/other")
        unmade = await teller.subscribe(receiver.url, number=2)
        retention = teller.notifier._retention

        early = await retention.drop_subscriptions()
        retention._clock = lambda: now() + timedelta(minutes=20)
        late = await retention.drop_subscriptions()

        assert (early, late) == (0, 1)
        assert await teller.deliveries.subscription(OWNER, refused.id) is None
        for kept in (named, unmade):
            assert await teller.deliveries.subscription(OWNER, kept.id) is not None


async def test_what_failed_long_ago_is_forgotten(tmp_path: Path) -> None:
    async with (
        receiving() as receiver,
        telling(tmp_path, CallbackSettings(schedule_s=(0.0,))) as teller,
    ):
        receiver.always = 500
        await teller.tell([await teller.subscribe(receiver.url)])
        await teller.wait_for("gave_up")
        retention = teller.notifier._retention

        await retention.drop_endpoints()
        before = await teller.store.select(ENDPOINTS, None, "", 10)
        retention._clock = lambda: now() + timedelta(days=40)
        await retention.drop_endpoints()
        after = await teller.store.select(ENDPOINTS, None, "", 10)

    assert (len(before), after) == (1, [])


async def test_a_notifier_that_stops_while_a_receiver_hangs_does_not_wait_for_it(
    tmp_path: Path,
) -> None:
    async with receiving() as receiver:
        receiver.always = hang
        async with telling(tmp_path) as teller:
            await teller.tell([await teller.subscribe(receiver.url)])
            await receiver.wait(1)
            assert teller.notifier.not_ready() is None
            watch = Stopwatch()
        took_s = watch.seconds
        receiver.always = 200
        async with telling(tmp_path) as teller:
            await teller.wait_for("delivered")

    assert took_s < 3
    assert receiver.ids[0] == receiver.ids[-1]


async def test_a_notifier_may_be_stopped_before_its_start_and_twice(tmp_path: Path) -> None:
    async with telling(tmp_path) as teller:
        await teller.notifier.stop()
        await teller.notifier.stop()

        assert teller.notifier.not_ready() == "notifier"


async def test_a_try_that_breaks_by_a_fault_of_the_service_is_made_again(tmp_path: Path) -> None:
    async with receiving() as receiver, telling(tmp_path) as teller:
        broken: list[int] = []

        def break_once() -> None:
            if not broken:
                broken.append(1)
                raise RuntimeError("once")

        failpoints.arm("notifier.after_send", break_once)
        await teller.tell([await teller.subscribe(receiver.url)])

        delivery = (await teller.wait_for("delivered"))[0]

    assert receiver.ids == [delivery.id] * 2
    assert [each.error for each in delivery.attempts] == [
        "the service failed in trying; see its log",
        None,
    ]


async def test_what_is_due_later_is_told_then(tmp_path: Path) -> None:
    settings = CallbackSettings(schedule_s=(0.3, *QUICK))
    async with receiving() as receiver, telling(tmp_path, settings) as teller:
        (entry,) = await teller.tell([await teller.subscribe(receiver.url)])

        await receiver.wait(1)
        delivery = (await teller.wait_for("delivered"))[0]

    waited_s = (delivery.attempts[0].at - entry.received).total_seconds()
    assert 0.3 <= waited_s < 0.6
    assert replace(delivery, attempts=()).status == "delivered"


class _Bare(ForeignDialect):
    """A language whose receivers expect a PUT of the state alone, and nothing of `resource`."""

    name = "bare"

    def routes(self) -> Iterable[web.RouteDef]:
        return []

    def problem(self, error: JobwireError) -> web.Response:
        return web.Response(status=error.status)

    async def callback(self, job: Job, entry: Entry, subscription: Subscription) -> Notice | None:
        if entry.data == b'"silent"':
            return None
        said = {"state": entry.state, "name": job.name, "to": subscription.id}
        return Notice(msgspec.json.encode(said), "PUT", (("Content-Type", "text/x-bare"),))


async def test_a_receiver_is_told_in_the_form_of_the_dialect_that_the_job_was_made_in(
    tmp_path: Path,
) -> None:
    async with receiving() as receiver, telling(tmp_path, dialects={"bare": _Bare()}) as teller:
        subscription = await teller.subscribe(receiver.url)
        receiver.answers = [500]
        await teller.tell([subscription], dialect="bare", state="RUNNING")

        first, again = await receiver.wait(2)
        (delivered,) = await teller.wait_for("delivered")

    assert (first.method, again.method) == ("PUT", "PUT")
    assert first.headers["content-type"] == "text/x-bare"
    assert first.body == again.body == delivered.body
    # Signed as all callbacks are: whoever wants to can verify it, and tell repetitions.
    assert first.id == again.id == delivered.id
    assert again.verified(subscription.secret) == {
        "state": "RUNNING",
        "name": "fit",
        "to": subscription.id,
    }


async def test_a_dialect_may_tell_nothing_of_an_entry(tmp_path: Path) -> None:
    async with receiving() as receiver, telling(tmp_path, dialects={"bare": _Bare()}) as teller:
        subscription = await teller.subscribe(receiver.url)
        await teller.tell([subscription], dialect="bare", data=b'"silent"')
        await teller.tell([subscription], dialect="bare", number=2, state="RUNNING")

        await receiver.wait(1)
        told = await teller.wait_for("delivered")

    assert [(each.job, each.state) for each in told] == [(job_id(2), "RUNNING")]


class _Ordered(_Bare):
    """One whose receivers want everything in its order, and answer whatever they like."""

    name = "ordered"

    async def callback(self, job: Job, entry: Entry, subscription: Subscription) -> Notice | None:
        del job, subscription
        body = str(entry.seq).encode()
        return Notice(body, "PUT", signer="keys", in_order=True, lenient=True)


class _Keys:
    """Gives a number with each request, and another one where somebody asks for it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def authorization(self, method: str, url: URL, challenges: Sequence[str]) -> str | None:
        self.asked.append((method, url.path, *challenges))
        if "Never" in challenges:
            return None
        return f"Number {len(self.asked)}"


_ORDERED: Final = {"ordered": _Ordered()}


async def test_what_is_told_in_order_waits_for_what_was_before_it(tmp_path: Path) -> None:
    async with receiving() as receiver, telling(tmp_path, dialects=_ORDERED) as teller:
        subscription = await teller.subscribe(receiver.url)
        receiver.answers = [503, reset, 500]
        await teller.tell([subscription], dialect="ordered", events=3)

        await teller.wait_for("delivered", 3)

    assert [each.body for each in receiver.received] == [b"2", b"2", b"2", b"2", b"3", b"4"]


async def test_what_was_given_up_keeps_nobody_waiting(tmp_path: Path) -> None:
    settings = CallbackSettings(schedule_s=(0.0, 0.01))
    async with receiving() as receiver, telling(tmp_path, settings, dialects=_ORDERED) as teller:
        subscription = await teller.subscribe(receiver.url)
        receiver.answers = [500, 500]
        await teller.tell([subscription], dialect="ordered", events=2)

        (gave_up, delivered) = await teller.wait_for("delivered")

    assert [each.body for each in receiver.received] == [b"2", b"2", b"3"]
    assert (gave_up.status, gave_up.gave_up, delivered.seq) == ("gave_up", "tries_ended", 3)


async def test_the_order_is_kept_over_a_restart(tmp_path: Path) -> None:
    slow = CallbackSettings(schedule_s=(0.0, 0.3))
    async with receiving() as receiver:
        async with telling(tmp_path, slow, dialects=_ORDERED) as teller:
            subscription = await teller.subscribe(receiver.url)
            receiver.answers = [500]
            await teller.tell([subscription], dialect="ordered", events=3)
            await receiver.wait(1)
        async with telling(tmp_path, slow, dialects=_ORDERED) as teller:
            await teller.wait_for("delivered", 3)

    assert [each.body for each in receiver.received] == [b"2", b"2", b"3", b"4"]


async def test_what_is_refused_quickly_and_again_lets_the_later_ones_go_first(
    tmp_path: Path,
) -> None:
    settings = CallbackSettings(schedule_s=(0.0, 0.01, 120.0))
    async with receiving() as receiver:
        async with telling(tmp_path, settings, dialects=_ORDERED) as teller:
            subscription = await teller.subscribe(receiver.url)
            receiver.answers = [500, 500, 500]
            await teller.tell([subscription], dialect="ordered", events=3)
            waiting, *_ = await teller.wait_for("delivered", 2)
            # Two minutes later.
            await teller.store.save_deliveries([replace(waiting, next_at=now())])
        async with telling(tmp_path, settings, dialects=_ORDERED) as teller:
            gave_up, *_ = await teller.wait_for("gave_up")
            taken = [each.body for each in receiver.received]
            await teller.deliveries.redeliver(principal(), gave_up.id)
            await teller.wait_for("delivered", 3)

    assert taken == [b"2", b"2", b"3", b"3", b"4"]
    assert (gave_up.seq, gave_up.gave_up) == (2, "overtaken")
    # By hand it is sent all the same.
    assert receiver.received[-1].body == b"2"


async def test_one_receiver_s_order_holds_up_no_other_job(tmp_path: Path) -> None:
    slow = CallbackSettings(schedule_s=(0.0, 30.0))
    async with receiving() as receiver, telling(tmp_path, slow, dialects=_ORDERED) as teller:
        first = await teller.subscribe(receiver.url)
        other = await teller.subscribe(receiver.url, number=2)
        receiver.answers = [500]
        await teller.tell([first], dialect="ordered", events=2)
        await receiver.wait(1)
        await teller.tell([other], number=2, dialect="ordered", events=2)

        await teller.wait_for("delivered", 2)

    assert [each.body for each in receiver.received] == [b"2", b"2", b"3"]


@pytest.mark.parametrize("status", [302, 400, 404, 410, 499])
async def test_receivers_that_never_learned_to_answer_are_taken_at_their_word(
    tmp_path: Path, status: int
) -> None:
    async with receiving() as receiver, telling(tmp_path, dialects=_ORDERED) as teller:
        subscription = await teller.subscribe(receiver.url)
        receiver.always = status
        await teller.tell([subscription], dialect="ordered", events=2)

        await teller.wait_for("delivered", 2)

    assert [each.body for each in receiver.received] == [b"2", b"3"]


@pytest.mark.parametrize("status", [401, 408, 425, 429, 500, 503])
async def test_an_answer_that_asks_for_another_try_gets_one(tmp_path: Path, status: int) -> None:
    async with receiving() as receiver, telling(tmp_path, dialects=_ORDERED) as teller:
        subscription = await teller.subscribe(receiver.url)
        receiver.answers = [status]
        await teller.tell([subscription], dialect="ordered")

        (delivered,) = await teller.wait_for("delivered")

    assert [each.status for each in delivered.attempts] == [status, 200]


async def test_a_login_of_the_subscription_is_sent_first_and_a_challenge_is_answered_still(
    tmp_path: Path,
) -> None:
    keys = _Keys()
    telling_ = telling(tmp_path, dialects=_ORDERED, signers={"keys": keys})
    async with receiving() as receiver, telling_ as teller:
        (subscription,) = await teller.deliveries.subscribe(
            OWNER, job_id(1), [Callback(url=receiver.url)], b"", "Basic dTpw"
        )
        receiver.answers = [with_headers(401, WWW_Authenticate="Number")]
        await teller.tell([subscription], dialect="ordered")

        await teller.wait_for("delivered")

    said = [each.headers["authorization"] for each in receiver.received]
    assert said == ["Basic dTpw", "Number 1"]


async def test_every_try_is_authorized_and_a_challenge_is_answered_within_it(
    tmp_path: Path,
) -> None:
    keys = _Keys()
    telling_ = telling(tmp_path, dialects=_ORDERED, signers={"keys": keys})
    async with receiving() as receiver, telling_ as teller:
        subscription = await teller.subscribe(receiver.url)
        receiver.answers = [with_headers(401, WWW_Authenticate="Number")]
        await teller.tell([subscription], dialect="ordered")

        (delivered,) = await teller.wait_for("delivered")

    assert [each.headers["authorization"] for each in receiver.received] == ["Number 1", "Number 2"]
    assert keys.asked == [("PUT", "/hook"), ("PUT", "/hook", "Number")]
    assert len(delivered.attempts) == 1


@pytest.mark.parametrize("refusal", [401, with_headers(401, WWW_Authenticate="Never")])
async def test_a_refusal_without_a_challenge_to_answer_is_a_failed_try(
    tmp_path: Path, refusal: int | Answer
) -> None:
    telling_ = telling(tmp_path, dialects=_ORDERED, signers={"keys": _Keys()})
    async with receiving() as receiver, telling_ as teller:
        subscription = await teller.subscribe(receiver.url)
        receiver.answers = [refusal]
        await teller.tell([subscription], dialect="ordered")

        (delivered,) = await teller.wait_for("delivered")

    assert [each.status for each in delivered.attempts] == [401, 200]
    assert "Number" not in str(delivered.attempts)


async def test_what_was_heard_too_late_for_its_order_is_not_told(tmp_path: Path) -> None:
    async with receiving() as receiver, telling(tmp_path, dialects=_ORDERED) as teller:
        subscription = await teller.subscribe(receiver.url)
        await teller.tell([subscription], dialect="ordered", number=2)
        await receiver.wait(1)
        missed = await teller.tell([subscription], dialect="ordered", quietly=True)
        creation = make_creation(owner=OWNER, dialect="ordered", interests=(subscription.interest,))
        (born,) = make_history(creation=creation)
        heard = make_entry(seq=3, name="update", due=(subscription.id,), received=now())
        await teller.add([born, *missed], heard)

        await receiver.wait(2)
        await until(lambda: _nothing_is_due(teller))

    assert [each.body for each in receiver.received] == [b"2", b"3"]


async def _nothing_is_due(teller: CommitPublisher) -> bool:
    return not await teller.store.due(1)

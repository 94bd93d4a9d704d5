"""Callbacks through the whole service: asked for with a job, told, listed, sent again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobwire.actors.runtime.settings import CallbackSettings, Settings
from tests.support.deadlines import until
from tests.support.receiver import Receiver, receiving
from tests.support.service import Caller, Service, running

_SETTINGS = Settings(port=0, callbacks=CallbackSettings(schedule_s=(0.0, 0.02)))


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """Yield a running service whose callbacks give up soon."""
    async with running(tmp_path / "data", _SETTINGS) as service:
        yield service


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Yield a receiver."""
    async with receiving() as receiver:
        yield receiver


async def _deliveries(caller: Caller, count: int, status: str = "", **query: Any) -> list[Any]:
    """Wait until so many deliveries are listed; return them, oldest first."""
    found: list[Any] = []

    async def have_it() -> bool:
        nonlocal found
        params = {"limit": "500", **query, **({"status": status} if status else {})}
        found = (await caller.get("/v1/deliveries", params=params)).json["items"]
        return len(found) >= count

    await until(have_it)
    return found[::-1]


async def test_every_change_of_state_is_told_with_a_signature(
    service: Service, receiver: Receiver
) -> None:
    job = await service.admin.make_job(
        name="fit", tags=["nightly"], callbacks=[{"url": receiver.url}]
    )
    for name in ("run", "update", "finish"):
        await service.admin.report(job, name, data={"by": name})

    received = await receiver.wait(3)

    (callback,) = job["callbacks"]
    messages = sorted((each.verified(callback["secret"]) for each in received), key=_seq)
    assert [each["type"] for each in messages] == ["job.create", "job.run", "job.finish"]
    assert [each["data"]["state"] for each in messages] == ["CREATED", "RUNNING", "FINISHED"]
    assert messages[-1]["data"]["outcome"] == "success"
    assert messages[-1]["data"]["data"] == {"by": "finish"}
    assert {each["data"]["name"] for each in messages} == {"fit"}
    assert {each["data"]["job"] for each in messages} == {job["id"]}


def _seq(message: Any) -> int:
    return int(message["data"]["seq"])


async def test_only_what_was_asked_for_is_told(service: Service, receiver: Receiver) -> None:
    job = await service.admin.make_job(
        callbacks=[
            {"url": f"{receiver.url}/states", "states": ["RUNNING"]},
            {"url": f"{receiver.url}/outcomes", "outcomes": ["failure"]},
            {"url": f"{receiver.url}/events", "events": ["update"]},
        ]
    )
    for name in ("run", "update", "fail"):
        await service.admin.report(job, name)

    received = await receiver.wait(3)
    await _deliveries(service.admin, 3, "delivered")

    told = {each.path: each.news["event"] for each in received}
    assert told == {"/hook/states": "run", "/hook/outcomes": "fail", "/hook/events": "update"}


async def test_a_delivery_is_listed_with_its_tries_and_without_its_secret(
    service: Service, receiver: Receiver
) -> None:
    receiver.answers = [500]
    job = await service.admin.make_job(callbacks=[{"url": receiver.url, "events": ["run"]}])
    await service.admin.report(job, "run")

    (listed,) = await _deliveries(service.admin, 1, "delivered")
    one = await service.admin.get(f"/v1/deliveries/{listed['id']}")

    assert one.json == listed
    assert (listed["job"], listed["event"], listed["seq"]) == (job["id"], "run", 2)
    assert listed["subscription"] == job["callbacks"][0]["id"]
    assert (listed["url"], listed["next_at"], listed["gave_up"]) == (receiver.url, None, None)
    assert [(each["status"], each["error"]) for each in listed["attempts"]] == [
        (500, "answered 500"),
        (200, None),
    ]
    assert job["callbacks"][0]["secret"].encode() not in one.body
    shown = await service.admin.get(f"/v1/jobs/{job['id']}")
    assert job["callbacks"][0]["secret"].encode() not in shown.body


async def test_deliveries_are_found_by_job_status_subscription_and_time(
    service: Service, receiver: Receiver
) -> None:
    one = await service.admin.make_job(callbacks=[{"url": receiver.url}])
    await _deliveries(service.admin, 1, "delivered")
    receiver.always = 500
    other = await service.admin.make_job(callbacks=[{"url": receiver.url}])
    await _deliveries(service.admin, 1, "gave_up")
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()

    async def found(path: str = "/v1/deliveries", **query: str) -> list[str]:
        items = (await service.admin.get(path, params=query)).json["items"]
        return [each["job"] for each in items]

    assert await found() == [other["id"], one["id"]]
    assert await found(job=one["id"]) == [one["id"]]
    assert await found(job=one["id"].upper()) == [one["id"]]
    assert await found(status="gave_up") == [other["id"]]
    assert await found(subscription=one["callbacks"][0]["id"]) == [one["id"]]
    assert await found(subscription="sub_unknown") == []
    assert await found(since=tomorrow) == []
    assert await found(f"/v1/jobs/{one['id']}/deliveries") == [one["id"]]
    assert await found(f"/v1/jobs/{one['id']}/deliveries", status="gave_up") == []


async def test_a_list_comes_in_pages(service: Service, receiver: Receiver) -> None:
    for _ in range(5):
        await service.admin.make_job(callbacks=[{"url": receiver.url}])
    whole = await _deliveries(service.admin, 5, "delivered")

    paged: list[Any] = []
    query = {"limit": "2"}
    while True:
        answer = (await service.admin.get("/v1/deliveries", params=query)).json
        paged += answer["items"]
        if answer["next"] is None:
            break
        query["cursor"] = answer["next"]
    foreign = await service.admin.get(
        "/v1/deliveries", params={"cursor": query["cursor"], "status": "pending"}
    )

    assert paged == whole[::-1]
    assert (foreign.status, foreign.json["code"]) == (422, "wrong_cursor")


async def test_a_delivery_is_sent_again_under_its_id(service: Service, receiver: Receiver) -> None:
    await service.admin.make_job(callbacks=[{"url": receiver.url}])
    (delivery,) = await _deliveries(service.admin, 1, "delivered")

    asked = await service.admin.post(f"/v1/deliveries/{delivery['id']}/redeliver")
    received = await receiver.wait(2)

    assert asked.status == 202
    assert (asked.json["id"], asked.json["status"]) == (delivery["id"], "pending")
    assert [each.id for each in received] == [delivery["id"]] * 2


async def test_what_gave_up_is_sent_again_at_once(service: Service, receiver: Receiver) -> None:
    receiver.always = 500
    for _ in range(3):
        await service.admin.make_job(callbacks=[{"url": receiver.url}])
    given_up = await _deliveries(service.admin, 3, "gave_up")
    receiver.always = 200

    recovered = await service.admin.post(
        "/v1/deliveries/recover", json={"since": given_up[0]["created"]}
    )
    delivered = await _deliveries(service.admin, 3, "delivered")

    assert (recovered.status, recovered.json) == (202, {"deliveries": 3, "cut": False})
    assert {each["id"] for each in delivered} == {each["id"] for each in given_up}


async def test_deliveries_of_a_deleted_job_stay_listed(
    service: Service, receiver: Receiver
) -> None:
    job = await service.admin.make_job(callbacks=[{"url": receiver.url}])
    await _deliveries(service.admin, 1, "delivered")
    await service.admin.delete(f"/v1/jobs/{job['id']}?force=true")

    listed = await _deliveries(service.admin, 1, job=job["id"])
    of_job = await service.admin.get(f"/v1/jobs/{job['id']}/deliveries")

    assert [each["job"] for each in listed] == [job["id"]]
    assert (of_job.status, of_job.json["code"]) == (404, "unknown_job")


async def test_a_strangers_delivery_is_not_there(service: Service, receiver: Receiver) -> None:
    job = await service.admin.make_job(callbacks=[{"url": receiver.url}])
    (delivery,) = await _deliveries(service.admin, 1, "delivered")
    stranger = await service.principal("mallory")

    foreign = await stranger.get(f"/v1/deliveries/{delivery['id']}")
    unknown = await stranger.get("/v1/deliveries/msg_00000000000000000000000000000000")
    again = await stranger.post(f"/v1/deliveries/{delivery['id']}/redeliver")
    listed = await stranger.get("/v1/deliveries")
    of_job = await stranger.get("/v1/deliveries", params={"job": job["id"]})
    of_subscription = await stranger.get(
        "/v1/deliveries", params={"subscription": job["callbacks"][0]["id"]}
    )
    recovered = await stranger.post("/v1/deliveries/recover", json={"since": _before_everything()})

    assert [each.status for each in (foreign, unknown, again)] == [404] * 3
    assert foreign.json["detail"] == unknown.json["detail"] == again.json["detail"]
    assert [each.json["items"] for each in (listed, of_job, of_subscription)] == [[]] * 3
    assert recovered.json == {"deliveries": 0, "cut": False}
    assert len(receiver.received) == 1


def _before_everything() -> str:
    """Return a moment before everything."""
    return "2020-01-01T00:00:00Z"


async def test_sending_again_needs_the_right_to_change_jobs(
    service: Service, receiver: Receiver
) -> None:
    await service.admin.make_job(callbacks=[{"url": receiver.url}])
    (delivery,) = await _deliveries(service.admin, 1, "delivered")
    reader = await service.principal("admin", ("read",))

    assert (await reader.get(f"/v1/deliveries/{delivery['id']}")).status == 200
    for path, body in (
        (f"/v1/deliveries/{delivery['id']}/redeliver", None),
        ("/v1/deliveries/recover", {"since": _before_everything()}),
    ):
        assert (await reader.post(path, json=body)).status == 403
        assert (await service.nobody.post(path, json=body)).status == 401


@pytest.mark.parametrize(
    ("callback", "field", "code"),
    [
        ({"url": "ftp://example.org/"}, "url", "bad_url"),
        ({"url": "http://user:word@example.org/"}, "url", "bad_url"),
        ({"url": "http://example.org/\r\nX: y"}, "url", "bad_url"),
        ({"url": "http://169.254.169.254/latest"}, "url", "forbidden_address"),
        ({"url": "http://10.0.0.1/"}, "url", "forbidden_address"),
        ({"url": "http://2130706433/"}, "url", "forbidden_address"),
        ({"url": "http://0x7f.1/"}, "url", "forbidden_address"),
        ({"url": "http://127.1/"}, "url", "forbidden_address"),
        ({"url": "http://\uff11\uff12\uff17.0.0.1/"}, "url", "forbidden_address"),
        ({"url": "http://[::1]/"}, "url", "forbidden_address"),
        ({"url": "https://example.org/", "secret": "word"}, "secret", "bad_secret"),
    ],
)
async def test_a_callback_that_cannot_be_is_refused_with_its_field(
    service: Service, callback: dict[str, str], field: str, code: str
) -> None:
    good = {"url": "https://example.org/hook"}

    refused = await service.admin.post("/v1/jobs", json={"callbacks": [good, callback]})

    assert (refused.status, refused.json["code"]) == (422, code)
    assert refused.json["pointer"] == f"/callbacks/1/{field}"
    assert (await service.admin.get("/v1/jobs")).json["items"] == []


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("/v1/deliveries?status=lost", "/status"),
        ("/v1/deliveries?since=yesterday", "/since"),
        ("/v1/deliveries?job=1", "/job"),
        ("/v1/deliveries?limit=0", "/limit"),
        ("/v1/deliveries?kind=pending", "/kind"),
    ],
)
async def test_a_filter_that_is_wrong_is_refused_with_its_name(
    service: Service, path: str, pointer: str
) -> None:
    refused = await service.admin.get(path)

    assert (refused.status, refused.json["pointer"]) == (422, pointer)


async def test_a_recovery_needs_its_moment(service: Service) -> None:
    for body in ({}, {"since": "soon"}, {"since": _before_everything(), "all": True}):
        refused = await service.admin.post("/v1/deliveries/recover", json=body)
        assert refused.status == 422


async def test_the_same_idempotency_key_tells_once(service: Service, receiver: Receiver) -> None:
    headers = {"Idempotency-Key": "one"}
    callbacks = [{"url": receiver.url}]
    first = await service.admin.make_job(headers, callbacks=callbacks)
    second = await service.admin.make_job(headers, callbacks=callbacks)
    await _deliveries(service.admin, 1, "delivered")

    assert first["callbacks"][0]["secret"].startswith("whsec_")
    assert second["callbacks"] == [{**first["callbacks"][0], "secret": None}]
    assert len(receiver.received) == 1


async def test_a_secret_that_the_caller_gave_is_not_shown(
    service: Service, receiver: Receiver
) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    job = await service.admin.make_job(callbacks=[{"url": receiver.url, "secret": secret}])

    (received,) = await receiver.wait(1)

    assert job["callbacks"][0]["secret"] is None
    assert received.verified(secret)


async def test_what_was_not_told_when_the_service_stopped_is_told_after_its_start(
    tmp_path: Path,
) -> None:
    settings = Settings(port=0, callbacks=CallbackSettings(schedule_s=(0.5, 0.1)))
    async with receiving() as receiver:
        async with running(tmp_path / "data", settings) as service:
            await service.admin.make_job(callbacks=[{"url": receiver.url}])
        assert receiver.received == []
        async with running(tmp_path / "data", settings) as service:
            await receiver.wait(1)
            await _deliveries(service.admin, 1, "delivered")

    assert len(receiver.received) == 1


async def test_tries_are_counted(service: Service) -> None:
    metrics = await service.admin.get("/metrics")

    assert b"jobwire_callbacks_attempted" in metrics.body
    assert b"jobwire_callbacks_in_hand 0.0" in metrics.body

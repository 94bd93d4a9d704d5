"""Cancel, hold, release and retry over HTTP, of one job and of many."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.service import Caller, Service

_SLEEP = {"argv": ["sleep", "600"]}


async def _held(caller: Caller, **fields: Any) -> Any:
    return await caller.make_job(spec=_SLEEP, hold=True, **fields)


async def _show(caller: Caller, job: Any) -> Any:
    return (await caller.get(job["job"])).json


@pytest.mark.parametrize("times", [1, 2])
async def test_a_waiting_job_is_cancelled_once(service: Service, times: int) -> None:
    job = await _held(service.admin)

    answers = [await service.admin.post(f"{job['job']}/cancel") for _ in range(times)]

    assert (answers[0].status, answers[0].json) == (
        200,
        {"id": job["id"], "state": "CANCELLED", "outcome": "cancelled"},
    )
    assert [each.json.get("code") for each in answers[1:]] == ["already_ended"] * (times - 1)
    shown = await _show(service.admin, job)
    assert (shown["state"], shown["cause"]) == ("CANCELLED", "cancelled")


async def test_a_job_is_held_and_released(service: Service) -> None:
    job = await service.admin.make_job(spec=_SLEEP, start_after="2100-01-01T00:00:00Z")

    held = await service.admin.post(f"{job['job']}/hold")
    while_held = await _show(service.admin, job)
    released = await service.admin.post(f"{job['job']}/release")

    assert (held.status, released.status) == (200, 200)
    assert (while_held["held"], (await _show(service.admin, job))["held"]) == (True, False)
    assert while_held["state"] == "CREATED"
    await service.admin.post(f"{job['job']}/cancel")


async def test_what_runs_elsewhere_is_not_controlled_here(service: Service) -> None:
    job = await service.admin.make_job()

    answers = [
        await service.admin.post(f"{job['job']}/{control}")
        for control in ("cancel", "hold", "release", "retry")
    ]

    assert [(each.status, each.json["code"]) for each in answers] == [(409, "runs_elsewhere")] * 4
    history = (await service.admin.get(job["history"])).json["items"]
    assert [entry["name"] for entry in history] == ["create"]


async def test_a_job_that_has_not_ended_is_not_retried(service: Service) -> None:
    job = await _held(service.admin)

    answer = await service.admin.post(f"{job['job']}/retry")

    assert (answer.status, answer.json["code"]) == (409, "not_ended")


async def test_a_retry_is_a_new_job_that_is_asked_the_same(service: Service) -> None:
    callback = {"url": "http://127.0.0.1:9/x", "outcomes": ["success"], "secret": None}
    job = await _held(
        service.admin,
        name="again",
        tags=["a"],
        data={"n": 1},
        priority=7,
        callbacks=[callback],
    )
    await service.admin.post(f"{job['job']}/cancel")

    key = {"Idempotency-Key": "retry-1"}
    answers = [await service.admin.post(f"{job['job']}/retry", headers=key) for _ in range(2)]

    first, second = await _show(service.admin, job), await _show(service.admin, answers[0].json)
    assert [each.status for each in answers] == [201, 201]
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    assert answers[0].json["id"] == answers[1].json["id"] != job["id"]
    assert second["retry_of"] == job["id"]
    for field in ("name", "tags", "data", "spec"):
        assert second[field] == first[field]
    assert [each["url"] for each in second["callbacks"]] == [callback["url"]]
    shown = [each.json["callbacks"][0]["secret"] for each in answers]
    assert shown[0].startswith("whsec_")
    assert shown[0] != job["callbacks"][0]["secret"]
    assert shown[1] is None
    await service.admin.post(f"/v1/jobs/{second['id']}/cancel")


@pytest.mark.parametrize("control", ["cancel", "hold", "release", "retry"])
async def test_nobody_controls_the_job_of_another_owner(service: Service, control: str) -> None:
    job = await _held(service.admin)
    other = await service.principal("bob")

    answer = await other.post(f"/v1/jobs/{job['id']}/{control}")
    unknown = await other.post(f"/v1/jobs/{'0' * 8}-0000-4000-8000-{'0' * 12}/{control}")

    assert (answer.status, answer.json["detail"]) == (404, unknown.json["detail"])
    assert (await _show(service.admin, job))["state"] == "CREATED"


async def test_a_selection_is_cancelled_whole_and_nothing_else(service: Service) -> None:
    chosen = [await _held(service.admin, tags=["x"]) for _ in range(3)]
    other = await _held(service.admin, tags=["y"])
    foreign = await _held(await service.principal("bob"), tags=["x"])
    await service.admin.post(f"{chosen[0]['job']}/cancel")

    answer = await service.admin.post("/v1/jobs/cancel", json={"tag": "x"})

    assert answer.json == {
        "matched": 2,
        "done": 2,
        "refused": 0,
        "examples": [],
        "cut": False,
    }
    assert [(await _show(service.admin, each))["state"] for each in chosen] == ["CANCELLED"] * 3
    assert (await _show(service.admin, other))["state"] == "CREATED"
    bob = await service.principal("bob")
    assert (await bob.get(f"/v1/jobs/{foreign['id']}")).json["state"] == "CREATED"


async def test_a_selection_says_which_jobs_did_not_do_it(service: Service) -> None:
    ended, waiting = await _held(service.admin), await _held(service.admin)
    elsewhere = await service.admin.make_job()
    await service.admin.post(f"{ended['job']}/cancel")
    ids = [each["id"] for each in (ended, waiting, elsewhere)]

    answer = (await service.admin.post("/v1/jobs/cancel", json={"ids": ids})).json

    assert (answer["matched"], answer["done"], answer["refused"]) == (3, 1, 2)
    assert {each["id"]: each["code"] for each in answer["examples"]} == {
        ended["id"]: "already_ended",
        elsewhere["id"]: "runs_elsewhere",
    }


async def test_all_jobs_are_selected_by_saying_so(service: Service) -> None:
    jobs = [await _held(service.admin) for _ in range(3)]

    released = (await service.admin.post("/v1/jobs/hold", json={"all": True})).json
    cancelled = (await service.admin.post("/v1/jobs/cancel", json={"all": True})).json
    again = (await service.admin.post("/v1/jobs/cancel", json={"all": True})).json

    assert (released["done"], cancelled["done"], again["matched"]) == (len(jobs), len(jobs), 0)

"""Making, reading, listing and deleting jobs over HTTP."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from jobwire.actors.operations import jobs
from jobwire.actors.runtime.settings import Limits, Settings
from jobwire.actors.system.bootstrap import FIRST_PRINCIPAL
from jobwire.schemas.events import payload_digest
from tests.support.service import Service, running

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_JOB_KEYS = {
    "id",
    "name",
    "lifecycle",
    "lifecycle_version",
    "state",
    "outcome",
    "cause",
    "tags",
    "parent",
    "owner",
    "seq",
    "last_event",
    "created",
    "updated",
    "deadline_s",
    "heartbeat_s",
    "attempt",
    "held",
    "exit_code",
    "signal",
    "detail",
    "stage_out_problem",
    "retry_of",
}


async def test_a_new_job_is_answered_with_everything_needed_to_report_on_it(
    service: Service,
) -> None:
    answer = await service.admin.post("/v1/jobs", json={})

    made = answer.json
    base = f"{service.url}/v1/jobs/{made['id']}"
    assert answer.status == 201
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Location"] == f"/v1/jobs/{made['id']}"
    assert "Idempotent-Replayed" not in answer.headers
    assert _UUID.fullmatch(made["id"])
    assert made == {
        "id": made["id"],
        "token": made["token"],
        "state": "CREATED",
        "webhook": f"{service.url}/v1/events?uuid={made['id']}&token={made['token']}",
        "job": base,
        "history": f"{base}/history",
        "stream": f"{base}/stream",
        "callbacks": [],
    }


async def test_every_url_of_a_new_job_leads_somewhere(service: Service) -> None:
    made = await service.admin.make_job()

    read = [(await service.admin.get(made[name])).status for name in ("job", "history")]
    reported = await service.nobody.post(f"{made['webhook']}&name=run&wait=5")

    assert read == [200, 200]
    assert (reported.status, reported.json["state"]) == (200, "RUNNING")


async def test_a_job_is_shown_with_everything_it_was_made_with(service: Service) -> None:
    parent = await service.admin.make_job()
    made = await service.admin.make_job(
        lifecycle="pipeline",
        name="align",
        tags=["b", "a", "b"],
        data={"x": [1, 2.50, None]},
        deadline_s=60,
        heartbeat_s=0.5,
        parent=parent["id"].upper(),
    )

    job = (await service.admin.get(made["job"])).json

    assert set(job) == _JOB_KEYS | {"data", "spec", "callbacks"}
    assert _MOMENT.fullmatch(job.pop("created"))
    assert _MOMENT.fullmatch(job.pop("updated"))
    assert job == {
        "id": made["id"],
        "name": "align",
        "lifecycle": "pipeline",
        "lifecycle_version": 1,
        "state": "CREATED",
        "outcome": None,
        "cause": None,
        "tags": ["b", "a"],
        "parent": parent["id"],
        "owner": "admin",
        "seq": 1,
        "last_event": "create",
        "deadline_s": 60.0,
        "heartbeat_s": 0.5,
        "data": {"x": [1, 2.5, None]},
        "attempt": 1,
        "held": False,
        "exit_code": None,
        "signal": None,
        "detail": None,
        "stage_out_problem": None,
        "retry_of": None,
        "spec": None,
        "callbacks": [],
    }


async def test_a_job_shows_where_its_events_have_brought_it(service: Service) -> None:
    made = await service.admin.make_job()
    await service.admin.report(made, "run")
    await service.admin.report(made, "fail", data={"cause": "out of memory"})
    await service.admin.report(made, "run")

    job = (await service.admin.get(made["job"])).json

    assert (job["state"], job["outcome"], job["cause"]) == ("FAILED", "failure", "out of memory")
    assert (job["seq"], job["last_event"], job["data"]) == (4, "fail", None)


async def test_a_history_tells_every_event_in_its_order(service: Service) -> None:
    made = await service.admin.make_job(data={"in": 1})
    await service.admin.report(
        made, "run", id="my-id", data={"a": 1}, source="host-7", time="2026-01-02T03:04:05+01:00"
    )
    await service.admin.report(made, "ready")

    answer = await service.admin.get(made["history"])

    items = answer.json["items"]
    assert answer.status == 200
    assert set(answer.json) == {"items", "next"}
    assert answer.json["next"] is None
    for item in items:
        assert _MOMENT.fullmatch(item.pop("received"))
        assert item.pop("job") == made["id"]
    assert items[0] == {
        "seq": 1,
        "id": "create",
        "name": "create",
        "state": "CREATED",
        "outcome": None,
        "applied": True,
        "reason": None,
        "data": {"in": 1},
        "source": None,
        "occurred": None,
    }
    assert items[1] == {
        "seq": 2,
        "id": "my-id",
        "name": "run",
        "state": "RUNNING",
        "outcome": None,
        "applied": True,
        "reason": None,
        "data": {"a": 1},
        "source": "host-7",
        "occurred": "2026-01-02T02:04:05Z",
    }
    assert (items[2]["applied"], items[2]["reason"]) == (False, "wrong_sender")


async def test_a_history_is_read_page_by_page(service: Service) -> None:
    made = await service.admin.make_job()
    for number in range(6):
        await service.admin.report(made, "update", id=f"u-{number}")

    ids, cursor = [], None
    for _ in range(4):
        params = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        page = (await service.admin.get(made["history"], params=params)).json
        ids += [item["id"] for item in page["items"]]
        cursor = page["next"]

    assert ids == ["create", *(f"u-{number}" for number in range(6))]
    assert cursor is None


# --- idempotency ----------------------------------------------------------------------------------


async def test_the_same_key_gives_the_same_job(service: Service) -> None:
    headers = {"Idempotency-Key": "k-1"}
    body = {"name": "a", "data": {"b": 1, "a": 2}}
    first = await service.admin.post("/v1/jobs", json=body, headers=headers)
    await service.admin.report(first.json, "run")

    again = await service.admin.post(
        "/v1/jobs",
        body=b'{"data": {"a":2, "b":1}, "name":"a"}',
        headers={**headers, "Content-Type": "application/json"},
    )

    assert again.status == 201
    assert again.json == first.json
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (await service.admin.get("/v1/stats")).json["jobs"] == 1


async def test_quotes_round_a_key_do_not_belong_to_it(service: Service) -> None:
    one = await service.admin.make_job(headers={"Idempotency-Key": "k"})
    other = await service.admin.make_job(headers={"Idempotency-Key": '"k"'})

    assert one["id"] == other["id"]


@pytest.mark.parametrize(
    "other", [{"name": "b"}, {"name": "a", "tags": ["t"]}, {"name": "a", "data": 1}]
)
async def test_the_same_key_with_another_request_is_refused(
    service: Service, other: dict[str, Any]
) -> None:
    headers = {"Idempotency-Key": "k-1"}
    await service.admin.make_job(headers=headers, name="a")

    answer = await service.admin.post("/v1/jobs", json=other, headers=headers)

    assert (answer.status, answer.json["code"]) == (422, "idempotency_key_reused")


async def test_a_key_of_one_owner_says_nothing_to_another(service: Service) -> None:
    bob = await service.principal("bob")
    headers = {"Idempotency-Key": "k-1"}

    mine = await service.admin.make_job(headers=headers)
    theirs = await bob.make_job(headers=headers, name="other")

    assert mine["id"] != theirs["id"]


async def test_a_key_of_a_deleted_job_makes_no_second_one(service: Service) -> None:
    headers = {"Idempotency-Key": "k-1"}
    made = await service.admin.make_job(headers=headers)
    await service.admin.delete(f"/v1/jobs/{made['id']}?force=true")

    answer = await service.admin.post("/v1/jobs", json={}, headers=headers)

    assert (answer.status, answer.json["code"]) == (409, "job_deleted")


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        (
            {"name": "a", "tags": ["t"], "deadline_s": 3},
            b'[["%b","pipeline",0,"a",["t"],null,3.0,null,null,[],null,null],[]]',
        ),
        (
            {"spec": {"argv": ["/bin/true"]}, "hold": True},
            (
                b'[["%b","execution",0,null,[],null,null,null,[false,false,1,["exit_code","signal",'
                b'"could_not_start","staging"],10.0,2.0,"local",0,null,true,"always",604800.0,1],'
                b'[],null,{"argv":["/bin/true"]}],[]]'
            ),
        ),
    ],
)
async def test_a_key_outlives_a_release_whose_jobs_have_more_fields(
    tmp_path: Path, body: dict[str, Any], asked: bytes
) -> None:
    headers = {"Idempotency-Key": "k-1"}
    async with running(tmp_path / "data") as service:
        first = await service.admin.post("/v1/jobs", json=body, headers=headers)
    written = asked % FIRST_PRINCIPAL.encode() + payload_digest("create", b"")
    with closing(sqlite3.connect(tmp_path / "data" / "jobwire.db")) as database, database:
        changed = database.execute(
            "UPDATE entries SET digest = ? WHERE seq = 1", (payload_digest("create", written),)
        )

    async with running(tmp_path / "data") as service:
        again = await service.admin.post("/v1/jobs", json=body, headers=headers)

    assert changed.rowcount == 1
    assert again.status == 201, again.body
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json["id"] == first.json["id"]


async def test_a_key_outlives_a_restart(tmp_path: Path) -> None:
    headers = {"Idempotency-Key": "k-1"}
    async with running(tmp_path / "data") as service:
        first = await service.admin.make_job(headers=headers)
    async with running(tmp_path / "data") as service:
        again = await service.admin.make_job(headers=headers)
        reported = await service.admin.report(again, "run")

    assert (again["id"], again["token"]) == (first["id"], first["token"])
    assert reported["seq"] == 2


async def test_a_repeated_key_after_a_rotation_gives_the_token_that_is_good(
    service: Service,
) -> None:
    headers = {"Idempotency-Key": "k-1"}
    made = await service.admin.make_job(headers=headers)
    rotated = (await service.admin.post(f"/v1/jobs/{made['id']}/token")).json

    again = await service.admin.make_job(headers=headers)

    assert again["token"] == rotated["token"] != made["token"]


# --- lists ----------------------------------------------------------------------------------------


async def _ids(service: Service, **params: str) -> list[str]:
    answer = await service.admin.get("/v1/jobs", params=params)
    assert answer.status == 200, answer.body
    return [job["id"] for job in answer.json["items"]]


async def test_a_list_shows_jobs_newest_first_without_their_data(service: Service) -> None:
    made = [(await service.admin.make_job(data=1))["id"] for _ in range(3)]

    answer = await service.admin.get("/v1/jobs")

    assert set(answer.json) == {"items", "next"}
    assert [job["id"] for job in answer.json["items"]] == made[::-1]
    assert all(set(job) == _JOB_KEYS for job in answer.json["items"])


async def test_each_parameter_filters(service: Service) -> None:
    parent = await service.admin.make_job()
    one = await service.admin.make_job(name="align reads", tags=["hpc"], parent=parent["id"])
    two = await service.admin.make_job(name="sort", tags=["local"])
    await service.admin.report(two, "run")
    await service.admin.report(two, "finish")
    created = (await service.admin.get(two["job"])).json["created"]
    only_one, only_two = [one["id"]], [two["id"]]

    assert await _ids(service, state="FINISHED") == only_two
    assert await _ids(service, outcome="success") == only_two
    assert await _ids(service, tag="hpc") == only_one
    assert await _ids(service, q="READS align") == only_one
    assert await _ids(service, parent=parent["id"]) == only_one
    assert await _ids(service, since=created) == only_two
    assert await _ids(service, until=created) == [one["id"], parent["id"]]
    assert await _ids(service, lifecycle="other") == []
    assert await _ids(service, tag="hpc", state="FINISHED") == []
    assert await _ids(service, q="***") == []


async def test_a_list_is_read_page_by_page_and_a_cursor_belongs_to_its_filters(
    service: Service,
) -> None:
    made = [(await service.admin.make_job(tags=["t"]))["id"] for _ in range(5)]
    first = (await service.admin.get("/v1/jobs?tag=t&limit=3")).json
    path = "/v1/jobs?limit=3&cursor=" + first["next"]

    second = (await service.admin.get(path + "&tag=t")).json
    without = await service.admin.get(path)

    assert [job["id"] for job in first["items"] + second["items"]] == made[::-1]
    assert second["next"] is None
    assert (without.status, without.json["code"]) == (422, "wrong_cursor")


async def test_stats_count_jobs_by_state(service: Service) -> None:
    made = [await service.admin.make_job() for _ in range(3)]
    await service.admin.report(made[0], "fail")

    answer = await service.admin.get("/v1/stats")

    assert answer.json == {
        "jobs": 3,
        "at_least": False,
        "by_state": [
            {
                "lifecycle": "pipeline",
                "state": state,
                "outcome": outcome,
                "jobs": jobs,
                "at_least": False,
            }
            for state, outcome, jobs in (("CREATED", None, 2), ("FAILED", "failure", 1))
        ],
    }


async def test_stats_say_where_there_may_be_more(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_MOST_COUNTED", 2)
    made = [await service.admin.make_job() for _ in range(4)]
    await service.admin.report(made[0], "fail")

    answer = (await service.admin.get("/v1/stats")).json

    found = {each["state"]: (each["jobs"], each["at_least"]) for each in answer["by_state"]}
    assert found == {"CREATED": (2, True), "FAILED": (1, False)}
    assert (answer["jobs"], answer["at_least"]) == (3, True)


# --- deletion -------------------------------------------------------------------------------------


async def test_a_job_that_has_ended_is_deleted(service: Service) -> None:
    made = await service.admin.make_job()
    await service.admin.report(made, "fail")

    answer = await service.admin.delete(f"/v1/jobs/{made['id']}")

    assert (answer.status, answer.body) == (204, b"")
    for path in (made["job"], made["history"], made["stream"]):
        gone = await service.admin.get(path)
        assert (gone.status, gone.json["code"]) == (404, "unknown_job")
    assert await _ids(service) == []
    assert (await service.admin.get("/v1/stats")).json["jobs"] == 0


async def test_a_job_that_has_not_ended_is_deleted_by_force_only(service: Service) -> None:
    made = await service.admin.make_job()

    refused = await service.admin.delete(f"/v1/jobs/{made['id']}")
    forced = await service.admin.delete(f"/v1/jobs/{made['id']}?force=true")
    again = await service.admin.delete(f"/v1/jobs/{made['id']}?force=true")

    assert (refused.status, refused.json["code"]) == (409, "still_running")
    assert (forced.status, again.status) == (204, 404)


async def test_a_late_event_of_a_deleted_job_is_kept_aside_and_can_be_replayed(
    service: Service,
) -> None:
    made = await service.admin.make_job()
    await service.admin.delete(f"/v1/jobs/{made['id']}?force=true")
    event = {"uuid": made["id"], "name": "run", "token": made["token"], "id": "late"}

    accepted = await service.nobody.post("/v1/events", json={**event, "data": {"a": 1}})
    waited = await service.nobody.post("/v1/events?wait=5", json={**event, "id": "later"})
    listed = (await service.admin.get("/v1/refused")).json
    replayed = await service.admin.post(f"/v1/refused/{made['id']}/late/replay")

    assert accepted.status == 202
    assert accepted.json == {"id": "late", "uuid": made["id"]}
    assert (waited.status, waited.json["code"]) == (404, "unknown_job")
    assert [(item["id"], item["reason"]) for item in listed["items"]] == [
        ("late", "deleted"),
        ("later", "deleted"),
    ]
    assert _MOMENT.fullmatch(listed["items"][0].pop("received"))
    assert listed["items"][0] == {
        "job": made["id"],
        "id": "late",
        "name": "run",
        "reason": "deleted",
        "data": {"a": 1},
        "source": None,
        "occurred": None,
        "replayed_as": None,
    }
    assert replayed.status == 404


async def test_a_refused_event_is_replayed_once_its_reason_is_gone(service: Service) -> None:
    made = await service.admin.make_job()
    await service.admin.post(f"/v1/jobs/{made['id']}/token", json={"overlap_s": 0})
    old = {"uuid": made["id"], "name": "run", "token": made["token"], "id": "old", "data": 7}
    await service.nobody.post("/v1/events", json=old)
    path = f"/v1/refused/{made['id']}/old/replay"

    first = await service.admin.post(path)
    second = await service.admin.post(path)

    history = (await service.admin.get(made["history"])).json["items"]
    (listed,) = (await service.admin.get("/v1/refused")).json["items"]
    assert (first.status, first.json["state"], first.json["seq"]) == (200, "RUNNING", 3)
    assert second.json["seq"] == 3
    assert [item["name"] for item in history] == ["create", "rotate_token", "run"]
    assert (history[2]["data"], history[2]["id"]) == (7, first.json["id"])
    assert listed["replayed_as"] == first.json["id"]


async def test_refused_events_are_read_page_by_page(service: Service) -> None:
    unknown = "2f1c6c1e-7f43-4c0e-9a51-0d6a3c1f5a10"
    for number in range(5):
        event = {"uuid": unknown, "name": "run", "id": f"r-{number}"}
        await service.admin.post("/v1/events?wait=5", json=event)

    first = (await service.admin.get("/v1/refused?limit=3")).json
    second = (await service.admin.get(f"/v1/refused?limit=3&cursor={first['next']}")).json

    ids = [item["id"] for item in first["items"] + second["items"]]
    assert ids == [f"r-{number}" for number in range(5)]
    assert second["next"] is None


# --- limits ---------------------------------------------------------------------------------------


async def test_who_makes_jobs_too_fast_is_told_when_to_come_back(tmp_path: Path) -> None:
    settings = Settings(port=0, limits=Limits(jobs_per_minute=2))
    async with running(tmp_path / "data", settings) as service:
        bob = await service.principal("bob")

        answers = [await service.admin.post("/v1/jobs", json={}) for _ in range(3)]
        other = await bob.post("/v1/jobs", json={})

    assert [answer.status for answer in answers] == [201, 201, 429]
    assert answers[2].json["code"] == "job_rate"
    assert answers[2].headers["Retry-After"] == "30"
    assert other.status == 201


async def test_urls_are_handed_out_under_the_public_address(tmp_path: Path) -> None:
    settings = Settings(port=0, public_url="https://jobs.example.org/base/")
    async with running(tmp_path / "data", settings) as service:
        made = await service.admin.make_job(headers={"Host": "!!"})

    assert made["job"] == f"https://jobs.example.org/base/v1/jobs/{made['id']}"
    assert made["webhook"].startswith("https://jobs.example.org/base/v1/events?uuid=")

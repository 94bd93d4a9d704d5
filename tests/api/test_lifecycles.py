"""Lifecycles over HTTP: registered, versioned, and lived by jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobwire.actors.runtime.settings import Limits, Settings
from tests.support.deadlines import until
from tests.support.service import Service, running

_SMALL: dict[str, Any] = {
    "name": "small",
    "initial": "OPEN",
    "states": {
        "OPEN": {"category": "initial"},
        "WORK": {"category": "active", "meaning": "at it"},
        "DONE": {"category": "ended", "outcome": "success", "final": True},
    },
    "events": {"begin": {}, "end": {}, "expire": {"senders": ["reaper"]}},
    "transitions": {"OPEN": {"begin": "WORK"}, "WORK": {"end": "DONE", "expire": "DONE"}},
    "stale_event": "expire",
}
_LARGER = {
    **_SMALL,
    "events": {**_SMALL["events"], "note": {}},
    "transitions": {
        "OPEN": {"begin": "WORK"},
        "WORK": {**_SMALL["transitions"]["WORK"], "note": "WORK"},
    },
}


async def test_a_table_is_registered_and_shown_as_it_was_sent(service: Service) -> None:
    answer = await service.admin.post("/v1/lifecycles", json=_SMALL)

    shown = (await service.admin.get("/v1/lifecycles/small")).json
    listed = (await service.admin.get("/v1/lifecycles")).json
    assert answer.status == 201
    assert answer.headers["Location"] == "/v1/lifecycles/small"
    assert shown == answer.json
    assert {key: shown[key] for key in _SMALL} == _SMALL
    assert shown.get("version", 1) == 1
    assert set(listed) == {"items", "next"}
    assert [each["name"] for each in listed["items"]] == ["pipeline", "execution", "small"]


async def test_the_same_table_is_the_same_version_and_another_one_the_next(
    service: Service,
) -> None:
    statuses = [
        (await service.admin.post("/v1/lifecycles", json=table)).status
        for table in (_SMALL, _SMALL, _LARGER)
    ]

    versions = [
        (await service.admin.get(f"/v1/lifecycles/small{query}")).json.get("version", 1)
        for query in ("", "?version=1", "?version=2")
    ]
    missing = await service.admin.get("/v1/lifecycles/small?version=3")
    assert statuses == [201, 200, 201]
    assert versions == [2, 1, 2]
    assert (missing.status, missing.json["code"]) == (404, "unknown_lifecycle")


async def test_a_job_lives_by_the_version_it_was_made_with(service: Service) -> None:
    await service.admin.post("/v1/lifecycles", json=_SMALL)
    old = await service.admin.make_job(lifecycle="small")
    await service.admin.report(old, "begin")
    await service.admin.post("/v1/lifecycles", json=_LARGER)
    new = await service.admin.make_job(lifecycle="small")
    await service.admin.report(new, "begin")

    unknown = await service.admin.report(old, "note")
    known = await service.admin.report(new, "note")
    ended = await service.admin.report(old, "end")

    versions = [
        (await service.admin.get(job["job"])).json["lifecycle_version"] for job in (old, new)
    ]
    assert (unknown["code"], known["applied"], ended["state"]) == ("unknown_event", True, "DONE")
    assert versions == [1, 2]


async def test_a_job_of_a_registered_lifecycle_survives_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as service:
        await service.admin.post("/v1/lifecycles", json=_SMALL)
        job = await service.admin.make_job(lifecycle="small")
    async with running(tmp_path / "data") as service:
        reported = await service.admin.report(job, "begin")

    assert (job["state"], reported["state"]) == ("OPEN", "WORK")


async def test_a_stale_job_is_ended_by_the_event_that_its_lifecycle_names(tmp_path: Path) -> None:
    async with running(tmp_path / "data", Settings(port=0, reaper_interval_s=0.01)) as service:
        await service.admin.post("/v1/lifecycles", json=_SMALL)
        job = await service.admin.make_job(lifecycle="small", heartbeat_s=0.05)
        await service.admin.report(job, "begin")

        async def has_ended() -> bool:
            state: str = (await service.admin.get(job["job"])).json["state"]
            return state == "DONE"

        await until(has_ended)
        history = (await service.admin.get(job["history"])).json["items"]

    assert [(item["name"], item["source"]) for item in history] == [
        ("create", None),
        ("begin", None),
        ("expire", "reaper"),
    ]
    assert history[2]["data"]["cause"] == "stale"


async def test_an_owner_has_only_so_many_versions(tmp_path: Path) -> None:
    settings = Settings(port=0, limits=Limits(lifecycles_per_owner=1))
    async with running(tmp_path / "data", settings) as service:
        first = await service.admin.post("/v1/lifecycles", json=_SMALL)
        second = await service.admin.post("/v1/lifecycles", json=_LARGER)

    assert (first.status, second.status, second.json["limit"]) == (201, 429, 1)


async def test_a_limit_that_would_do_nothing_is_refused(service: Service) -> None:
    await service.admin.post(
        "/v1/lifecycles", json={k: v for k, v in _SMALL.items() if k != "stale_event"}
    )

    for name in ("deadline_s", "heartbeat_s"):
        answer = await service.admin.post("/v1/jobs", json={"lifecycle": "small", name: 5})
        assert (answer.status, answer.json["pointer"]) == (422, f"/{name}")

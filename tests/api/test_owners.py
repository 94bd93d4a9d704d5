"""Isolation (promise P12): what is another's looks exactly like what is not there."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.service import Answer, Service

_UNKNOWN = "2f1c6c1e-7f43-4c0e-9a51-0d6a3c1f5a10"

_ROUTES: list[tuple[str, str, Any]] = [
    ("GET", "/v1/jobs/{job}", None),
    ("GET", "/v1/jobs/{job}/history", None),
    ("GET", "/v1/jobs/{job}/stream", None),
    ("DELETE", "/v1/jobs/{job}", None),
    ("DELETE", "/v1/jobs/{job}?force=true", None),
    ("POST", "/v1/jobs/{job}/token", {"overlap_s": 0}),
    ("DELETE", "/v1/jobs/{job}/token", None),
    ("POST", "/v1/refused/{job}/late/replay", None),
    ("POST", "/v1/events?wait=5", {"uuid": "{job}", "name": "run"}),
    ("POST", "/v1/events?wait=5", {"uuid": "{job}", "name": "delete"}),
    ("POST", "/v1/events?wait=5", {"uuid": "{job}", "name": "rotate_token"}),
    ("POST", "/v1/events?wait=5", {"uuid": "{job}", "name": "create"}),
    ("POST", "/v1/events?wait=5&uuid={job}&name=run", None),
    ("POST", "/v1/events", {"uuid": "{job}", "name": "run", "id": "plain"}),
    ("POST", "/v1/jobs", {"parent": "{job}"}),
    ("GET", "/v1/lifecycles/small", None),
    ("GET", "/v1/lifecycles/small?version=1", None),
    ("POST", "/v1/jobs", {"lifecycle": "small"}),
]

_SMALL = {
    "name": "small",
    "initial": "OPEN",
    "states": {"OPEN": {"category": "initial"}, "DONE": {"category": "ended", "final": True}},
    "events": {"end": {}},
    "transitions": {"OPEN": {"end": "DONE"}},
}


def _shown(answer: Answer, job: str) -> tuple[int, Any]:
    """Return what a caller sees, without what differs between any two requests."""
    seen = answer.json
    if isinstance(seen, dict):
        seen.pop("request_id", None)
    return answer.status, str(seen).replace(job, "{job}").replace(str(seen.get("id")), "{id}")


@pytest.mark.parametrize(
    ("method", "path", "body"), _ROUTES, ids=[f"{r[0]} {r[1]} {r[2] or ''}" for r in _ROUTES]
)
async def test_on_every_route_anothers_thing_looks_like_an_unknown_one(
    service: Service, method: str, path: str, body: Any
) -> None:
    alice, bob = await service.principal("alice"), await service.principal("bob")
    job = await alice.make_job()
    await alice.report(job, "run")
    await alice.post("/v1/lifecycles", json=_SMALL)
    await alice.delete(f"/v1/jobs/{job['id']}/token")
    await service.nobody.post(
        "/v1/events",
        json={"uuid": job["id"], "name": "update", "token": job["token"], "id": "late"},
    )
    assert len((await alice.get("/v1/refused")).json["items"]) == 1

    seen = []
    for target in (job["id"], _UNKNOWN):
        sent = (
            None
            if body is None
            else {
                key: value.replace("{job}", target) if isinstance(value, str) else value
                for key, value in body.items()
            }
        )
        answer = await bob(method, path.replace("{job}", target), json=sent)
        seen.append(_shown(answer, target))

    if body == {"lifecycle": "small"} or "lifecycles" in path:
        carol = await service.principal("carol")
        answer = await carol(
            method, path.replace("small", "nothing"), json=body and {"lifecycle": "nothing"}
        )
        seen[1] = _shown(answer, _UNKNOWN)
        seen[1] = (seen[1][0], seen[1][1].replace("nothing", "small"))
    assert seen[0] == seen[1]
    assert seen[0][0] in {202, 404, 422}
    after = (await alice.get(job["job"])).json
    assert (after["state"], after["last_event"]) == ("RUNNING", "rotate_token")


async def test_a_try_at_anothers_job_leaves_nothing_behind(service: Service) -> None:
    bob = await service.principal("bob")
    job = await service.admin.make_job()

    await bob.delete(f"/v1/jobs/{job['id']}?force=true")
    await bob.post(f"/v1/jobs/{job['id']}/token")
    await bob.delete(f"/v1/jobs/{job['id']}/token")

    assert (await bob.get("/v1/refused")).json["items"] == []
    assert (await service.admin.get(job["job"])).json["seq"] == 1


async def test_lists_and_counts_hold_nothing_of_another(service: Service) -> None:
    alice, bob = await service.principal("alice"), await service.principal("bob")
    job = await alice.make_job(name="secret", tags=["t"])
    await alice.post("/v1/lifecycles", json=_SMALL)
    await alice.post("/v1/events?wait=5", json={"uuid": _UNKNOWN, "name": "run"})

    for path in (
        "/v1/jobs",
        "/v1/jobs?tag=t",
        "/v1/jobs?q=secret",
        "/v1/jobs?state=CREATED",
        f"/v1/jobs?parent={job['id']}",
        "/v1/refused",
    ):
        assert (await bob.get(path)).json == {"items": [], "next": None}, path
    assert (await bob.get("/v1/stats")).json == {"jobs": 0, "at_least": False, "by_state": []}
    names = [each["name"] for each in (await bob.get("/v1/lifecycles")).json["items"]]
    assert names == ["pipeline", "execution"]


async def test_an_owners_stream_holds_nothing_of_another(service: Service) -> None:
    alice, bob = await service.principal("alice"), await service.principal("bob")
    await alice.make_job()

    async with bob.follow("/v1/stream", {"Last-Event-ID": "0"}) as feed:
        await alice.make_job()
        mine = await bob.make_job()
        _, entry = await feed.entry()

    assert (entry["job"], entry["name"]) == (mine["id"], "create")


async def test_a_cursor_of_one_owner_is_refused_to_another(service: Service) -> None:
    alice, bob = await service.principal("alice"), await service.principal("bob")
    for _ in range(2):
        await alice.make_job()
    cursor = (await alice.get("/v1/jobs?limit=1")).json["next"]

    answer = await bob.get(f"/v1/jobs?limit=1&cursor={cursor}")

    assert (answer.status, answer.json["code"]) == (422, "wrong_cursor")


async def test_a_token_of_one_job_reports_on_no_other(service: Service) -> None:
    mine, other = await service.admin.make_job(), await service.admin.make_job()
    event = {"uuid": other["id"], "name": "run", "token": mine["token"]}
    unknown = {**event, "uuid": _UNKNOWN}

    answers = [await service.nobody.post("/v1/events", json=each) for each in (event, unknown)]

    assert [answer.status for answer in answers] == [401, 401]
    assert answers[0].json["detail"] == answers[1].json["detail"]


async def test_a_known_event_id_does_not_betray_anothers_job(service: Service) -> None:
    bob = await service.principal("bob")
    job = await service.admin.make_job()

    answers = [
        await bob.post("/v1/events?wait=5", json={"uuid": target, "name": "run", "id": "create"})
        for target in (job["id"], _UNKNOWN)
    ]

    assert [answer.status for answer in answers] == [404, 404]


async def test_nobody_can_use_up_an_event_id_of_anothers_job(service: Service) -> None:
    bob = await service.principal("bob")
    job = await service.admin.make_job()
    await bob.post("/v1/events?wait=5", json={"uuid": job["id"], "name": "run", "id": "step-1"})

    reported = await service.admin.report(job, "run", id="step-1")

    assert reported.get("applied") is True

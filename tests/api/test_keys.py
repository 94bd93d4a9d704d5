"""API keys over HTTP, and what each scope opens."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.service import Service


async def test_a_key_is_shown_once_with_its_text_and_afterwards_without(service: Service) -> None:
    answer = await service.admin.post(
        "/v1/keys",
        json={"principal": "bob", "scopes": ["read"], "label": "laptop", "expires_in_s": 60},
    )

    made = answer.json
    listed = (await service.admin.get("/v1/keys")).json["items"]
    assert answer.status == 201
    assert set(made) == {
        "id",
        "principal",
        "scopes",
        "label",
        "created",
        "expires",
        "revoked",
        "key",
    }
    assert made["key"].startswith(f"jwk_{made['id']}_")
    assert (made["principal"], made["scopes"], made["label"]) == ("bob", ["read"], "laptop")
    assert made["revoked"] is None
    del made["key"]
    assert made in listed


async def test_a_key_without_a_word_on_its_scopes_may_do_everything_but_administer(
    service: Service,
) -> None:
    made = (await service.admin.post("/v1/keys", json={"principal": "bob"})).json

    assert sorted(made["scopes"]) == ["events", "jobs", "read"]
    assert made["expires"] is None


async def test_keys_are_listed_page_by_page(service: Service) -> None:
    for name in ("b", "c", "d"):
        await service.principal(name)

    first = (await service.admin.get("/v1/keys?limit=3")).json
    second = (await service.admin.get(f"/v1/keys?limit=3&cursor={first['next']}")).json

    ids = [key["id"] for key in first["items"] + second["items"]]
    assert ids == sorted(set(ids))
    assert (len(ids), second["next"]) == (4, None)


async def test_a_revoked_key_opens_nothing_and_is_still_listed(service: Service) -> None:
    bob = await service.principal("bob")
    before = await bob.get("/v1/jobs")
    (key,) = [
        key
        for key in (await service.admin.get("/v1/keys")).json["items"]
        if key["principal"] == "bob"
    ]

    answer = await service.admin.delete(f"/v1/keys/{key['id']}")
    again = await service.admin.delete(f"/v1/keys/{key['id']}")

    assert before.status == 200
    assert answer.status == 200
    assert answer.json["revoked"] is not None
    assert again.json == answer.json
    assert (await bob.get("/v1/jobs")).status == 401


async def test_an_unknown_key_cannot_be_revoked(service: Service) -> None:
    answer = await service.admin.delete("/v1/keys/abcdefghij")

    assert (answer.status, answer.json["code"]) == (404, "unknown_key")


_ROUTES: list[tuple[str, str, Any, str]] = [
    ("POST", "/v1/jobs", {}, "jobs"),
    ("GET", "/v1/jobs", None, "read"),
    ("GET", "/v1/jobs/{job}", None, "read"),
    ("DELETE", "/v1/jobs/{job}?force=true", None, "jobs"),
    ("GET", "/v1/jobs/{job}/history", None, "read"),
    ("POST", "/v1/jobs/{job}/token", None, "jobs"),
    ("DELETE", "/v1/jobs/{job}/token", None, "jobs"),
    ("GET", "/v1/stats", None, "read"),
    ("POST", "/v1/events", {"uuid": "{job}", "name": "run"}, "events"),
    ("POST", "/v1/events", {"uuid": "{job}", "name": "delete"}, "jobs"),
    ("POST", "/v1/events", {"uuid": "{job}", "name": "rotate_token"}, "jobs"),
    ("POST", "/v1/events", {"uuid": "{job}", "name": "create"}, "jobs"),
    ("GET", "/v1/lifecycles", None, "read"),
    ("GET", "/v1/lifecycles/pipeline", None, "read"),
    ("POST", "/v1/lifecycles", {"name": "x"}, "jobs"),
    ("GET", "/v1/refused", None, "read"),
    ("POST", "/v1/refused/{job}/x/replay", None, "jobs"),
    ("GET", "/v1/keys", None, "admin"),
    ("POST", "/v1/keys", {"principal": "x"}, "admin"),
    ("DELETE", "/v1/keys/abcdefghij", None, "admin"),
]
_SCOPES = ("read", "events", "jobs", "admin")


@pytest.mark.parametrize(
    ("method", "path", "body", "scope"), _ROUTES, ids=[f"{r[0]} {r[1]} {r[3]}" for r in _ROUTES]
)
async def test_a_route_opens_to_its_own_scope_and_to_no_other(
    service: Service, method: str, path: str, body: Any, scope: str
) -> None:
    job = await service.admin.make_job()
    path = path.replace("{job}", job["id"])
    if body and "uuid" in body:
        body = {**body, "uuid": job["id"]}

    answers = {}
    for held in _SCOPES:
        caller = await service.principal("admin", (held,))
        answers[held] = await caller(method, path, json=body)
    without = await service.nobody(method, path, json=body)
    all_others = await service.principal("admin", tuple(s for s in _SCOPES if s != scope))
    refused = await all_others(method, path, json=body)

    for held, answer in answers.items():
        forbidden = (answer.status, answer.json.get("code") if answer.body else None)
        assert (forbidden == (403, "scope_missing")) == (held != scope), held
    assert (refused.status, refused.json["code"]) == (403, "scope_missing")
    assert without.status == 401
    assert without.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", ["/v1/stream", "/v1/jobs/{job}/stream"])
async def test_a_stream_opens_to_who_may_read(service: Service, path: str) -> None:
    job = await service.admin.make_job()
    path = path.replace("{job}", job["id"])
    reader = await service.principal("admin", ("read",))
    others = await service.principal("admin", ("events", "jobs", "admin"))

    async with reader.follow(path) as feed:
        opened = feed.response.status
    refused = await others.get(path)
    without = await service.nobody.get(path)

    assert (opened, refused.status, without.status) == (200, 403, 401)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Bearer jwk_abcdefghij_" + "x" * 32,
        "jwk_x",
        "bearer x",
    ],
)
async def test_a_missing_or_wrong_key_is_asked_for(service: Service, header: str) -> None:
    answer = await service.nobody.get("/v1/jobs", headers={"Authorization": header})

    assert answer.status == 401
    assert answer.json["code"] in {"key_missing", "wrong_api_key"}


async def test_a_wrong_key_is_refused_also_where_a_token_would_do(service: Service) -> None:
    job = await service.admin.make_job()
    wrong = service.caller("jwk_abcdefghij_" + "x" * 32)

    answer = await wrong.post("/v1/events", json={"uuid": job["id"], "name": "run"})

    assert (answer.status, answer.json["code"]) == (401, "wrong_api_key")

"""Job tokens over HTTP: rotation with an overlap, and revocation."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.service import Service


async def _try(service: Service, job: Any, token: str) -> int:
    event = {"uuid": job["id"], "name": "update", "token": token}
    return (await service.nobody.post("/v1/events?wait=5", json=event)).status


async def test_a_rotation_hands_out_a_new_token_and_keeps_the_old_one_for_a_while(
    service: Service,
) -> None:
    job = await service.admin.make_job()

    answer = await service.admin.post(f"/v1/jobs/{job['id']}/token", json={"overlap_s": 60})

    fresh = answer.json["token"]
    assert answer.status == 200
    assert answer.json == {
        "id": job["id"],
        "token": fresh,
        "webhook": f"{service.url}/v1/events?uuid={job['id']}&token={fresh}",
        "previous_valid_for_s": 60.0,
    }
    assert fresh != job["token"]
    assert await _try(service, job, fresh) == 200
    assert await _try(service, job, job["token"]) == 200


@pytest.mark.parametrize("body", [None, {}, {"overlap_s": None}])
async def test_without_a_word_on_it_the_overlap_is_an_hour(service: Service, body: Any) -> None:
    job = await service.admin.make_job()

    answer = await service.admin.post(f"/v1/jobs/{job['id']}/token", json=body)

    assert answer.json["previous_valid_for_s"] == 3600.0
    assert await _try(service, job, job["token"]) == 200


async def test_without_an_overlap_the_old_token_ends_at_once(service: Service) -> None:
    job = await service.admin.make_job()

    answer = await service.admin.post(f"/v1/jobs/{job['id']}/token", json={"overlap_s": 0})

    assert await _try(service, job, job["token"]) == 403
    assert await _try(service, job, answer.json["token"]) == 200
    refused = (await service.admin.get("/v1/refused")).json["items"]
    assert [item["reason"] for item in refused] == ["token_revoked"]


async def test_two_rotations_leave_only_the_last_two_tokens(service: Service) -> None:
    job = await service.admin.make_job()
    tokens = [job["token"]]
    for _ in range(2):
        answer = await service.admin.post(f"/v1/jobs/{job['id']}/token", json={"overlap_s": 60})
        tokens.append(answer.json["token"])

    assert [await _try(service, job, token) for token in tokens] == [403, 200, 200]


async def test_a_revocation_ends_every_token_and_a_rotation_hands_out_a_good_one(
    service: Service,
) -> None:
    job = await service.admin.make_job()
    second = (await service.admin.post(f"/v1/jobs/{job['id']}/token")).json["token"]

    answer = await service.admin.delete(f"/v1/jobs/{job['id']}/token")
    revoked = [await _try(service, job, token) for token in (job["token"], second)]
    third = (await service.admin.post(f"/v1/jobs/{job['id']}/token")).json["token"]

    assert (answer.status, answer.body) == (204, b"")
    assert revoked == [403, 403]
    assert await _try(service, job, third) == 200


async def test_a_token_is_shown_in_no_history(service: Service) -> None:
    job = await service.admin.make_job()
    fresh = (await service.admin.post(f"/v1/jobs/{job['id']}/token")).json["token"]
    await _try(service, job, fresh)

    history = await service.admin.get(job["history"])

    assert [item["name"] for item in history.json["items"]] == ["create", "rotate_token", "update"]
    assert fresh.encode() not in history.body
    assert job["token"].encode() not in history.body

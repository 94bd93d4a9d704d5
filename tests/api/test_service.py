"""The service's own routes: health, metrics, and what is not there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from jobwire.actors.runtime.settings import Limits, Settings
from jobwire.schemas.errors import Misconfigured
from tests.support.deadlines import until
from tests.support.service import Service, running


async def test_a_running_service_is_live_and_ready_for_anybody(service: Service) -> None:
    live = await service.nobody.get("/health/live")
    ready = await service.nobody.get("/health/ready")

    assert (live.status, live.json) == (200, {"status": "live"})
    assert (ready.status, ready.json) == (200, {"status": "ready", "missing": []})


async def test_a_service_without_its_store_says_what_is_missing(service: Service) -> None:
    async def away() -> None:
        raise TimeoutError

    service.system._container.store.check = away  # type: ignore[method-assign]

    ready = await service.nobody.get("/health/ready")
    live = await service.nobody.get("/health/live")

    assert (ready.status, ready.json["status"]) == (503, "not_ready")
    assert ready.json["missing"] == ["store: no answer"]
    assert ready.headers["Retry-After"] == "2"
    assert live.status == 200


async def test_metrics_count_what_happened(service: Service) -> None:
    job = await service.admin.make_job()
    await service.admin.report(job, "run", id="x")
    await service.admin.report(job, "run", id="x")
    await service.nobody.get("/v1/jobs")

    answer = await service.nobody.get("/metrics")

    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert values["jobwire_events_accepted_total",] == 3
    assert values["jobwire_events_stored_total", "true"] == 2
    assert values["jobwire_events_duplicate_total",] == 1
    assert values["jobwire_requests_refused_total", "key_missing"] == 1
    assert job["token"].encode() not in answer.body
    assert job["id"].encode() not in answer.body


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/", "/v1/job", "/v1/jobs/", "/v2/jobs", "/%2e%2e"]
)
async def test_what_is_not_there_is_answered_as_a_problem(service: Service, path: str) -> None:
    answer = await service.admin.get(path)

    assert answer.status == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["code"] in {"unknown_route", "unknown_job"}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/events", "POST"),
        ("HEAD", "/v1/events", "POST"),
        ("PUT", "/v1/events", "POST"),
        ("DELETE", "/v1/jobs", "GET, HEAD, POST"),
        ("PATCH", "/v1/keys", "GET, HEAD, POST"),
        ("POST", "/v1/stats", "GET, HEAD"),
        ("POST", "/health/live", "GET, HEAD"),
    ],
)
async def test_a_method_that_a_route_does_not_take_is_refused_with_those_it_does(
    service: Service, method: str, path: str, allowed: str
) -> None:
    answer = await service.admin(method, path)

    assert (answer.status, answer.headers["Allow"]) == (405, allowed)


async def test_a_problem_has_everything_that_a_client_needs(service: Service) -> None:
    answer = await service.admin.post("/v1/jobs", json={"nme": 1})
    again = await service.admin.post("/v1/jobs", json={"nme": 1})

    problem = answer.json
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert problem.pop("request_id") != again.json["request_id"]
    assert problem == {
        "type": "urn:jobwire:problem:invalid",
        "title": "A field of the request is not valid",
        "status": 422,
        "detail": "Object contains unknown field `nme` at /nme",
        "code": "invalid",
        "pointer": "/nme",
    }


async def test_the_first_key_is_written_down_once_and_made_again_when_it_was_removed(
    tmp_path: Path,
) -> None:
    keys = []
    for _ in range(2):
        async with running(tmp_path / "data") as service:
            keys.append(service.admin.key)
            status = (await service.admin.get("/v1/keys")).status
    service.folder.api_key_file.unlink()
    async with running(tmp_path / "data") as service:
        keys.append(service.admin.key)
        again = (await service.admin.get("/v1/keys")).status

    assert keys[0] == keys[1] != keys[2]
    assert (status, again) == (200, 200)


async def test_a_data_folder_keeps_its_number_of_shards(tmp_path: Path) -> None:
    async with running(tmp_path / "data", Settings(port=0, shards=2)):
        pass

    with pytest.raises(Misconfigured, match="shards = 2, the settings have 3"):
        async with running(tmp_path / "data", Settings(port=0, shards=3)):
            pass


async def test_an_address_that_is_taken_stops_the_start(tmp_path: Path, service: Service) -> None:
    with pytest.raises(Misconfigured, match="cannot listen on"):
        async with running(tmp_path / "other", Settings(port=service.port)):
            pass


async def test_a_running_service_writes_down_where_it_answers(service: Service) -> None:
    announced = service.folder.service()

    assert announced is not None
    assert announced.url == service.url


async def test_a_fault_of_the_service_is_answered_without_a_word_on_its_inside(
    service: Service,
) -> None:
    async def fail(*_: object) -> None:
        message = "secret inside"
        raise RuntimeError(message)

    service.system._container.store.find = fail  # type: ignore[assignment]

    answer = await service.admin.get("/v1/jobs")

    assert (answer.status, answer.json["code"]) == (500, "internal")
    assert b"secret" not in answer.body
    assert (await service.admin.get("/v1/stats")).status == 200


async def test_a_connection_too_many_is_turned_away_and_a_closed_one_makes_room(
    tmp_path: Path,
) -> None:
    settings = Settings(port=0, limits=Limits(connections=2))
    async with running(tmp_path / "data", settings) as service:
        idle = [await asyncio.open_connection("127.0.0.1", service.port) for _ in range(2)]
        live = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

        async def answer() -> bytes:
            return (await service.raw(live)).split(b" ", 2)[1]

        async def is_turned_away() -> bool:
            return await answer() == b"503"

        async def is_let_in() -> bool:
            return await answer() == b"200"

        await until(is_turned_away)
        for _, writer in idle:
            writer.close()
        await until(is_let_in)

"""Server-sent events: of one job and of an owner, with a place to go on from."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from jobwire.actors.runtime.settings import Limits, Settings
from tests.support.deadlines import until
from tests.support.service import Service, running


async def test_a_stream_of_a_job_begins_with_what_was_and_goes_on_with_what_comes(
    service: Service,
) -> None:
    job = await service.admin.make_job(data={"a": 1})
    await service.admin.report(job, "run")
    history = (await service.admin.get(job["history"])).json["items"]

    async with service.admin.follow(f"/v1/jobs/{job['id']}/stream") as feed:
        before = await feed.entries(2)
        await service.admin.report(job, "finish")
        place, entry = await feed.entry()

    assert feed.response.headers["Content-Type"] == "text/event-stream"
    assert feed.response.headers["Cache-Control"] == "no-store"
    assert before == history
    assert (place, entry["seq"], entry["state"]) == ("3", 3, "FINISHED")


async def test_a_stream_of_a_job_goes_on_behind_the_last_event_id(service: Service) -> None:
    job = await service.admin.make_job()
    for name in ("run", "update", "finish"):
        await service.admin.report(job, name)

    async with service.admin.follow(f"/v1/jobs/{job['id']}/stream", {"Last-Event-ID": "2"}) as feed:
        rest = await feed.entries(2)

    assert [entry["seq"] for entry in rest] == [3, 4]


async def test_a_stream_of_an_owner_begins_now_unless_it_is_asked_for_the_beginning(
    service: Service,
) -> None:
    old = await service.admin.make_job()

    async with (
        service.admin.follow("/v1/stream") as now,
        service.admin.follow("/v1/stream", {"Last-Event-ID": "0"}) as all_,
    ):
        new = await service.admin.make_job()
        live = await now.entries(1)
        whole = await all_.entries(2)

    assert [entry["job"] for entry in live] == [new["id"]]
    assert [entry["job"] for entry in whole] == [old["id"], new["id"]]


async def test_a_stream_of_an_owner_is_taken_up_where_it_was_left_without_gap_or_repeat(
    service: Service,
) -> None:
    job = await service.admin.make_job()
    seqs: list[int] = []
    place = "0"

    for step in range(5):
        for number in range(3):
            await service.admin.report(job, "update", id=f"u-{step}-{number}")
        async with service.admin.follow("/v1/stream", {"Last-Event-ID": place}) as feed:
            while len(seqs) < 1 + 3 * (step + 1):
                at, entry = await feed.entry()
                seqs.append(entry["seq"])
                place = at or place

    assert seqs == list(range(1, 17))


async def test_who_is_cut_off_before_the_first_entry_comes_back_without_a_gap(
    service: Service,
) -> None:
    job = await service.admin.make_job()

    async with service.admin.follow("/v1/stream") as feed:
        place = feed.place
    await service.admin.report(job, "run")
    async with service.admin.follow("/v1/stream", {"Last-Event-ID": place}) as feed:
        (entry,) = await feed.entries(1)

    assert entry["name"] == "run"


async def test_everything_committed_while_a_client_follows_is_seen_once(service: Service) -> None:
    job = await service.admin.make_job()
    event = {"uuid": job["id"], "name": "update", "token": job["token"]}

    async with service.admin.follow(f"/v1/jobs/{job['id']}/stream") as feed:
        posting = asyncio.gather(
            *(service.nobody.post("/v1/events", json=event) for _ in range(100))
        )
        entries = await feed.entries(101)
        await posting

    assert [entry["seq"] for entry in entries] == list(range(1, 102))


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("?state=RUNNING", ["run", "update"]),
        ("?name=update", ["update"]),
        ("?applied=false", ["ready"]),
        ("?applied=true&state=FINISHED", ["finish"]),
    ],
)
async def test_a_stream_is_filtered_and_its_places_move_on_all_the_same(
    service: Service, query: str, names: list[str]
) -> None:
    job = await service.admin.make_job()
    for name in ("run", "update", "finish", "ready", "finish"):
        await service.admin.report(job, name)
    path = f"/v1/jobs/{job['id']}/stream{query}"

    async with service.admin.follow(path) as feed:
        first = await feed.block()
    data = [line for line in first if line.startswith("data: ")]
    async with service.admin.follow(path) as feed:
        entries = await feed.entries(len(names))

    assert data
    assert [entry["name"] for entry in entries] == names


async def test_a_stream_of_a_job_ends_with_its_deletion(service: Service) -> None:
    job = await service.admin.make_job()

    async with service.admin.follow(f"/v1/jobs/{job['id']}/stream") as feed:
        await feed.entries(1)
        await service.admin.delete(f"/v1/jobs/{job['id']}?force=true")
        (entry,) = await feed.entries(1)
        end = await feed.block()

    assert (entry["name"], end) == ("delete", [])


async def test_a_stopping_service_ends_its_streams(tmp_path: Path) -> None:
    async with (
        running(tmp_path / "data") as service,
        service.admin.follow("/v1/stream") as feed,
    ):
        stopping = asyncio.create_task(service.system.stop())
        end = await feed.block()
        await stopping

    assert end == []


async def test_one_stream_too_many_is_refused_and_a_closed_one_makes_room(tmp_path: Path) -> None:
    settings = Settings(port=0, limits=Limits(streams_per_owner=1))
    async with running(tmp_path / "data", settings) as service:
        async with service.admin.follow("/v1/stream"):
            refused = await service.admin.get("/v1/stream")

        async def is_free() -> bool:
            return service.system._container.operations.streams.open_streams == 0

        job = await service.admin.make_job()
        await service.admin.report(job, "run")
        await until(is_free)
        async with service.admin.follow("/v1/stream") as feed:
            again = feed.response.status

    assert (refused.status, refused.json["limit"]) == (429, 1)
    assert refused.headers["Retry-After"] == "5"
    assert again == 200


async def test_open_streams_are_counted(service: Service) -> None:
    async def shown() -> str:
        return (await service.nobody.get("/metrics")).body.decode()

    async with service.admin.follow("/v1/stream"):
        during = await shown()

    assert "jobwire_streams_open 1.0" in during

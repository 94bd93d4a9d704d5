"""What recordings cannot show: restarts, other owners, races, receivers, and hostile input."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as some

from jobwire.actors.dialects.pipelinejobs.content import NOTHING, read_json
from jobwire.actors.dialects.pipelinejobs.early import allowed, is_early, is_repetition
from jobwire.actors.dialects.pipelinejobs.messages import read_message
from jobwire.actors.dialects.pipelinejobs.settings import PipelineJobs
from jobwire.actors.dialects.pipelinejobs.statuses import event_of
from jobwire.actors.runtime.settings import Limits, Settings
from jobwire.schemas.errors import Invalid
from jobwire.schemas.lifecycles.pipeline import PIPELINE
from tests.support.deadlines import until
from tests.support.receiver import receiving
from tests.support.service import Answer, Caller, Service, running

_ACTOR = "/compat/pipelinejobs/actors/v2/jobs-manager"
_MESSAGES = f"{_ACTOR}/messages"
_PIPELINE = "106c46ff-9186-5756-a934-8f9a8f1a7a6e"


def _settings(**fields: Any) -> Settings:
    mounting = PipelineJobs(enabled=True, **fields)
    return Settings(port=0, dialects={"pipelinejobs": mounting})


async def _make(caller: Caller, **data: Any) -> dict[str, Any]:
    work = {"pipeline_uuid": _PIPELINE, "archive_path": "/a", "data": data}
    made = await caller.post(_MESSAGES, json=work)
    assert made.status == 200, made.body
    result: dict[str, Any] = made.json["result"]
    return result


async def _post(caller: Caller, job: dict[str, Any], name: str, **fields: Any) -> Answer:
    event = {"uuid": job["uuid"], "name": name, "token": job["token"], **fields}
    return await caller.post(_MESSAGES, json=event)


async def _read(caller: Caller, job: dict[str, Any]) -> Any:
    return (await caller.get(f"{_ACTOR}/jobs/{job['uuid']}")).json["result"]


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running(tmp_path, _settings()) as each:
        yield each


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path, _settings(early="park")) as service:
        job = await _make(service.admin)
        nonce = (await service.admin.post(f"{_ACTOR}/nonces", json={"maxUses": 2})).json["result"]
        await service.nobody.get(f"{_ACTOR}?x-nonce={nonce['id']}")
        early = (await _post(service.admin, job, "finish")).json["result"]
        failed = (await _post(service.admin, job, "retire")).json["result"]

    async with running(tmp_path, _settings(early="park")) as service:
        ran = (await _post(service.admin, job, "run")).json["result"]
        executions = f"{_ACTOR}/executions"
        codes = [
            (await service.admin.get(f"{executions}/{each['executionId']}")).json["result"]
            for each in (early, failed, ran)
        ]
        log = await service.admin.get(f"{executions}/{job['executionId']}/logs")
        listed = (await service.admin.get(executions)).json["result"]["executions"]
        used = [
            (await service.nobody.get(f"{_ACTOR}?x-nonce={nonce['id']}")).status for _ in range(2)
        ]
        state = (await _read(service.admin, job))["state"]

    assert state == "FINISHED"
    assert [each["exitCode"] for each in codes] == [0, 1, 0]
    assert "was created" in log.json["result"]["logs"]
    assert {each["id"] for each in listed} == {each["executionId"] for each in (early, failed, ran)}
    assert used == [200, 403]


async def test_a_parked_event_is_woken_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path, _settings(early="park")) as service:
        job = await _make(service.admin)
        await _post(service.admin, job, "finish")
    async with running(tmp_path, _settings()) as service:  # nobody wakes anything now
        ran = await service.admin.report({"id": job["uuid"], **job}, "run")

    async with running(tmp_path, _settings(early="park")) as service:
        await until(lambda: _is(service.admin, job, "FINISHED"))

    assert ran["state"] == "RUNNING"


async def test_a_parked_event_waits_for_its_time_and_no_longer(tmp_path: Path) -> None:
    async with running(tmp_path, _settings(early="park", park_s=1)) as service:
        job = await _make(service.admin)
        key = {"Idempotency-Key": "end"}
        event = {"uuid": job["uuid"], "name": "finish", "token": job["token"]}
        parked = (await service.admin.post(_MESSAGES, json=event, headers=key)).json["result"]
        execution = f"{_ACTOR}/executions/{parked['executionId']}"
        before = (await service.admin.get(execution)).json["result"]

        async def is_over() -> bool:
            after = (await service.admin.get(execution)).json["result"]
            return bool(after["exitCode"] == 1)

        await until(is_over)
        log = (await service.admin.get(f"{execution}/logs")).json["result"]["logs"]
        waiting = (await service.admin.get(_MESSAGES)).json["result"]["messages"]
        again = await service.admin.post(_MESSAGES, json=event, headers=key)
        await _post(service.admin, job, "run")
        state = (await _read(service.admin, job))["state"]

    assert (parked["parked"], before["exitCode"], waiting) == (True, None, 0)
    assert "its time to wait is over" in log
    assert again.status == 409
    assert "it has waited for its time" in again.json["message"]
    assert state == "RUNNING"


async def _is(caller: Caller, job: dict[str, Any], state: str) -> bool:
    """Return whether a job has come to a state; it is read natively, which wakes nothing."""
    shown = await caller.get(f"/v1/jobs/{job['uuid']}")
    return bool(shown.json["state"] == state)


async def test_jobs_actors_and_executions_are_their_owners(service: Service) -> None:
    stranger = await service.principal("stranger")
    job = await _make(service.admin)
    theirs = await _make(stranger)
    ran = (await _post(service.admin, job, "run")).json["result"]

    answers = [
        await _post(stranger, job, "finish"),
        await stranger.get(f"{_ACTOR}/jobs/{job['uuid']}"),
        await stranger.get(f"{_ACTOR}/executions/{ran['executionId']}"),
        await stranger.post(
            _MESSAGES, json={"uuid": job["uuid"], "action": "delete", "token": job["token"]}
        ),
    ]
    listed = (await stranger.get(f"{_ACTOR}/jobs")).json["result"]["jobs"]

    # The same work of another owner is another job, also with a token that is good elsewhere.
    assert job["uuid"] != theirs["uuid"]
    assert [each.status for each in answers] == [404] * 4
    assert [each["uuid"] for each in listed] == [theirs["uuid"]]
    assert (await _read(service.admin, job))["state"] == "RUNNING"


async def test_an_actor_that_was_made_is_reached_by_its_id_and_its_aliases(
    service: Service,
) -> None:
    made = await service.admin.post(
        "/v1/actors", json={"id": "G1p783PxpalBB", "aliases": ["jobs-manager.prod"]}
    )
    taken = await service.admin.post("/v1/actors", json={"aliases": ["jobs-manager"]})
    reserved = await service.admin.post("/v1/actors", json={"id": "aliases"})
    job = await _make(service.admin)
    base = _ACTOR.rpartition("/")[0]
    posted = [
        await service.admin.post(
            f"{base}/{name}/messages",
            json={"uuid": job["uuid"], "name": "run", "token": job["token"]},
        )
        for name in ("G1p783PxpalBB", "jobs-manager.prod")
    ]
    stranger = await service.principal("stranger")
    foreign = await stranger.get(f"{base}/G1p783PxpalBB")

    assert made.status == 201
    assert (taken.status, reserved.status) == (409, 422)
    assert [each.status for each in posted] == [200, 200]
    assert foreign.status == 404
    assert (await service.admin.delete("/v1/actors/jobs-manager.prod")).status == 409
    assert (await service.admin.delete("/v1/actors/G1p783PxpalBB")).status == 200
    assert (await service.admin.get(f"{base}/jobs-manager.prod")).status == 404


async def test_a_key_opens_what_its_scopes_say(service: Service) -> None:
    reader = await service.principal("admin", ("read",))
    sender = await service.principal("admin", ("events",))
    job = await _make(service.admin)

    assert (await _post(reader, job, "run")).status == 403
    assert (await _post(sender, job, "run")).status == 200
    assert (await sender.get(f"{_ACTOR}/executions")).status == 403
    assert (await sender.post(f"{_ACTOR}/nonces")).status == 403
    work = {"pipeline_uuid": _PIPELINE, "archive_path": "/b", "data": {"n": 1}}
    assert (await sender.post(_MESSAGES, json=work)).status == 403


async def test_a_token_that_was_rotated_away_is_good_for_nothing(service: Service) -> None:
    job = await _make(service.admin)
    rotated = await service.admin.post(f"/v1/jobs/{job['uuid']}/token", json={"overlap_s": 0})

    old = await _post(service.admin, job, "run")
    gone = await service.admin.post(
        _MESSAGES, json={"uuid": job["uuid"], "action": "delete", "token": job["token"]}
    )
    new = await _post(service.admin, {**job, "token": rotated.json["token"]}, "run")

    assert (old.status, gone.status, new.status) == (403, 403, 200)


async def test_who_guesses_tokens_is_slowed_down(tmp_path: Path) -> None:
    mounting = PipelineJobs(enabled=True)
    settings = Settings(
        port=0,
        limits=Limits(failed_logins_per_minute=3),
        dialects={"pipelinejobs": mounting},
    )
    async with running(tmp_path, settings) as service:
        job = await _make(service.admin)
        statuses = [
            (await _post(service.admin, {**job, "token": f"guess{each}"}, "run")).status
            for each in range(5)
        ]

    assert statuses[:3] == [403] * 3
    assert statuses[-1] == 429


async def test_fifty_who_use_a_nonce_for_five_at_once_get_exactly_five_in(
    service: Service,
) -> None:
    job = await _make(service.admin)
    await _post(service.admin, job, "run")
    made = await service.admin.post(f"{_ACTOR}/nonces", json={"maxUses": 5})
    url = f"{_MESSAGES}?x-nonce={made.json['result']['id']}&uuid={job['uuid']}&name=update"

    answers = await asyncio.gather(
        *(service.nobody.post(f"{url}&token={job['token']}&note={each}") for each in range(50))
    )

    history = (await _read(service.admin, job))["history"]
    statuses = [each.status for each in answers]
    assert (statuses.count(200), statuses.count(403)) == (5, 45)
    assert len(history) == 2 + 5


async def test_a_nonce_opens_no_more_than_its_maker_could(service: Service) -> None:
    writer = await service.principal("writer", scopes=("jobs",))

    made = [
        await writer.post(f"{_ACTOR}/nonces", json={"level": level})
        for level in ("NONE", "READ", "EXECUTE")
    ]
    mine = "/compat/pipelinejobs/actors/v2/mine"
    actor = await writer.post("/v1/actors", json={"id": "mine"})
    update = await writer.post(f"{mine}/nonces", json={"level": "UPDATE", "maxUses": 1})
    nonce = update.json["result"]["id"]
    read = await service.nobody.get(f"{mine}?x-nonce={nonce}")
    purged = await service.nobody.delete(f"{mine}/messages?x-nonce={nonce}")

    assert [each.status for each in made] == [200, 403, 403]
    assert actor.status < 300, actor.body
    # What is refused for a missing scope spends no use.
    assert (read.status, purged.status) == (403, 200)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ([], "invalid"),
        ("text", "invalid"),
        (0, "invalid"),
        ({"level": "ALL"}, "bad_level"),
        ({"level": 3}, "invalid"),
        ({"maxUses": 1.5}, "invalid"),
    ],
)
async def test_what_asks_for_no_nonce_makes_none(service: Service, body: Any, code: str) -> None:
    answer = await service.admin.post(f"{_ACTOR}/nonces", json=body)

    assert (answer.status, answer.json["result"]["code"]) == (400, code)
    assert (await service.admin.get(f"{_ACTOR}/nonces")).json["result"] == []


async def test_one_use_of_a_nonce_does_not_stand_for_other_messages(service: Service) -> None:
    job = await _make(service.admin)
    made = await service.admin.post(f"{_ACTOR}/nonces", json={"maxUses": 1})
    url = f"{_MESSAGES}?x-nonce={made.json['result']['id']}"
    event = {"uuid": job["uuid"], "name": "run", "token": job["token"]}
    key = {"Idempotency-Key": "one"}

    first = await service.nobody.post(url, json=event, headers=key)
    again = await service.nobody.post(url, json=event, headers=key)
    other = await service.nobody.post(url, json={**event, "name": "fail"}, headers=key)
    reading = await service.nobody.get(f"{_ACTOR}/jobs?{url.partition('?')[2]}", headers=key)

    assert [first.status, again.status, other.status, reading.status] == [200, 200, 403, 403]
    assert (await _read(service.admin, job))["state"] == "RUNNING"


async def test_the_hub_is_told_of_every_event_that_is_applied(tmp_path: Path) -> None:
    async with receiving() as hub, running(tmp_path, _settings(events_hub=hub.url)) as service:
        job = await _make(service.admin)
        statuses = [
            (await _post(service.admin, job, name)).status
            for name in ("run", "index", "finish", "retire")
        ]
        told = await hub.wait(4)

    news = [msgspec.json.decode(each.body) for each in told]
    assert statuses == [200, 409, 200, 200]
    assert {each["event_name"]: each["job_state"] for each in news} == {
        "create": "CREATED",
        "run": "RUNNING",
        "finish": "FINISHED",
        "retire": "RETIRED",
    }
    assert {each["job_uuid"] for each in news} == {job["uuid"]}


async def test_nonces_of_the_operator_are_used_and_not_shown(tmp_path: Path) -> None:
    async with (
        receiving() as hub,
        running(tmp_path, _settings(events_hub=f"{hub.url}?a=1&x-nonce=SITE_nonce")) as service,
    ):
        stranger = await service.principal("stranger")
        job = await _make(stranger)
        told = await hub.wait(1)
        shown = [
            await stranger.get(f"/v1/jobs/{job['uuid']}"),
            await stranger.get(f"/v1/jobs/{job['uuid']}/deliveries"),
        ]

    assert len(told) == 1
    for answer in shown:
        assert b"?a=1&x-nonce=[redacted]" in answer.body
        assert b"SITE_nonce" not in answer.body


async def test_an_indexer_is_told_what_is_to_be_indexed(tmp_path: Path) -> None:
    async with receiving() as indexer, running(tmp_path, _settings(indexer=indexer.url)) as service:
        job = await _make(service.admin)
        for name in ("run", "finish", "index", "indexed"):
            assert (await _post(service.admin, job, name)).status == 200
        told = await indexer.wait(2)

    assert sorted(msgspec.json.decode(each.body)["name"] for each in told) == ["index", "indexed"]
    assert all(msgspec.json.decode(each.body)["uuid"] == job["uuid"] for each in told)


async def test_a_long_history_is_read_in_pages(service: Service) -> None:
    job = await _make(service.admin)
    await _post(service.admin, job, "run")
    for number in range(12):
        name = "update" if number % 2 else "validate"
        await _post(service.admin, job, name, data={"n": number})

    seen: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        url = f"{_ACTOR}/jobs/{job['uuid']}/history?limit=3"
        page = (await service.admin.get(url + (f"&cursor={cursor}" if cursor else ""))).json
        seen += page["result"]["history"]
        cursor = page["result"]["next"]

    shown = await _read(service.admin, job)
    assert seen == shown["history"]
    assert [each["name"] for each in seen] == ["create", "run"] + ["update"] * 6
    assert len({each["uuid"] for each in seen}) == 8


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 200_000, "application/json", 400),
        (b"\xef\xbb\xbf{}", "application/json", 400),
        (b'{"uuid": 5, "name": "run"}', "application/json", 400),
        (b'{"uuid": null, "name": null}', "application/json", 400),
        (b'{"message": {"message": {"message": 1}}}', "application/json", 400),
        (b'{"message": "\\ud800"}', "application/json", 400),
        (b"null", "application/json", 400),
        (b"[1, 2]", "application/json", 400),
        (b'"text"', "application/json", 400),
        (b"1e999", "application/json", 400),
        (b"message=", "application/x-www-form-urlencoded", 400),
        (b"message=%ff%fe", "application/x-www-form-urlencoded", 400),
        (b"&" * 1000, "application/x-www-form-urlencoded", 400),
        (b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x", 400),
        (b'{"data": "' + b"x" * 60_000 + b'"}', "application/json", 400),
    ],
)
async def test_bad_bodies_are_refused_in_the_envelope(
    service: Service, body: bytes, kind: str, status: int
) -> None:
    answer = await service.admin.post(_MESSAGES, body=body, headers={"Content-Type": kind})

    assert answer.status == status, answer.body
    assert answer.json["status"] == "error"
    assert answer.json["message"]


async def test_a_body_over_its_limit_is_refused_however_it_is_packed(service: Service) -> None:
    body = gzip.compress(b'"' + b"x" * 2_000_000 + b'"')

    answer = await service.admin.post(
        _MESSAGES, body=body, headers={"Content-Encoding": "gzip", "Content-Type": "text/plain"}
    )

    assert (answer.status, answer.json["status"]) == (413, "error")


async def test_data_over_its_limit_is_refused_and_changes_nothing(service: Service) -> None:
    job = await _make(service.admin)
    values = ["x" * 1000] * 100

    answer = await _post(service.admin, job, "run", data={"values": values})

    assert (answer.status, answer.json["status"]) == (413, "error")
    assert (await _read(service.admin, job))["state"] == "CREATED"


@pytest.mark.parametrize(
    "path",
    [
        "/compat/pipelinejobs/actors/v2/%2e%2e/messages",
        "/compat/pipelinejobs/actors/v2/a%2fb/messages",
        "/compat/pipelinejobs/actors/v2/%00/messages",
        f"/compat/pipelinejobs/actors/v2/{'x' * 3000}/messages",
        f"{_ACTOR}/executions/%00",
        f"{_ACTOR}/jobs/../../../v1/keys",
        f"{_ACTOR}/jobs/%00",
        f"{_ACTOR}/nonces/%ff",
        f"{_ACTOR}/jobs?limit=0",
        f"{_ACTOR}/jobs?limit=x",
        f"{_ACTOR}/jobs?cursor=forged",
        f"{_ACTOR}/jobs?state=%00",
    ],
)
async def test_odd_paths_are_refused_and_never_a_fault(service: Service, path: str) -> None:
    answer = await service.admin.get(path)

    assert 400 <= answer.status < 500, answer.body


_SCALARS = some.none() | some.booleans() | some.integers(-9, 9) | some.text(max_size=9)
_WORDS = some.sampled_from(
    ["uuid", "name", "token", "data", "action", "force", "message", "status", "pipeline_uuid"]
)
_JSON = some.recursive(
    _SCALARS,
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(_WORDS, inner, max_size=5),
    max_leaves=12,
)


@limits(suppress_health_check=[HealthCheck.too_slow], max_examples=300)
@given(_JSON, some.dictionaries(_WORDS | some.just("event"), some.text(max_size=9), max_size=4))
def test_whatever_is_sent_is_a_message_or_has_something_said_about_it(
    value: Any, query: dict[str, str]
) -> None:
    content = NOTHING if value is None else read_json(msgspec.json.encode(value))
    said = ""
    try:
        message = read_message(content, query)
    except Invalid as error:
        said = error.detail
    else:
        said = message.__class__.__name__

    assert said


@pytest.mark.parametrize("state", PIPELINE.states)
@pytest.mark.parametrize("name", PIPELINE.events)
def test_only_what_is_refused_is_early_or_a_repetition_and_never_both(
    state: str, name: str
) -> None:
    if name in allowed(state):
        return

    assert not (is_early(state, name) and is_repetition(state, name))


def test_the_end_is_never_early() -> None:
    for state in ("FAILED", "REJECTED", "FINALIZED", "RETIRED", "RESET"):
        assert not any(is_early(state, name) for name in PIPELINE.events)
    assert not any(is_early(state, "fail") for state in PIPELINE.states)


def test_every_status_is_an_event_that_there_is() -> None:
    known = ("RUNNING", "FINISHED", "KILLED", "UPDATED", "QUEUED", "STOPPED", "no such status", "")

    assert [event_of(each) for each in known] == [
        "run", "finish", "fail", "update", "resource", "fail", "update", "update",
    ]  # fmt: skip

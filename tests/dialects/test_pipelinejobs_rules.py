"""Rules of the PipelineJobs manager that a client may lean on, one by one."""

from __future__ import annotations

import asyncio
import gzip
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jobwire.actors.dialects.pipelinejobs.content import read_json
from jobwire.actors.dialects.pipelinejobs.messages import (
    CreateMessage,
    DeleteMessage,
    EventMessage,
    read_message,
)
from jobwire.actors.dialects.pipelinejobs.settings import PipelineJobs
from jobwire.actors.runtime.configuration import load_settings
from jobwire.actors.runtime.settings import Settings
from jobwire.schemas.errors import Invalid, Misconfigured
from tests.support.deadlines import until
from tests.support.service import Answer, Caller, Service, running

_BASE = "/compat/pipelinejobs/actors/v2"
_ACTOR = f"{_BASE}/jobs-manager"
_MESSAGES = f"{_ACTOR}/messages"
_PIPELINE = "106c46ff-9186-5756-a934-8f9a8f1a7a6e"
_JOB = "107aa0c4-51d2-5e0e-9d0f-3f1f64a7b1c2"
_ENABLED = PipelineJobs(enabled=True, early="park", actors=("jobs-manager", "other"))


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    settings = Settings(port=0, dialects={"pipelinejobs": _ENABLED})
    async with running(tmp_path, settings) as each:
        yield each


async def _make(caller: Caller, **data: Any) -> dict[str, Any]:
    work = {"pipeline_uuid": _PIPELINE, "archive_path": "/a", "data": data}
    result: dict[str, Any] = (await caller.post(_MESSAGES, json=work)).json["result"]
    return result


async def _send(caller: Caller, job: dict[str, Any], name: str, body: bytes, **headers: str) -> Any:
    url = f"{_MESSAGES}?uuid={job['uuid']}&name={name}&token={job['token']}"
    kind = {"Content-Type": "application/json"}
    return await caller.post(url, body=body, headers=kind | headers)


async def _history(caller: Caller, job: dict[str, Any]) -> list[Any]:
    history: list[Any] = (await caller.get(f"{_ACTOR}/jobs/{job['uuid']}")).json["result"][
        "history"
    ]
    return history


# Section: who speaks.


@pytest.mark.parametrize("header", [None, "Basic YTpi", "Digest x", "jwt"])
async def test_a_nonce_counts_where_no_bearer_is_sent(service: Service, header: str | None) -> None:
    nonce = (await service.admin.post(f"{_ACTOR}/nonces")).json["result"]["id"]
    headers = {"Authorization": header} if header else {}

    answer = await service.nobody.get(f"{_ACTOR}?x-nonce={nonce}", headers=headers)

    assert answer.status == 200, answer.body


@pytest.mark.parametrize(("header", "status"), [("Bearer old", 401), ("bearer {key}", 200)])
async def test_a_bearer_goes_before_a_nonce_in_either_case(
    service: Service, header: str, status: int
) -> None:
    nonce = (await service.admin.post(f"{_ACTOR}/nonces")).json["result"]["id"]
    headers = {"Authorization": header.format(key=service.admin.key)}

    answer = await service.nobody.get(f"{_ACTOR}?x-nonce={nonce}", headers=headers)

    assert (answer.status, answer.json["status"] == "success") == (status, status == 200)


@pytest.mark.parametrize(
    ("path", "level", "status"),
    [
        (f"{_ACTOR}/nonces", "UPDATE", 200),
        (f"{_BASE}/aliases/jobs-manager/nonces", "UPDATE", 400),
        (f"{_BASE}/aliases/jobs-manager/nonces", "EXECUTE", 200),
    ],
)
async def test_only_the_route_of_aliases_gives_no_nonce_for_changes(
    service: Service, path: str, level: str, status: int
) -> None:
    answer = await service.admin.post(path, json={"level": level})

    assert answer.status == status, answer.body


async def test_the_name_of_a_nonce_opens_nothing_and_that_is_said(service: Service) -> None:
    await service.admin.post(f"{_ACTOR}/nonces")
    name = (await service.admin.get(f"{_ACTOR}/nonces")).json["result"][0]["id"]

    answer = await service.nobody.get(f"{_ACTOR}?x-nonce={name}")

    assert answer.status == 401
    assert "a nonce's name" in answer.json["message"]
    assert (await service.admin.get(f"{_ACTOR}/nonces/{name}")).status == 200


async def test_the_nonces_of_an_actor_go_with_it(service: Service) -> None:
    wanted = {"id": "G1p783PxpalBB", "aliases": ["short.lived"]}
    await service.admin.post("/v1/actors", json=wanted)
    made = [
        (await service.admin.post(f"{_BASE}/{name}/nonces")).json["result"]["id"]
        for name in ("G1p783PxpalBB", "short.lived", "jobs-manager")
    ]
    await service.admin.delete("/v1/actors/G1p783PxpalBB")
    await service.admin.post("/v1/actors", json=wanted)

    statuses = [
        (await service.nobody.get(f"{_BASE}/{name}?x-nonce={nonce}")).status
        for name, nonce in zip(("G1p783PxpalBB", "short.lived", "jobs-manager"), made, strict=True)
    ]

    assert statuses == [401, 401, 200]


# Section: which message a body is.


@pytest.mark.parametrize(
    ("body", "query", "kind"),
    [
        ({"uuid": _JOB, "action": "delete"}, {}, DeleteMessage),
        ({"uuid": _JOB, "action": "delete"}, {"uuid": _JOB, "name": "run"}, DeleteMessage),
        ({"action": "delete"}, {"uuid": _JOB}, DeleteMessage),
        ({"action": "delete"}, {"uuid": _JOB, "name": "run"}, EventMessage),
        ({"action": "delete", "force": True}, {"uuid": _JOB, "status": "RUNNING"}, EventMessage),
        ({"uuid": _JOB, "action": "trim"}, {"uuid": _JOB, "event": "run"}, EventMessage),
        ({"message": {"action": "delete"}, "n": 1}, {"uuid": _JOB, "name": "run"}, EventMessage),
        ({"message": {"uuid": _JOB, "action": "delete"}, "n": 1}, {}, DeleteMessage),
        ({"pipeline_uuid": _PIPELINE, "archive_path": "/a", "data": {}}, {}, CreateMessage),
        (
            {"pipeline_uuid": _PIPELINE, "archive_path": "/a", "data": {}},
            {"uuid": _JOB, "name": "run"},
            EventMessage,
        ),
    ],
)
def test_a_body_is_an_action_only_if_it_says_so_itself(
    body: Any, query: dict[str, str], kind: type
) -> None:
    message = read_message(read_json(msgspec.json.encode(body)), query)

    assert type(message) is kind
    if isinstance(message, EventMessage):
        assert message.data is not None
        assert msgspec.json.decode(message.data) == body


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"uuid": _JOB, "name": "run", "level": "1"}, "an event has no 'level'"),
        ({"uuid": _JOB, "action": "delete", "purge": True}, "a delete has no 'purge'"),
        ({"uuid": _JOB, "action": "trim"}, 'the only action is "delete"'),
        ({"action": "delete"}, "names no job"),
        ({"pipeline_uuid": _PIPELINE, "archive_path": "a", "data": {}}, "an absolute path"),
        (
            {"pipeline_uuid": _PIPELINE, "archive_path": "/a", "data": {}, "session": "a\nb"},
            "one line without control characters at /session",
        ),
    ],
)
def test_what_is_wrong_is_said_in_words(body: Any, said: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_message(read_json(msgspec.json.encode(body)), {})

    assert said in refused.value.detail
    assert "regex" not in refused.value.detail


@pytest.mark.parametrize(
    ("body", "headers", "data"),
    [
        (b"", {}, {}),
        (b" \n", {}, {}),
        (b"{}", {}, {}),
        (b"null", {}, None),
        (b"[1]", {"Content-Type": "text/plain"}, [1]),
        (b'"a"', {"Content-Type": "application/x-www-form-urlencoded"}, "a"),
        (b"\x00\xff", {"Content-Type": "application/octet-stream"}, {"base64": "AP8="}),
        (gzip.compress(b'{"a": 1}'), {"Content-Encoding": "gzip"}, {"a": 1}),
        (b'{"message": "half way"}', {}, "half way"),
        (b'{"message": 1, "n": 2}', {}, {"message": 1, "n": 2}),
    ],
)
async def test_any_body_is_the_data_of_an_event_by_url(
    service: Service, body: bytes, headers: dict[str, str], data: Any
) -> None:
    job = await _make(service.admin)

    answer = await _send(service.admin, job, "run", body, **headers)

    assert answer.status == 200, answer.body
    assert (await _history(service.admin, job))[-1]["data"] == data


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"x", {"Content-Encoding": "gzip"}),
        (gzip.compress(b"12345")[:12], {"Content-Encoding": "gzip"}),
        (b64encode(b"x"), {"Content-Encoding": "deflate"}),
        (b"{}", {"Content-Encoding": "br, gzip"}),
    ],
)
async def test_a_body_that_cannot_be_unpacked_is_not_taken_for_none(
    service: Service, body: bytes, headers: dict[str, str]
) -> None:
    job = await _make(service.admin)

    answer = await _send(service.admin, job, "run", body, **headers)

    assert (answer.status in {400, 415}, answer.json["status"]) == (True, "error"), answer.body
    assert [each["name"] for each in await _history(service.admin, job)] == ["create"]


# Section: actors, messages that wait, executions.


async def test_messages_wait_at_the_actor_that_they_came_through(service: Service) -> None:
    job = await _make(service.admin)
    await _send(service.admin, job, "finish", b"")

    counts = [
        await service.admin.get(f"{_BASE}/{name}/messages") for name in ("other", "jobs-manager")
    ]
    await service.admin.delete(f"{_BASE}/other/messages")
    kept = (await service.admin.get(_MESSAGES)).json["result"]["messages"]
    await service.admin.delete(_MESSAGES)
    left = (await service.admin.get(_MESSAGES)).json["result"]["messages"]

    assert [each.json["result"]["messages"] for each in counts] == [0, 1]
    assert (kept, left) == (1, 0)


async def test_executions_are_listed_in_pages_newest_first(service: Service) -> None:
    job = await _make(service.admin)
    for name in ("run", "update", "update", "finish", "retire"):
        await _send(service.admin, job, name, b"")

    everything = await _executions(service.admin, "")
    pages = [await _executions(service.admin, f"?limit=2&offset={at}") for at in (0, 2, 4, 6)]

    assert [len(page) for page in pages] == [2, 2, 1, 0]
    assert [each["id"] for page in pages for each in page] == [each["id"] for each in everything]
    assert [each["finalState"]["jobState"] for each in everything] == [
        "RETIRED", "FINISHED", "RUNNING", "RUNNING", "RUNNING",
    ]  # fmt: skip


async def _executions(caller: Caller, query: str) -> list[Any]:
    found = (await caller.get(f"{_ACTOR}/executions{query}")).json["result"]
    assert found["totalExecutions"] == len(found["executions"])
    listed: list[Any] = found["executions"]
    return listed


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "offset=-1", "offset=x"])
async def test_a_page_that_there_is_not_is_refused(service: Service, query: str) -> None:
    answer = await service.admin.get(f"{_ACTOR}/executions?{query}")

    assert (answer.status, answer.json["status"]) == (400, "error")


# Section: jobs.


async def test_a_hidden_job_that_is_made_again_is_shown_again(service: Service) -> None:
    job = await _make(service.admin)
    hide = {"uuid": job["uuid"], "action": "delete", "force": False, "token": job["token"]}
    await service.admin.post(_MESSAGES, json=hide)
    hidden = await _listed(service.admin, "")

    again = await _make(service.admin)

    assert hidden == []
    assert (again["uuid"], again["token"], again["created"]) == (job["uuid"], job["token"], False)
    assert await _listed(service.admin, "") == [job["uuid"]]


async def test_a_page_of_jobs_is_full_though_some_are_hidden(service: Service) -> None:
    jobs = [await _make(service.admin, n=number) for number in range(5)]
    for job in jobs[2:]:
        hide = {"uuid": job["uuid"], "action": "delete", "force": False, "token": job["token"]}
        await service.admin.post(_MESSAGES, json=hide)

    assert await _listed(service.admin, "?limit=2") == [jobs[1]["uuid"], jobs[0]["uuid"]]


async def _listed(caller: Caller, query: str) -> list[str]:
    found = (await caller.get(f"{_ACTOR}/jobs{query}")).json["result"]["jobs"]
    return [each["uuid"] for each in found]


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        ({"data": {"b": 2, "a": 1}}, True),
        ({"archive_path": "/elsewhere", "session": "s", "agent": "g"}, True),
        ({"child_of": ["x", "y"]}, False),
        ({"data": {"a": 1}}, False),
        ({"pipeline_uuid": _PIPELINE[:-1] + "0"}, False),
    ],
)
async def test_a_job_is_its_pipeline_its_parents_and_its_data(
    service: Service, other: dict[str, Any], is_same: bool
) -> None:
    work = {"pipeline_uuid": _PIPELINE, "archive_path": "/a", "data": {"a": 1, "b": 2}}
    first = (await service.admin.post(_MESSAGES, json=work)).json["result"]

    second = (await service.admin.post(_MESSAGES, json={**work, **other})).json["result"]

    assert (second["uuid"] == first["uuid"], not second["created"]) == (is_same, is_same)
    shown = (await service.admin.get(f"{_ACTOR}/jobs/{first['uuid']}")).json["result"]
    assert shown["archive_path"] == "/a"


async def test_a_job_whose_callbacks_stop_fails(service: Service) -> None:
    options = {"heartbeat_s": 0.2, "unknown": [1]}
    work = {"pipeline_uuid": _PIPELINE, "archive_path": "/a", "data": {}, "__options": options}
    job = (await service.admin.post(_MESSAGES, json=work)).json["result"]
    await _send(service.admin, job, "run", b"")

    async def has_failed() -> bool:
        return "fail" in [each["name"] for each in await _history(service.admin, job)]

    await until(has_failed)


async def test_events_of_one_job_that_come_together_are_all_kept(service: Service) -> None:
    job = await _make(service.admin)
    await _send(service.admin, job, "run", b"")

    answers = await asyncio.gather(
        *(_send(service.admin, job, "Update", b"%d" % number) for number in range(40))
    )

    kept = (await _history(service.admin, job))[2:]
    assert {answer.status for answer in answers} == {200}
    assert {each["name"] for each in kept} == {"update"}
    assert sorted(each["data"] for each in kept) == list(range(40))
    assert len({each["uuid"] for each in kept}) == 40


async def test_a_page_of_a_history_has_what_was_asked_for_though_some_was_refused(
    service: Service,
) -> None:
    job = await _make(service.admin)
    for name in ("run", "validate", "update", "validate", "update", "update", "update"):
        await _send(service.admin, job, name, b"")

    url = f"{_ACTOR}/jobs/{job['uuid']}/history?limit=3"
    pages: list[list[str]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await service.admin.get(f"{url}&cursor={cursor}" if cursor else url)).json["result"]
        pages.append([each["name"] for each in page["history"]])
        cursor = page["next"]

    assert pages == [["create", "run", "update"], ["update"] * 3]


async def test_a_job_with_a_long_history_shows_its_newest_moment(service: Service) -> None:
    job = await _make(service.admin)
    await _send(service.admin, job, "run", b"")
    event = {"uuid": job["uuid"], "name": "update", "token": job["token"]}
    lines = b"\n".join(msgspec.json.encode({**event, "id": f"e{n}"}) for n in range(1_100))
    await service.admin.post(
        "/v1/events?wait=5", body=lines, headers={"Content-Type": "application/x-ndjson"}
    )
    native = (await service.admin.get(f"/v1/jobs/{job['uuid']}")).json

    shown = (await service.admin.get(f"{_ACTOR}/jobs/{job['uuid']}")).json["result"]

    assert (len(shown["history"]), shown["history_complete"]) == (1_000, False)
    assert (shown["updated"], shown["_properties"]["revision"]) == (native["updated"], 1_102)


async def test_fail_on_a_new_job_is_kept_as_failed(service: Service) -> None:
    job = await _make(service.admin)

    answer: Answer = await _send(service.admin, job, "fail", b"")

    assert answer.json["result"]["msg"] == "fail applied: the job is FAILED"
    assert [each["name"] for each in await _history(service.admin, job)] == ["create", "fail"]


async def test_reset_and_ready_change_the_state_and_erase_nothing(
    service: Service, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    (archive / "result.txt").write_text("kept")
    work = {"pipeline_uuid": _PIPELINE, "archive_path": str(archive), "data": {}}
    job = (await service.admin.post(_MESSAGES, json=work)).json["result"]
    token = (await service.admin.post("/v1/actors/admin-token")).json["token"]

    for name in ("run", "fail", "reset", "ready", "run"):
        event = {"uuid": job["uuid"], "name": name, "token": token}
        assert (await service.admin.post(_MESSAGES, json=event)).status == 200, name

    assert (archive / "result.txt").read_text() == "kept"
    names = [each["name"] for each in await _history(service.admin, job)]
    assert names == ["create", "run", "fail", "reset", "ready", "run"]


async def test_asking_to_wait_changes_nothing_for_every_message_is_waited_for(
    service: Service,
) -> None:
    job = await _make(service.admin)
    url = f"{_MESSAGES}?_abaco_synchronous=true&uuid={job['uuid']}&name=run&token={job['token']}"

    answer = await service.admin.post(url)

    assert answer.json["result"]["msg"] == "run applied: the job is RUNNING"


# Section: what an operator gets wrong.


async def test_a_client_of_a_dialect_that_is_off_is_told_so(tmp_path: Path) -> None:
    async with running(tmp_path, Settings(port=0)) as service:
        answer = await service.admin.get(_MESSAGES)

    assert answer.status == 404
    assert "is not enabled" in answer.json["detail"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("EVENTS_HUB", "nonsense", "an http or https URL"),
        ("INDEXER", "ftp://there/x", "an http or https URL"),
        ("TENANT", "two words", "letters, digits, dots"),
        ("ACTORS", "good,not good", "letters, digits, dots"),
    ],
)
def test_a_setting_that_no_client_could_be_served_with_is_refused(
    name: str, value: str, said: str
) -> None:
    with pytest.raises(Misconfigured, match=said) as refused:
        load_settings(None, {f"JOBWIRE_DIALECTS__PIPELINEJOBS__{name}": value})

    unset = load_settings(None, {"JOBWIRE_DIALECTS__PIPELINEJOBS__EVENTS_HUB": ""})
    assert unset == Settings(dialects={"pipelinejobs": PipelineJobs()})
    assert f"dialects.pipelinejobs.{name.lower()}" in str(refused.value)

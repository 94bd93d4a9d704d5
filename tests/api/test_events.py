"""Events over HTTP: as JSON, as URL parameters, many at once; answered at once or waited for."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jobwire.actors.runtime.settings import Limits, Settings
from tests.support.deadlines import until
from tests.support.service import Answer, Service, running

_UNKNOWN = "2f1c6c1e-7f43-4c0e-9a51-0d6a3c1f5a10"
_NDJSON = {"Content-Type": "application/x-ndjson"}


async def _history(service: Service, job: Any) -> list[Any]:
    items: list[Any] = (await service.admin.get(job["history"])).json["items"]
    return items


def _event(job: Any, name: str = "run", **fields: Any) -> dict[str, Any]:
    return {"uuid": job["id"], "name": name, "token": job["token"], **fields}


# --- one event ------------------------------------------------------------------------------------


async def test_an_event_is_accepted_with_the_id_it_was_given(service: Service) -> None:
    job = await service.admin.make_job()

    answer = await service.nobody.post("/v1/events", json=_event(job, id="mine"))

    assert (answer.status, answer.json) == (202, {"id": "mine", "uuid": job["id"]})
    assert [item["id"] for item in await _history(service, job)] == ["create", "mine"]


async def test_an_event_without_an_id_gets_one_that_nobody_guesses(service: Service) -> None:
    job = await service.admin.make_job()

    answers = [await service.nobody.post("/v1/events", json=_event(job)) for _ in range(2)]

    ids = [answer.json["id"] for answer in answers]
    assert all(len(each) == 32 for each in ids)
    assert ids[0] != ids[1]


@pytest.mark.parametrize(
    "authority", ["field", "header", "key"], ids=["token field", "token header", "API key"]
)
async def test_an_event_may_be_sent_with_a_token_or_a_key(service: Service, authority: str) -> None:
    job = await service.admin.make_job()
    event = _event(job)
    token = event.pop("token")
    if authority == "field":
        answer = await service.nobody.post("/v1/events?wait=5", json={**event, "token": token})
    elif authority == "header":
        bearer = {"Authorization": f"Bearer {token}"}
        answer = await service.nobody.post("/v1/events?wait=5", json=event, headers=bearer)
    else:
        answer = await service.admin.post("/v1/events?wait=5", json=event)

    assert (answer.status, answer.json["state"]) == (200, "RUNNING")


@pytest.mark.parametrize("form", ["body", "parameters", "line", "key"])
async def test_an_event_of_an_earlier_attempt_is_kept_and_moves_the_next_one_nowhere(
    service: Service, form: str
) -> None:
    job = await service.admin.make_job(
        spec={"argv": ["/bin/false"], "retries": {"max": 1, "backoff_s": 3600}}
    )

    async def is_retrying() -> bool:
        return bool((await service.admin.get(f"/v1/jobs/{job['id']}")).json["state"] == "RETRYING")

    await until(is_retrying, 10)
    event = {"uuid": job["id"], "name": "update", "id": "late", "attempt": 1}

    with_token = {**event, "token": job["token"]}
    sent = service.nobody.post
    if form == "parameters":
        answer = await sent("/v1/events", params={**with_token, "wait": 5})
    elif form == "line":
        body = msgspec.json.encode(with_token)
        answer = await sent("/v1/events?wait=5", body=body, headers=_NDJSON)
    elif form == "key":
        answer = await service.admin.post("/v1/events?wait=5", json={**event, "name": "cancel"})
    else:
        answer = await sent("/v1/events?wait=5", json=with_token)

    (told,) = answer.lines
    history = (await service.admin.get(f"/v1/jobs/{job['id']}/history")).json["items"]
    assert (told["status"], told["code"]) == (409, "stale_attempt")
    assert (history[-1]["id"], history[-1]["reason"]) == ("late", "stale_attempt")
    assert (await service.admin.get(f"/v1/jobs/{job['id']}")).json["state"] == "RETRYING"


@pytest.mark.parametrize("attempt", [0, -1, 2**31, "1", 1.5])
async def test_an_attempt_is_a_number_from_one_on(service: Service, attempt: Any) -> None:
    job = await service.admin.make_job()
    event = {"uuid": job["id"], "name": "run", "token": job["token"], "attempt": attempt}

    answer = await service.nobody.post("/v1/events", json=event)

    assert (answer.status, answer.json["pointer"]) == (422, "/attempt")


async def test_a_token_goes_before_a_key(service: Service) -> None:
    job = await service.admin.make_job()
    bob = await service.principal("bob")

    answer = await bob.post("/v1/events?wait=5", json=_event(job))

    assert answer.status == 200


async def test_an_event_that_is_waited_for_is_answered_with_its_outcome(service: Service) -> None:
    job = await service.admin.make_job()

    answer = await service.nobody.post("/v1/events?wait=5", json=_event(job, id="x"))
    again = await service.nobody.post("/v1/events?wait=5", json=_event(job, id="x"))

    settled = {"id": "x", "uuid": job["id"], "applied": True, "state": "RUNNING", "seq": 2}
    assert (answer.status, answer.json) == (200, settled)
    assert (again.status, again.json) == (200, {**settled, "duplicate": True})


@pytest.mark.parametrize(
    "headers",
    [
        {"Prefer": "wait=5"},
        {"Prefer": "respond-async, wait=5"},
        {"Prefer": "wait = 5, handling=strict"},
        {"Prefer": "wait=999999"},
    ],
)
async def test_a_preference_to_wait_is_heard(service: Service, headers: dict[str, str]) -> None:
    job = await service.admin.make_job()

    answer = await service.nobody.post("/v1/events", json=_event(job), headers=headers)

    assert (answer.status, answer.json["applied"]) == (200, True)


@pytest.mark.parametrize("headers", [{"Prefer": "respond-async"}, {"Prefer": "wait=soon"}])
async def test_who_does_not_want_to_wait_is_answered_at_once(
    service: Service, headers: dict[str, str]
) -> None:
    job = await service.admin.make_job()

    answer = await service.nobody.post("/v1/events", json=_event(job), headers=headers)

    assert answer.status == 202


async def test_who_waits_for_no_time_is_told_only_what_is_known_at_once(service: Service) -> None:
    job = await service.admin.make_job()

    answer = await service.nobody.post("/v1/events?wait=0", json=_event(job, id="x"))

    assert answer.status in {200, 202}
    assert (answer.json["id"], answer.json["uuid"]) == ("x", job["id"])


async def test_an_idempotency_key_is_the_id_of_an_event_without_one(service: Service) -> None:
    job = await service.admin.make_job()
    headers = {"Idempotency-Key": '"key-7"'}

    keyed = await service.nobody.post("/v1/events", json=_event(job), headers=headers)
    named = await service.nobody.post("/v1/events", json=_event(job, id="x"), headers=headers)

    assert (keyed.json["id"], named.json["id"]) == ("key-7", "x")


async def test_the_same_id_counts_once_and_another_payload_is_refused(service: Service) -> None:
    job = await service.admin.make_job()
    event = _event(job, "update", id="x", data={"a": 1, "b": 2})
    await service.nobody.post("/v1/events", json=event)

    same = await service.nobody.post("/v1/events?wait=5", json={**event, "data": {"b": 2, "a": 1}})
    other = await service.nobody.post("/v1/events?wait=5", json={**event, "data": {"a": 2}})
    unseen = await service.nobody.post("/v1/events", json={**event, "data": {"a": 3}})

    assert (same.status, same.json["duplicate"]) == (200, True)
    assert (other.status, other.json["code"]) == (422, "event_id_reused")
    assert unseen.status == 202
    assert [item["data"] for item in await _history(service, job)] == [None, {"a": 1, "b": 2}]


@pytest.mark.parametrize(
    ("name", "status", "code", "pointer"),
    [
        ("finish", 409, "wrong_state", None),
        ("ready", 403, "wrong_sender", None),
        ("explode", 422, "unknown_event", "/name"),
        ("create", 409, "exists", None),
        ("delete", 403, "wrong_sender", None),
        ("rotate_token", 403, "wrong_sender", None),
    ],
)
async def test_an_event_that_changes_nothing_is_kept_and_says_so_to_whoever_waits(
    service: Service, name: str, status: int, code: str, pointer: str | None
) -> None:
    job = await service.admin.make_job()

    waited = await service.nobody.post("/v1/events?wait=5", json=_event(job, name, id="w"))
    accepted = await service.nobody.post("/v1/events", json=_event(job, name, id="a"))

    assert (waited.status, waited.json["code"]) == (status, code)
    assert waited.json.get("pointer") == pointer
    assert accepted.status == 202
    kept = (await _history(service, job))[1:]
    assert [(item["id"], item["applied"], item["reason"]) for item in kept] == [
        ("w", False, code),
        ("a", False, code),
    ]


async def test_an_event_of_the_record_with_data_that_makes_no_sense_is_kept(
    service: Service,
) -> None:
    job = await service.admin.make_job()
    event = {"uuid": job["id"], "name": "rotate_token", "data": {"overlap_s": 1e300}}

    answer = await service.admin.post("/v1/events?wait=5", json=event)

    assert (answer.status, answer.json["code"]) == (422, "invalid_data")
    assert answer.json["pointer"] == "/data"
    assert (await service.admin.report(job, "run"))["applied"]


async def test_the_data_of_an_event_comes_back_as_it_was_sent(service: Service) -> None:
    job = await service.admin.make_job()
    text = b'{"$where" : 1.50, "a.b": "\\u00e9\\u0000", "big": 18446744073709551615}'
    body = msgspec.json.encode(_event(job, "update"))[:-1] + b',"data":' + text + b"}"

    await service.nobody.post("/v1/events", body=body, headers={"Content-Type": "application/json"})
    answer = await service.admin.get(job["history"])

    assert b'"data":' + text in answer.body


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)]
)
async def test_a_packed_body_is_unpacked(service: Service, encoding: str, pack: Any) -> None:
    job = await service.admin.make_job()
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}

    answer = await service.nobody.post(
        "/v1/events?wait=5", body=pack(msgspec.json.encode(_event(job))), headers=headers
    )

    assert answer.status == 200


async def test_other_json_types_are_json_too(service: Service) -> None:
    job = await service.admin.make_job()
    headers = {"Content-Type": "application/vnd.example+json; charset=utf-8"}

    answer = await service.nobody.post(
        "/v1/events", body=msgspec.json.encode(_event(job)), headers=headers
    )

    assert answer.status == 202


async def test_an_upper_case_job_id_is_the_same_job(service: Service) -> None:
    job = await service.admin.make_job()

    answer = await service.nobody.post(
        "/v1/events", json={**_event(job), "uuid": job["id"].upper()}
    )

    assert (answer.status, answer.json["uuid"]) == (202, job["id"])


# --- URL parameters -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "data"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b"[1, 2]", [1, 2]),
        (b'"text"', "text"),
        (b"-1.5e3", -1500.0),
        (b"true", True),
        (b"null", None),
        (b"", None),
    ],
    ids=["object", "array", "string", "number", "boolean", "null", "nothing"],
)
@pytest.mark.parametrize("kind", ["application/json", "text/plain", None])
async def test_the_body_of_a_webhook_is_the_data_whatever_json_it_is(
    service: Service, body: bytes, data: Any, kind: str | None
) -> None:
    job = await service.admin.make_job()
    headers = {"Content-Type": kind} if kind else {}

    answer = await service.nobody.post(
        f"{job['webhook']}&name=run&id=x", body=body, headers=headers
    )

    assert (answer.status, answer.json) == (202, {"id": "x", "uuid": job["id"]})
    assert (await _history(service, job))[1]["data"] == data


async def test_a_webhook_takes_everything_that_a_body_takes(service: Service) -> None:
    job = await service.admin.make_job()
    more = "&name=update&id=i&source=host%201&time=2026-01-02T03:04:05Z&wait=5"

    answer = await service.nobody.post(job["webhook"] + more, body=b"{}")

    (_, entry) = await _history(service, job)
    assert (answer.status, answer.json["seq"]) == (200, 2)
    assert (entry["id"], entry["source"]) == ("i", "host 1")
    assert entry["occurred"] == "2026-01-02T03:04:05Z"


async def test_a_webhook_takes_its_token_from_the_header_too(service: Service) -> None:
    job = await service.admin.make_job()

    answer = await service.nobody.post(
        f"/v1/events?uuid={job['id']}&name=run&wait=5",
        headers={"Authorization": f"Bearer {job['token']}"},
    )

    assert answer.status == 200


async def test_an_event_counts_once_however_it_is_sent(service: Service) -> None:
    job = await service.admin.make_job()
    await service.nobody.post("/v1/events", json=_event(job, "update", id="x", data=[1, 2]))

    by_url = await service.nobody.post(f"{job['webhook']}&name=update&id=x&wait=5", body=b"[1 , 2]")
    line = msgspec.json.encode(_event(job, "update", id="x", data=[1, 2]))
    by_line = await service.nobody.post("/v1/events?wait=5", body=line, headers=_NDJSON)

    assert (by_url.status, by_url.json["duplicate"], by_url.json["seq"]) == (200, True, 2)
    assert by_line.lines[0]["seq"] == 2
    assert len(await _history(service, job)) == 2


# --- many at once ---------------------------------------------------------------------------------


async def _lines(service: Service, *lines: Any, path: str = "/v1/events") -> Answer:
    body = b"\n".join(
        line if isinstance(line, bytes) else msgspec.json.encode(line) for line in lines
    )
    return await service.nobody.post(path, body=body, headers=_NDJSON)


async def test_many_events_are_answered_line_by_line(service: Service) -> None:
    job, other = await service.admin.make_job(), await service.admin.make_job()

    answer = await _lines(
        service,
        _event(job, id="a"),
        b"",
        _event(other, id="b"),
        _event(job, "finish", id="c"),
    )

    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.lines == [
        {"line": 1, "status": 202, "uuid": job["id"], "id": "a"},
        {"line": 3, "status": 202, "uuid": other["id"], "id": "b"},
        {"line": 4, "status": 202, "uuid": job["id"], "id": "c"},
    ]
    assert [item["id"] for item in await _history(service, job)] == ["create", "a", "c"]


async def test_lines_that_are_waited_for_tell_their_outcomes(service: Service) -> None:
    job = await service.admin.make_job()

    answer = await _lines(
        service, _event(job, id="a"), _event(job, "ready", id="b"), path="/v1/events?wait=5"
    )

    first, second = answer.lines
    assert first == {
        "line": 1,
        "status": 200,
        "uuid": job["id"],
        "id": "a",
        "seq": 2,
        "state": "RUNNING",
        "applied": True,
    }
    assert second.pop("detail")
    assert second == {
        "line": 2,
        "status": 403,
        "uuid": job["id"],
        "id": "b",
        "seq": 3,
        "state": "RUNNING",
        "applied": False,
        "reason": "wrong_sender",
        "code": "wrong_sender",
    }


async def test_a_bad_line_fails_alone_and_takes_the_later_lines_of_its_job_with_it(
    service: Service,
) -> None:
    job, other = await service.admin.make_job(), await service.admin.make_job()

    answer = await _lines(
        service,
        _event(job, "run", id="a"),
        {**_event(job, "update", id="b"), "oops": 1},
        _event(other, "run", id="c"),
        {**_event(job, "finish", id="d"), "uuid": job["id"].upper()},
        b"no json",
        _event(other, "finish", id="e"),
        {**_event(other, "update", id="f"), "uuid": other["id"].upper(), "oops": 1},
        _event(other, "fail", id="g"),
    )

    assert [(line["line"], line["status"], line.get("code")) for line in answer.lines] == [
        (1, 202, None),
        (2, 422, "invalid"),
        (3, 202, None),
        (4, 409, "earlier_line_failed"),
        (5, 400, "invalid_json"),
        (6, 202, None),
        (7, 422, "invalid"),
        (8, 409, "earlier_line_failed"),
    ]
    assert answer.lines[1]["pointer"] == "/oops"
    assert [item["id"] for item in await _history(service, job)] == ["create", "a"]
    assert [item["id"] for item in await _history(service, other)] == ["create", "c", "e"]


@pytest.mark.parametrize(
    ("bad", "status", "code"),
    [
        (lambda job: {**_event(job), "token": "x" * 30}, 401, "wrong_token"),
        (lambda job: {"uuid": job["id"], "name": "run"}, 401, "token_missing"),
        (lambda job: _event(job, data="x" * 70_000), 400, "json_limits"),
        (lambda job: _event(job, data=["x" * 40_000] * 2), 413, "too_large"),
        (lambda job: _event(job, name=""), 422, "invalid"),
        (lambda job: _event(job, time="yesterday"), 422, "invalid"),
        (lambda job: _event(job, time="0001-01-01T00:00:00Z"), 422, "invalid"),
    ],
    ids=["token", "no token", "string", "data", "name", "time", "first year"],
)
async def test_each_kind_of_bad_line_stops_its_job_and_no_other(
    service: Service, bad: Any, status: int, code: str
) -> None:
    job, other = await service.admin.make_job(), await service.admin.make_job()

    answer = await _lines(
        service, bad(job), _event(job, "fail", id="later"), _event(other, id="fine")
    )

    assert [(line["status"], line.get("code")) for line in answer.lines] == [
        (status, code),
        (409, "earlier_line_failed"),
        (202, None),
    ]
    assert len(await _history(service, job)) == 1


async def test_ten_thousand_lines_are_taken_and_keep_their_order(service: Service) -> None:
    job = await service.admin.make_job()
    lines = [_event(job, "update", id=f"u-{number}") for number in range(3_000)]

    answer = await _lines(service, *lines)

    assert {line["status"] for line in answer.lines} == {202}
    first = (await service.admin.get(job["history"], params={"limit": "1000"})).json
    assert [item["id"] for item in first["items"][1:]] == [f"u-{n}" for n in range(999)]
    assert (await service.admin.get(job["job"])).json["seq"] == 3_001


async def test_a_request_without_a_line_has_an_empty_answer(service: Service) -> None:
    answer = await _lines(service, b"", b"  ", b"")

    assert (answer.status, answer.body) == (200, b"")


async def test_too_many_lines_are_refused_as_a_whole(tmp_path: Path) -> None:
    limits = Limits(ndjson_lines=3, ndjson_bytes=1_000)
    async with running(tmp_path / "data", Settings(port=0, limits=limits)) as service:
        job = await service.admin.make_job()

        lines = await _lines(service, *[_event(job)] * 4)
        size = await _lines(service, b" " * 1_001)
        history = await _history(service, job)

    assert (lines.status, lines.json["limit"]) == (413, 3)
    assert (size.status, size.json["limit"]) == (413, 1_000)
    assert len(history) == 1


# --- order and load -------------------------------------------------------------------------------


async def test_events_that_one_client_sends_one_after_another_keep_their_order(
    service: Service,
) -> None:
    job = await service.admin.make_job()

    for number in range(30):
        await service.nobody.post("/v1/events", json=_event(job, "update", id=f"u-{number}"))

    ids = [item["id"] for item in await _history(service, job)]
    assert ids == ["create", *(f"u-{number}" for number in range(30))]


async def test_the_same_event_sent_twenty_times_at_once_counts_once(service: Service) -> None:
    job = await service.admin.make_job()

    answers = await asyncio.gather(
        *(service.nobody.post("/v1/events?wait=5", json=_event(job, id="x")) for _ in range(20))
    )

    assert {(answer.status, answer.json["seq"]) for answer in answers} == {(200, 2)}
    assert len(await _history(service, job)) == 2


async def test_of_two_ends_at_once_exactly_one_is_applied(service: Service) -> None:
    for _ in range(10):
        job = await service.admin.make_job()
        await service.admin.report(job, "run")

        answers = await asyncio.gather(
            *(
                service.nobody.post("/v1/events?wait=5", json=_event(job, name))
                for name in ("finish", "fail")
            )
        )

        assert sorted(answer.status for answer in answers) == [200, 409]


async def test_a_full_history_refuses_updates_and_still_takes_the_end(tmp_path: Path) -> None:
    limits = Limits(events_per_job=3)
    async with running(tmp_path / "data", Settings(port=0, limits=limits)) as service:
        job = await service.admin.make_job()
        await service.admin.report(job, "run")
        await service.admin.report(job, "update")

        update = await service.nobody.post("/v1/events?wait=5", json=_event(job, "update"))
        end = await service.nobody.post("/v1/events?wait=5", json=_event(job, "finish"))
        refused = (await service.admin.get("/v1/refused")).json["items"]

    assert (update.status, update.json["code"]) == (429, "event_limit")
    assert end.status == 200
    assert [item["reason"] for item in refused] == ["event_limit"]


async def test_after_a_restart_everything_accepted_is_there(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as service:
        job = await service.admin.make_job()
        key = service.admin.key
        for number in range(10):
            await service.nobody.post("/v1/events", json=_event(job, "update", id=f"u-{number}"))
    async with running(tmp_path / "data") as service:
        admin = service.caller(key)
        history = (await admin.get(f"/v1/jobs/{job['id']}/history")).json["items"]
        again = await service.nobody.post("/v1/events?wait=5", json=_event(job, "update", id="u-3"))

    assert [item["id"] for item in history] == ["create", *(f"u-{n}" for n in range(10))]
    assert (again.json["duplicate"], again.json["seq"]) == (True, 5)


async def test_a_sender_whose_tokens_keep_failing_is_slowed_down(tmp_path: Path) -> None:
    limits = Limits(failed_logins_per_minute=3)
    async with running(tmp_path / "data", Settings(port=0, limits=limits)) as service:
        job = await service.admin.make_job()
        wrong = {**_event(job), "token": "a" * 30}

        answers = [await service.nobody.post("/v1/events", json=wrong) for _ in range(5)]
        good = await service.nobody.post("/v1/events", json=_event(job))

    assert [answer.status for answer in answers] == [401, 401, 401, 429, 429]
    assert answers[4].json["code"] == "too_many_failures"
    assert int(answers[4].headers["Retry-After"]) >= 1
    assert good.status == 202


# --- ids ------------------------------------------------------------------------------------------


async def test_of_two_payloads_that_race_under_one_id_each_gets_its_own_answer(
    service: Service,
) -> None:
    job = await service.admin.make_job()

    answers = await asyncio.gather(
        *(
            service.nobody.post(
                "/v1/events?wait=5", json=_event(job, id="race", data={"n": number})
            )
            for number in range(2)
        )
    )

    assert sorted(answer.status for answer in answers) == [200, 422]
    kept = (await _history(service, job))[-1]["data"]
    winner = next(number for number, answer in enumerate(answers) if answer.status == 200)
    assert kept == {"n": winner}


@pytest.mark.parametrize("way", ["body", "header"])
async def test_ids_that_the_service_makes_cannot_be_taken_in_advance(
    service: Service, way: str
) -> None:
    job = await service.admin.make_job()
    taken = "jobwire.stale.1"

    answer = await service.nobody.post(
        "/v1/events",
        json=_event(job, **({"id": taken} if way == "body" else {})),
        headers={"Idempotency-Key": taken} if way == "header" else None,
    )

    assert (answer.status, answer.json["code"]) == (422, "reserved_id")
    assert answer.json["pointer"] == "/id"

"""Anything at any route of the PipelineJobs dialect: it answers in its form, invents nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from secrets import token_hex
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from jobwire.actors.dialects.pipelinejobs.settings import PipelineJobs
from jobwire.actors.runtime.settings import Limits, Settings
from tests.support.service import Answer, Service, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

_ACTOR = "/compat/pipelinejobs/actors/v2/jobs-manager"
_PIPELINE = "106c46ff-9186-5756-a934-8f9a8f1a7a6e"
_ENVELOPE = {"status", "message", "version", "result"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """Yield one service for all examples."""
    limits = Limits(failed_logins_per_minute=1_000_000, jobs_per_minute=1_000_000)
    dialects = {"pipelinejobs": PipelineJobs(enabled=True)}
    path = tmp_path_factory.mktemp("fuzz") / "data"
    async with running(path, Settings(port=0, limits=limits, dialects=dialects)) as service:
        yield service


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _TEXTS
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=8,
)
_JOBS = st.sampled_from(["{uuid}", "{uuid}", "uri:urn:{uuid}", _PIPELINE]) | _SCALARS
_NAMES = st.sampled_from(["run", "FINISH", "update", "reset", "create", "explode"]) | _SCALARS
_TOKENS = st.sampled_from(["{token}", "{token}", "null", ""]) | _SCALARS
_EVENTS = st.fixed_dictionaries(
    {"uuid": _JOBS, "name": _NAMES}, optional={"token": _TOKENS, "data": _VALUES, "level": _VALUES}
)
_DELETES = st.fixed_dictionaries(
    {"uuid": _JOBS, "action": st.just("delete") | _VALUES},
    optional={"token": _TOKENS, "force": st.booleans() | _SCALARS},
)
_CREATES = st.fixed_dictionaries(
    {
        "pipeline_uuid": st.just(_PIPELINE) | _SCALARS,
        "archive_path": st.just("/a") | _SCALARS,
        "data": st.dictionaries(_TEXTS, _VALUES, max_size=3) | _VALUES,
    },
    optional={
        "session": _SCALARS,
        "__options": st.fixed_dictionaries({"deadline_s": _SCALARS}) | _VALUES,
        "child_of": st.lists(_SCALARS, max_size=3) | _VALUES,
        "archive_patterns": _VALUES,
    },
)
_CALLBACK_WORDS = "appId executionSystem owner archivePath archiveSystem tenantId tenantQueue"
_CALLBACKS = st.fixed_dictionaries(
    dict.fromkeys(_CALLBACK_WORDS.split(), _TEXTS)
    | {"status": st.sampled_from(["RUNNING", "FAILED", "${JOB_STATUS}"]) | _SCALARS}
)
_MESSAGES = _EVENTS | _DELETES | _CREATES | _CALLBACKS | _VALUES
_WRAPPED = _MESSAGES.map(lambda value: {"message": value}) | _MESSAGES


def _encoded(value: Any) -> bytes:
    """Write JSON, numbers beyond 64 bit included."""
    try:
        return msgspec.json.encode(value)
    except OverflowError:
        return repr(value).encode("utf-8", "replace")


_BODIES = (
    st.binary(max_size=60)
    | _WRAPPED.map(_encoded)
    | _MESSAGES.map(_encoded).map(lambda text: b"message=" + quote(text).encode())
)
_PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
_HEADERS = st.fixed_dictionaries(
    {
        "Content-Type": st.sampled_from(
            [
                "application/json",
                "application/x-www-form-urlencoded",
                "application/octet-stream",
                "multipart/form-data; boundary=x",
            ]
        )
        | _PRINTABLE
    },
    optional={
        "Content-Encoding": st.sampled_from(["gzip", "deflate", "identity", "br"]),
        "Idempotency-Key": _PRINTABLE,
        "X-Nonce": _PRINTABLE,
        "Authorization": _PRINTABLE | _PRINTABLE.map(lambda text: f"Bearer {text}"),
    },
)
_QUERIES = st.lists(
    st.tuples(
        st.sampled_from(["uuid", "name", "event", "status", "state", "token", "note", "x-nonce"])
        | st.sampled_from(["limit", "offset", "cursor", "session", "pipeline_uuid"]),
        st.sampled_from(["{uuid}", "{token}", "run", "RUNNING", "%ff%00", "1"])
        | _TEXTS.map(lambda text: quote(text, safe="")),
    ),
    max_size=6,
)


async def _job(service: Service) -> dict[str, str]:
    work = {"pipeline_uuid": _PIPELINE, "archive_path": "/a", "data": {"n": token_hex(8)}}
    made = await service.admin.post(f"{_ACTOR}/messages", json=work)
    result: dict[str, str] = made.json["result"]
    return result


async def _state(service: Service, job: dict[str, str]) -> tuple[str, int]:
    """Return the state of a job and how many events were applied to it."""
    found = await service.admin.get(f"{_ACTOR}/jobs/{job['uuid']}")
    if found.status == 404:
        return "gone", 0
    result = found.json["result"]
    return result["state"], len(result["history"])


def _filled(text: str, job: dict[str, str]) -> str:
    return text.replace("{uuid}", job["uuid"]).replace("{token}", job["token"])


def _path(path: str, query: list[tuple[str, str]], job: dict[str, str]) -> str:
    text = "&".join(f"{name}={_filled(value, job)}" for name, value in query)
    return f"{_ACTOR}/{path}?{text}"


def _assert_in_the_envelope(answer: Answer) -> None:
    assert answer.status < 500, answer.body
    assert answer.json.keys() == _ENVELOPE
    assert (answer.json["status"] == "success") == (answer.status == 200)
    assert answer.json["message"]
    assert "regex" not in answer.json["message"]


@given(body=_BODIES, headers=_HEADERS, query=_QUERIES)
@settings(max_examples=250)
async def test_whatever_is_sent_as_a_message_is_said_to_be_taken_or_changes_nothing(
    fuzzed: Service, body: bytes, headers: dict[str, str], query: list[tuple[str, str]]
) -> None:
    job = await _job(fuzzed)
    sent = _filled(body.decode("latin-1"), job).encode("latin-1")
    before = await _state(fuzzed, job)

    answer = await fuzzed.admin.post(_path("messages", query, job), body=sent, headers=headers)

    _assert_in_the_envelope(answer)
    after = await _state(fuzzed, job)
    if answer.status != 200:
        assert after == before
    elif after[0] != "gone":
        said = answer.json["result"]["msg"]
        assert after[1] - before[1] == (1 if " applied: the job is " in said else 0)


@given(
    method=st.sampled_from(["GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"]),
    path=st.sampled_from(
        ["messages", "executions", "nonces", "jobs", "jobs/{uuid}", "jobs/{uuid}/history"]
    )
    | st.tuples(
        st.sampled_from(["executions", "nonces", "jobs"]),
        _TEXTS.map(lambda text: quote(text, safe="")),
        st.sampled_from(["", "/logs", "/history"]),
    ).map(lambda parts: f"{parts[0]}/{parts[1]}{parts[2]}"),
    body=_BODIES,
    headers=_HEADERS,
    query=_QUERIES,
)
@settings(max_examples=250)
async def test_whatever_is_asked_at_any_route_is_answered_in_the_envelope(
    fuzzed: Service,
    method: str,
    path: str,
    body: bytes,
    headers: dict[str, str],
    query: list[tuple[str, str]],
) -> None:
    job = await _job(fuzzed)

    answer = await fuzzed.admin(
        method, _path(_filled(path, job), query, job), body=body, headers=headers
    )

    _assert_in_the_envelope(answer)

"""Any bytes, any parameters, any headers: never a 500 (promise P14), and the service goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from jobwire.actors.runtime.settings import Limits, Settings
from tests.support.service import Service, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

_UNKNOWN = "2f1c6c1e-7f43-4c0e-9a51-0d6a3c1f5a10"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """Yield one service for all examples."""
    limits = Limits(failed_logins_per_minute=1_000_000, jobs_per_minute=1_000_000)
    path = tmp_path_factory.mktemp("fuzz") / "data"
    async with running(path, Settings(port=0, limits=limits)) as service:
        yield service


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | _TEXTS
    | st.just("{job}")
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=8,
)
_EVENT_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "uuid": st.sampled_from(["{job}", _UNKNOWN]) | _SCALARS,
        "name": st.sampled_from(["run", "update", "create", "delete", "rotate_token"]) | _SCALARS,
        "token": st.just("{token}") | _SCALARS,
        "id": st.sampled_from(["create", "stale.1", "x"]) | _SCALARS,
        "time": st.datetimes().map(lambda moment: moment.isoformat() + "Z") | _SCALARS,
        "source": _SCALARS,
        "data": _VALUES,
        "oops": _VALUES,
    },
)
_JOB_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "lifecycle": st.sampled_from(["pipeline", "execution"]) | _SCALARS,
        "name": _SCALARS,
        "tags": st.lists(_SCALARS, max_size=4) | _VALUES,
        "data": _VALUES,
        "deadline_s": st.floats() | _SCALARS,
        "heartbeat_s": st.floats() | _SCALARS,
        "parent": st.just("{job}") | _SCALARS,
        "oops": _VALUES,
    },
)
_PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
_HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Content-Type": st.sampled_from(
            ["application/json", "application/x-ndjson", "text/plain", "application/json;x=y;;"]
        )
        | _PRINTABLE,
        "Content-Encoding": st.sampled_from(["gzip", "deflate", "identity"]) | _PRINTABLE,
        "Idempotency-Key": _PRINTABLE,
        "Prefer": st.sampled_from(["wait=0", "wait=1", "wait=99999999"]) | _PRINTABLE,
        "Authorization": _PRINTABLE | _PRINTABLE.map(lambda text: f"Bearer jwk_{text}"),
    },
)
_JSON_FIRST = _HEADERS.map(lambda headers: {"Content-Type": "application/json", **headers})
_QUERIES = st.lists(
    st.tuples(
        st.sampled_from(["uuid", "name", "token", "id", "time", "source", "wait", "oops"]) | _TEXTS,
        st.sampled_from(["{job}", "{token}", "run", "1", "nan"]) | _TEXTS,
    ),
    max_size=5,
)


def _encoded(fields: Any) -> bytes:
    """Write fields as JSON, numbers beyond 64 bit included."""
    try:
        return msgspec.json.encode(fields)
    except OverflowError:
        return repr(fields).encode("utf-8", "replace")


async def _assert_no_fault(
    service: Service, path: str, body: bytes, headers: dict[str, str], query: list[tuple[str, str]]
) -> None:
    job = await service.admin.make_job()
    for word in ("id", "token"):
        name = "{job}" if word == "id" else "{token}"
        body = body.replace(name.encode(), job[word].encode())
        query = [(key, text.replace(name, job[word])) for key, text in query]
    text = "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in query)

    answer = await service.admin.post(f"{path}?{text}", body=body, headers=headers)

    assert answer.status < 500, (answer.status, answer.body)
    assert (await service.admin.get(job["history"])).status in {200, 404}


_BODIES = (
    st.binary(max_size=80)
    | _EVENT_FIELDS.map(_encoded)
    | _JOB_FIELDS.map(_encoded)
    | st.lists(_EVENT_FIELDS.map(_encoded) | st.binary(max_size=20), max_size=4).map(b"\n".join)
)


@given(body=_BODIES, headers=_JSON_FIRST, query=_QUERIES)
@settings(max_examples=120)
async def test_whatever_is_posted_as_an_event_is_no_fault_of_the_service(
    fuzzed: Service, body: bytes, headers: dict[str, str], query: list[tuple[str, str]]
) -> None:
    await _assert_no_fault(fuzzed, "/v1/events", body, headers, query)


@given(body=_EVENT_FIELDS.map(_encoded))
@settings(max_examples=100)
async def test_whatever_an_event_holds_is_no_fault_of_the_service(
    fuzzed: Service, body: bytes
) -> None:
    headers = {"Content-Type": "application/json", "Prefer": "wait=1"}

    await _assert_no_fault(fuzzed, "/v1/events", body, headers, [])


@given(body=_BODIES, headers=_JSON_FIRST)
@settings(max_examples=100)
async def test_whatever_is_asked_for_as_a_job_is_no_fault_of_the_service(
    fuzzed: Service, body: bytes, headers: dict[str, str]
) -> None:
    await _assert_no_fault(fuzzed, "/v1/jobs", body, headers, [])


@given(query=_QUERIES)
@settings(max_examples=30)
async def test_whatever_is_asked_of_a_list_is_no_fault_of_the_service(
    fuzzed: Service, query: list[tuple[str, str]]
) -> None:
    text = "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in query)

    for path in ("/v1/jobs", "/v1/refused", "/v1/keys", "/v1/lifecycles/small"):
        for name in ("limit", "cursor", "q", "since", "version"):
            extra = query[0][1] if query else ""
            answer = await fuzzed.admin.get(f"{path}?{text}&{name}={quote(extra, safe='')}")
            assert answer.status < 500, (path, answer.body)

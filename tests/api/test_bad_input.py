"""
Bad input and its clear answer, as one table.

All rows meet one service; after each of them it still works, and none may be a 500.
"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

import msgspec
import pytest
import pytest_asyncio

from jobwire.actors.runtime.settings import Limits, Settings
from tests.support.deadlines import PATIENCE_S
from tests.support.service import Answer, Caller, Service, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

_UNKNOWN = "2f1c6c1e-7f43-4c0e-9a51-0d6a3c1f5a10"
_JSON = {"Content-Type": "application/json"}
_LIMITS = Limits(
    body_bytes=100_000,
    spec_bytes=20_000,
    ndjson_bytes=200_000,
    data_bytes=20_000,
    tags_per_job=3,
    failed_logins_per_minute=1_000_000,
    request_s=1.0,
    keepalive_s=1.5,
)


class Bench(NamedTuple):
    """A service, a job of the administrator's, and a caller of another owner."""

    service: Service
    job: Any
    stranger: Caller


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    """Yield one service for all rows."""
    path = tmp_path_factory.mktemp("bad") / "data"
    async with running(path, Settings(port=0, limits=_LIMITS)) as service:
        job = await service.admin.make_job()
        yield Bench(service, job, await service.principal("stranger"))


class Row(NamedTuple):
    """One bad request and the answer it gets."""

    method: str
    path: str
    body: Any
    status: int
    code: str | None = None
    pointer: str | None = None
    headers: Mapping[str, str] = _JSON
    caller: str = "admin"


def _post(path: str, body: Any, status: int, code: str, pointer: str | None = None) -> Row:
    return Row("POST", path, body, status, code, pointer)


def _get(path: str, status: int, code: str, pointer: str | None = None) -> Row:
    return Row("GET", path, None, status, code, pointer)


#: A job that could run.
_TRUE = {"argv": ["true"]}


def _spec(fields: dict[str, Any], pointer: str, code: str = "invalid") -> Row:
    """Ask for a job whose spec has one thing wrong in it."""
    return _post("/v1/jobs", {"spec": {**_TRUE, **fields}}, 422, code, f"/spec{pointer}")


_EVENT = {"uuid": "{job}", "name": "update"}


def _event(**fields: Any) -> dict[str, Any]:
    return {**_EVENT, **fields}


def _with_data(data: bytes) -> bytes:
    return b'{"uuid":"{job}","name":"update","data":' + data + b"}"


#: Bodies that are no JSON, on every route that takes JSON.
_NOT_JSON: dict[str, bytes] = {
    "nothing": b"",
    "text": b"hello",
    "truncated": b'{"uuid":',
    "byte order mark": b"\xef\xbb\xbf{}",
    "bad UTF-8": b'{"name":"\xff"}',
    "NaN": b'{"data":NaN}',
    "Infinity": b'{"data":-Infinity}',
    "lone surrogate": b'{"name":"\\ud800"}',
    "lone surrogate in data": b'{"data":{"a":"\\udc00"}}',
    "trailing bytes": b"{}x",
    "two documents": b"{}{}",
}
_OVER_LIMITS: dict[str, bytes] = {
    "nesting": b'{"data":' + b"[" * 32 + b"]" * 32 + b"}",
    "deep nesting": b"[" * 20_000 + b"]" * 20_000,
    "elements": b'{"data":[' + b",".join([b"1"] * 10_001) + b"]}",
    "64 bit": b'{"data":18446744073709551616}',
    "minus 64 bit": b'{"data":-9223372036854775809}',
    "exponent": b'{"data":1e400}',
    "long string": b'{"data":"' + b"x" * 65_537 + b'"}',
}
_TAKE_JSON = {
    "events": "/v1/events",
    "jobs": "/v1/jobs",
    "lifecycles": "/v1/lifecycles",
    "keys": "/v1/keys",
    "token": "/v1/jobs/{job}/token",
}

_ROWS: dict[str, Row] = {
    **{
        f"{where}: not JSON: {name}": _post(path, body, 400, "invalid_json")
        for where, path in _TAKE_JSON.items()
        for name, body in _NOT_JSON.items()
        if not (where == "token" and not body)
    },
    **{
        f"{where}: over a limit: {name}": _post(path, body, 400, "json_limits")
        for where, path in _TAKE_JSON.items()
        for name, body in _OVER_LIMITS.items()
    },
    # --- URL parameters with a bad body
    **{
        f"parameters: not JSON: {name}": _post(
            "/v1/events?uuid={job}&name=update", body, 400, "invalid_json"
        )
        for name, body in _NOT_JSON.items()
        if body
    },
    **{
        f"parameters: over a limit: {name}": _post(
            "/v1/events?uuid={job}&name=update", body, 400, "json_limits"
        )
        for name, body in _OVER_LIMITS.items()
    },
    # --- wrong shape
    **{
        f"{where}: {name}": _post(path, body, 422, "invalid")
        for where, path in _TAKE_JSON.items()
        for name, body in {
            "an array": b"[]",
            "a string": b'"x"',
            "a number": b"1",
            "null": b"null",
        }.items()
    },
    **{
        f"{where}: an unknown field": _post(path, {**body, "oops": 1}, 422, "invalid", "/oops")
        for where, path, body in (
            ("events", "/v1/events", _EVENT),
            ("jobs", "/v1/jobs", {}),
            ("keys", "/v1/keys", {"principal": "x"}),
            ("token", "/v1/jobs/{job}/token", {}),
        )
    },
    "event: no uuid": _post("/v1/events", {"name": "x"}, 422, "invalid", "/uuid"),
    "event: no name": _post("/v1/events", {"uuid": "{job}"}, 422, "invalid", "/name"),
    "event: uuid is a number": _post("/v1/events", _event(uuid=1), 422, "invalid", "/uuid"),
    "event: empty name": _post("/v1/events", _event(name=""), 422, "invalid", "/name"),
    "event: NUL in the name": _post("/v1/events", _event(name="a\x00"), 422, "invalid", "/name"),
    "event: newline in the name": _post("/v1/events", _event(name="a\n"), 422, "invalid", "/name"),
    "event: escape in the name": _post("/v1/events", _event(name="\x1b["), 422, "invalid", "/name"),
    "event: name too long": _post("/v1/events", _event(name="x" * 256), 422, "invalid", "/name"),
    "event: id too long": _post("/v1/events", _event(id="x" * 256), 422, "invalid", "/id"),
    "event: empty id": _post("/v1/events", _event(id=""), 422, "invalid", "/id"),
    "event: newline in the id": _post("/v1/events", _event(id="a\nb"), 422, "invalid", "/id"),
    "event: newline in the source": _post(
        "/v1/events", _event(source="a\r\nb"), 422, "invalid", "/source"
    ),
    "event: time without a zone": _post(
        "/v1/events", _event(time="2026-01-01T00:00:00"), 422, "invalid", "/time"
    ),
    "event: time that is none": _post("/v1/events", _event(time="soon"), 422, "invalid", "/time"),
    "event: time before the years": _post(
        "/v1/events", _event(time="0001-01-01T00:00:00+23:59"), 422, "invalid", "/time"
    ),
    "event: time after the years": _post(
        "/v1/events", _event(time="9999-12-31T23:59:59-23:59"), 422, "invalid", "/time"
    ),
    "event: token is a number": _post("/v1/events", _event(token=1), 422, "invalid", "/token"),
    "event: data too large": _post(
        "/v1/events", _event(data=["x" * 15_000] * 2), 413, "too_large", "/data"
    ),
    **{
        f"event: uuid is {name}": _post("/v1/events", _event(uuid=text), 422, "invalid", "/uuid")
        for name, text in {
            "text": "x",
            "empty": "",
            "without hyphens": _UNKNOWN.replace("-", ""),
            "a path": "../" + _UNKNOWN,
            "padded": f" {_UNKNOWN} ",
            "with NUL": _UNKNOWN + "\x00",
            "ten thousand long": "a" * 10_000,
        }.items()
    },
    "job: name too long": _post("/v1/jobs", {"name": "x" * 256}, 422, "invalid", "/name"),
    "job: newline in the name": _post("/v1/jobs", {"name": "a\nb"}, 422, "invalid", "/name"),
    "job: newline in a tag": _post("/v1/jobs", {"tags": ["a", "b\n"]}, 422, "invalid", "/tags/1"),
    "job: empty tag": _post("/v1/jobs", {"tags": [""]}, 422, "invalid", "/tags/0"),
    "job: tag too long": _post("/v1/jobs", {"tags": ["x" * 65]}, 422, "invalid", "/tags/0"),
    "job: tags is a string": _post("/v1/jobs", {"tags": "a"}, 422, "invalid", "/tags"),
    "job: too many tags": _post("/v1/jobs", {"tags": list("abcd")}, 422, "invalid", "/tags"),
    "job: deadline of nothing": _post("/v1/jobs", {"deadline_s": 0}, 422, "invalid", "/deadline_s"),
    "job: negative heartbeat": _post(
        "/v1/jobs", {"heartbeat_s": -1}, 422, "invalid", "/heartbeat_s"
    ),
    "job: deadline beyond reason": _post(
        "/v1/jobs", {"deadline_s": 1e300}, 422, "invalid", "/deadline_s"
    ),
    "job: deadline as text": _post("/v1/jobs", {"deadline_s": "5"}, 422, "invalid", "/deadline_s"),
    "job: unknown lifecycle": _post(
        "/v1/jobs", {"lifecycle": "none"}, 422, "unknown_lifecycle", "/lifecycle"
    ),
    "job: no spec to run": _post("/v1/jobs", {"lifecycle": "execution"}, 422, "invalid", "/spec"),
    "job: a spec to run elsewhere": _post(
        "/v1/jobs", {"lifecycle": "pipeline", "spec": _TRUE}, 422, "invalid", "/lifecycle"
    ),
    "job: hold of a job elsewhere": _post("/v1/jobs", {"hold": True}, 422, "invalid", "/hold"),
    "job: priority of a job elsewhere": _post(
        "/v1/jobs", {"priority": 3}, 422, "invalid", "/priority"
    ),
    "job: start of a job elsewhere": _post(
        "/v1/jobs", {"start_after": "2030-01-01T00:00:00Z"}, 422, "invalid", "/start_after"
    ),
    "job: priority too high": _post(
        "/v1/jobs", {"spec": _TRUE, "priority": 101}, 422, "invalid", "/priority"
    ),
    "job: start that is no time": _post(
        "/v1/jobs", {"spec": _TRUE, "start_after": "soon"}, 422, "invalid", "/start_after"
    ),
    "spec: no command": _spec({"argv": []}, "/argv"),
    "spec: no program": _spec({"argv": [""]}, "/argv/0"),
    "spec: argument with NUL": _spec({"argv": ["echo", "a\0b"]}, "/argv/1"),
    "spec: argument that is no text": _spec({"argv": ["echo", 1]}, "/argv/1"),
    "spec: a shell string": _spec({"argv": "echo hello"}, "/argv"),
    "spec: unknown field": _spec({"argv": ["true"], "args": []}, "/args"),
    "spec: variable with a bad name": _spec({"env": {"A-B": "1"}}, "/env/A-B"),
    "spec: variable with NUL": _spec({"env": {"A": "\0"}}, "/env/A"),
    "spec: variable of the service": _spec({"env": {"JOBWIRE_TOKEN": "x"}}, "/env/JOBWIRE_TOKEN"),
    "spec: secret that is a path": _spec({"env": {"A": {"secret": "../x"}}}, "/env/A/secret"),
    "spec: unknown secret": _spec(
        {"env": {"A": {"secret": "x"}}}, "/env/A/secret", "unknown_secret"
    ),
    "spec: unknown site": _spec({"site": "moon"}, "/site", "not_runnable"),
    "spec: too many cores": _spec({"resources": {"cores": 5_000}}, "/resources/cores"),
    "spec: no time at all": _spec({"resources": {"walltime_s": 0}}, "/resources/walltime_s"),
    "spec: another way to say what runs": _spec({"script": "#!/bin/sh"}, "/script"),
    "spec: unknown cause": _spec({"retries": {"on": ["bad luck"]}}, "/retries/on/0"),
    "spec: stdout elsewhere": _spec({"stdout": "../x"}, "/stdout", "bad_path"),
    "spec: stdout absolute": _spec({"stdout": "/etc/x"}, "/stdout", "bad_path"),
    "spec: stdout with a home": _spec({"stdout": "~root"}, "/stdout", "bad_path"),
    "spec: stdout like an option": _spec({"stdout": "-rf"}, "/stdout", "bad_path"),
    "spec: stderr with a newline": _spec({"stderr": "a\nb"}, "/stderr", "bad_path"),
    "spec: stderr with a backslash": _spec({"stderr": "a\\b"}, "/stderr", "bad_path"),
    "spec: stderr too long": _spec({"stderr": "x" * 256}, "/stderr", "bad_path"),
    "spec: stderr that is a pattern": _spec({"stderr": "*"}, "/stderr", "bad_path"),
    "spec: directory outside of the roots": _spec(
        {"directory": "file:///etc"}, "/directory", "outside_roots"
    ),
    "spec: relative directory": _spec({"directory": "data"}, "/directory", "bad_path"),
    "spec: input outside of the roots": _spec(
        {"stage_in": [{"from": "file:///etc/passwd"}]}, "/stage_in/0/from", "outside_roots"
    ),
    "spec: input by another scheme": _spec(
        {"stage_in": [{"from": "http://127.0.0.1/x"}]}, "/stage_in/0/from", "unknown_scheme"
    ),
    "spec: input from a host": _spec(
        {"stage_in": [{"from": "file://host/x"}]}, "/stage_in/0/from", "bad_path"
    ),
    "spec: input with dots": _spec(
        {"stage_in": [{"from": "file:///data/../etc/passwd"}]}, "/stage_in/0/from", "bad_path"
    ),
    "spec: input with escaped dots": _spec(
        {"stage_in": [{"from": "file:///data/%2e%2e/x"}]}, "/stage_in/0/from", "bad_path"
    ),
    "spec: input to outside": _spec(
        {"stage_in": [{"from": "x", "to": "a/../../b"}]}, "/stage_in/0/to", "bad_path"
    ),
    "spec: digest of a pattern": _spec(
        {"stage_in": [{"from": "*.txt", "sha256": "0" * 64}]}, "/stage_in/0/sha256"
    ),
    "spec: output from outside": _spec(
        {"stage_out": [{"from": "/etc/shadow", "to": "x"}]}, "/stage_out/0/from", "bad_path"
    ),
    "spec: output outside of the roots": _spec(
        {"stage_out": [{"from": "x", "to": "file:///etc/x"}]}, "/stage_out/0/to", "outside_roots"
    ),
    "spec: kept files outside": _spec(
        {"clean_up": {"keep": ["../*"]}}, "/clean_up/keep/0", "bad_path"
    ),
    "spec: too large": _post(
        "/v1/jobs",
        {"spec": {"argv": ["echo", "x" * 30_000]}},
        413,
        "too_large",
        "/spec",
    ),
    "select: nothing": _post("/v1/jobs/cancel", {}, 422, "nothing_selected"),
    "select: not an id": _post("/v1/jobs/cancel", {"ids": ["x"]}, 422, "invalid", "/ids"),
    "select: an unknown id": _post(
        "/v1/jobs/hold", {"ids": [_UNKNOWN]}, 404, "unknown_job", "/ids"
    ),
    "select: unknown field": _post("/v1/jobs/release", {"tags": ["x"]}, 422, "invalid", "/tags"),
    "job: unknown parent": _post(
        "/v1/jobs", {"parent": _UNKNOWN}, 422, "unknown_parent", "/parent"
    ),
    "job: parent is no id": _post("/v1/jobs", {"parent": "../x"}, 422, "invalid", "/parent"),
    "job: data too large": _post(
        "/v1/jobs", {"data": ["x" * 15_000] * 2}, 413, "too_large", "/data"
    ),
    "key: no principal": _post("/v1/keys", {}, 422, "invalid", "/principal"),
    "key: empty principal": _post("/v1/keys", {"principal": ""}, 422, "invalid", "/principal"),
    "key: unknown scope": _post(
        "/v1/keys", {"principal": "x", "scopes": ["root"]}, 422, "invalid", "/scopes/0"
    ),
    "key: no scope": _post("/v1/keys", {"principal": "x", "scopes": []}, 422, "invalid", "/scopes"),
    "key: expired from the beginning": _post(
        "/v1/keys", {"principal": "x", "expires_in_s": 0}, 422, "invalid", "/expires_in_s"
    ),
    "token: negative overlap": _post(
        "/v1/jobs/{job}/token", {"overlap_s": -1}, 422, "invalid", "/overlap_s"
    ),
    "token: endless overlap": _post(
        "/v1/jobs/{job}/token", {"overlap_s": 1e12}, 422, "invalid", "/overlap_s"
    ),
    # --- lifecycles that make no sense
    **{
        f"lifecycle: {name}": _post("/v1/lifecycles", table, 422, code, pointer)
        for name, table, code, pointer in (
            ("no states", {"name": "a", "initial": "A"}, "invalid", "/states"),
            (
                "built-in name",
                {
                    "name": "pipeline",
                    "initial": "A",
                    "states": {"A": {"category": "initial"}},
                    "events": {"e": {}},
                    "transitions": {},
                },
                "reserved_name",
                "/name",
            ),
            (
                "initial is no state",
                {
                    "name": "a",
                    "initial": "B",
                    "states": {"A": {"category": "initial"}},
                    "events": {"e": {}},
                    "transitions": {},
                },
                "invalid",
                "/initial",
            ),
            (
                "exit to nowhere",
                {
                    "name": "a",
                    "initial": "A",
                    "states": {"A": {"category": "initial"}},
                    "events": {"e": {}},
                    "transitions": {"A": {"e": "B"}},
                },
                "invalid",
                "/transitions/A/e",
            ),
            (
                "name with a newline",
                {
                    "name": "a\n",
                    "initial": "A",
                    "states": {"A": {"category": "initial"}},
                    "events": {"e": {}},
                    "transitions": {},
                },
                "invalid",
                "/name",
            ),
        )
    },
    # --- content types, encodings, sizes
    **{
        f"{where}: content type {kind or 'missing'}": Row(
            "POST",
            path,
            b"{}",
            415,
            "unsupported_media_type",
            headers={"Content-Type": kind} if kind else {},
        )
        for where, path in _TAKE_JSON.items()
        for kind in ("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data")
    },
    **{
        f"{where}: content encoding {encoding}": Row(
            "POST",
            path,
            b"{}",
            415,
            "unknown_encoding",
            headers={**_JSON, "Content-Encoding": encoding},
        )
        for where, path in {**_TAKE_JSON, "parameters": "/v1/events?uuid={job}&name=x"}.items()
        for encoding in ("compress", "gzip, gzip", "rot13")
    },
    **{
        f"{where}: body too large": _post(path, b'"' + b"x" * 100_000 + b'"', 413, "too_large")
        for where, path in _TAKE_JSON.items()
    },
    **{
        f"{where}: body too large when it is unpacked ({encoding})": Row(
            "POST",
            path,
            pack(b'"' + b"x" * 5_000_000 + b'"'),
            413,
            "too_large",
            headers={**_JSON, "Content-Encoding": encoding},
        )
        for where, path in {**_TAKE_JSON, "parameters": "/v1/events?uuid={job}&name=x"}.items()
        for encoding, pack in (("gzip", gzip.compress), ("deflate", zlib.compress))
    },
    **{
        f"{where}: body that is not {encoding}": Row(
            "POST",
            path,
            b"this is not packed",
            400,
            "bad_request",
            headers={**_JSON, "Content-Encoding": encoding},
        )
        for where, path in _TAKE_JSON.items()
        for encoding in ("gzip", "deflate")
    },
    "lines: too large": Row(
        "POST",
        "/v1/events",
        b"x" * 200_001,
        413,
        "too_large",
        headers={"Content-Type": "application/x-ndjson"},
    ),
    "lines: unknown encoding": Row(
        "POST",
        "/v1/events",
        b"{}",
        415,
        "unknown_encoding",
        headers={"Content-Type": "application/x-ndjson", "Content-Encoding": "rot13"},
    ),
    # --- tokens and keys
    **{
        f"token {name}": Row(
            "POST", "/v1/events", _event(token=token), 401, "wrong_token", caller="nobody"
        )
        for name, token in {
            "empty": "",
            "short": "a",
            "of another job": "{other}",
            "long": "a" * 10_000,
            "with NUL": "\x00" * 30,
            "in upper case": "{TOKEN}",
            "not ASCII": "\u00e9" * 30,
            "with Arabic digits": "\u0663" * 30,
        }.items()
    },
    "token missing": Row("POST", "/v1/events", _EVENT, 401, "token_missing", caller="nobody"),
    "token missing in the parameters": Row(
        "POST", "/v1/events?uuid={job}&name=x", b"", 401, "token_missing", caller="nobody"
    ),
    "key missing": Row("GET", "/v1/jobs", None, 401, "key_missing", caller="nobody"),
    "a token where a key is needed": Row(
        "GET",
        "/v1/jobs/{job}",
        None,
        401,
        "key_missing",
        headers={"Authorization": "Bearer {token}"},
        caller="nobody",
    ),
    "another owner's job": Row(
        "GET", "/v1/jobs/{job}", None, 404, "unknown_job", caller="stranger"
    ),
    # --- ids in paths
    **{
        f"{what} with an id that is {name}": _get(f"/v1/jobs/{text}{tail}", 404, "unknown_job")
        for what, tail in (("a job", ""), ("a history", "/history"), ("a stream", "/stream"))
        for name, text in {
            "unknown": _UNKNOWN,
            "no UUID": "x",
            "encoded dots": "%2e%2e%2f%2e%2e",
            "NUL": "%00",
            "an encoded newline": "%0a",
            "a quote": "%27%20OR%201=1--",
            "very long": "a" * 4_000,
            "no UTF-8": "%ff%fe",
            "a surrogate": "%ed%a0%80",
        }.items()
    },
    "a path that climbs": _get("/v1/jobs/../../etc/passwd", 404, "unknown_route"),
    "a lifecycle that is not there": _get("/v1/lifecycles/%00", 404, "unknown_lifecycle"),
    "a lifecycle of a strange name": _get("/v1/lifecycles/%ff%0a", 404, "unknown_lifecycle"),
    "a key that is not there": Row("DELETE", "/v1/keys/%00%27", None, 404, "unknown_key"),
    "a refused event that is not there": _post(
        "/v1/refused/{job}/%00%ff/replay", b"", 404, "unknown_event"
    ),
    "a refused event of no job": _post("/v1/refused/x/y/replay", b"", 404, "unknown_job"),
    # --- queries
    **{
        f"{path}: {query}": _get(f"{path}?{query}", status, code, pointer)
        for path in ("/v1/jobs", "/v1/refused", "/v1/keys", "/v1/jobs/{job}/history")
        for query, status, code, pointer in (
            ("limit=0", 422, "invalid", "/limit"),
            ("limit=-1", 422, "invalid", "/limit"),
            ("limit=1000000000", 422, "invalid", "/limit"),
            ("limit=x", 422, "invalid", "/limit"),
            ("limit=", 422, "invalid", "/limit"),
            ("limit=1&limit=2", 400, "repeated_parameter", "/limit"),
            ("limti=1", 422, "unknown_field", "/limti"),
        )
    },
    **{
        f"{path}: cursor {name}": _get(f"{path}?cursor={cursor}", 422, "wrong_cursor", "/cursor")
        for path in ("/v1/jobs", "/v1/refused", "/v1/jobs/{job}/history")
        for name, cursor in {
            "forged": "AAAAAAAAAAAAAAAAAAAAAAAA",
            "not base 64": "!!!",
            "not ASCII": "%c3%a9",
            "NUL": "%00",
            "long": "A" * 5_000,
        }.items()
    },
    "a query that is not UTF-8": _get("/v1/jobs?q=%ff", 400, "bad_request"),
    "parameters that are not UTF-8": _post(
        "/v1/events?uuid={job}&name=%ff", b"", 400, "bad_request"
    ),
    "jobs: since is no moment": _get("/v1/jobs?since=yesterday", 422, "invalid", "/since"),
    "jobs: until without a zone": _get(
        "/v1/jobs?until=2026-01-01T00:00:00", 422, "invalid", "/until"
    ),
    "jobs: outcome is none": _get("/v1/jobs?outcome=fine", 422, "invalid", "/outcome"),
    "jobs: parent is no id": _get("/v1/jobs?parent=x", 422, "invalid", "/parent"),
    "jobs: NUL in a search": _get("/v1/jobs?q=%00", 422, "invalid", "/q"),
    "jobs: empty tag": _get("/v1/jobs?tag=", 422, "invalid", "/tag"),
    "job: a parameter": _get("/v1/jobs/{job}?x=1", 422, "unknown_field", "/x"),
    "create: a parameter": _post("/v1/jobs?x=1", {}, 422, "unknown_field", "/x"),
    "delete: force that is neither": Row(
        "DELETE", "/v1/jobs/{job}?force=maybe", None, 422, "invalid", "/force"
    ),
    "delete: not ended": Row("DELETE", "/v1/jobs/{job}", None, 409, "still_running"),
    "lifecycle: version 0": _get("/v1/lifecycles/pipeline?version=0", 422, "invalid", "/version"),
    "lifecycle: version x": _get("/v1/lifecycles/pipeline?version=x", 422, "invalid", "/version"),
    "stats: a parameter": _get("/v1/stats?x=1", 422, "unknown_field", "/x"),
    "stream: applied that is neither": _get("/v1/stream?applied=maybe", 422, "invalid", "/applied"),
    "stream: an unknown parameter": _get("/v1/stream?filter=x", 422, "unknown_field", "/filter"),
    **{
        f"stream of a job from {text!r}": Row(
            "GET",
            "/v1/jobs/{job}/stream",
            None,
            422,
            "invalid",
            "Last-Event-ID",
            headers={"Last-Event-ID": text},
        )
        for text in ("x", "-1", "1.5", "9" * 16, "\u0663", "")
    },
    "stream of an owner from a forged place": Row(
        "GET",
        "/v1/stream",
        None,
        422,
        "wrong_cursor",
        "/cursor",
        headers={"Last-Event-ID": "AAAA"},
    ),
    # --- parameters of the webhook
    "parameters: twice": _post(
        "/v1/events?uuid={job}&name=a&name=b", b"", 400, "repeated_parameter", "/name"
    ),
    "parameters: token twice": _post(
        "/v1/events?uuid={job}&name=a&token=a&token=b", b"", 400, "repeated_parameter", "/token"
    ),
    "parameters: unknown": _post(
        "/v1/events?uuid={job}&name=a&nmae=b", b"", 422, "unknown_field", "/nmae"
    ),
    "parameters: no name": _post("/v1/events?uuid={job}", b"", 422, "invalid", "/name"),
    "parameters: no uuid": _post("/v1/events?name=run", b"", 422, "invalid", "/uuid"),
    "parameters: NUL": _post("/v1/events?uuid={job}&name=%00", b"", 422, "invalid", "/name"),
    "parameters: data too large": _post(
        "/v1/events?uuid={job}&name=update",
        b'["' + b"x" * 30_000 + b'"]',
        413,
        "too_large",
        "/data",
    ),
    "parameters: body too large": _post(
        "/v1/events?uuid={job}&name=update", b" " * 100_001, 413, "too_large"
    ),
    **{
        f"wait of {text}": _post(f"/v1/events?wait={text}", _EVENT, 422, "invalid", "/wait")
        for text in ("-1", "61", "x", "nan", "inf", "")
    },
    "wait twice": _post("/v1/events?wait=1&wait=2", _EVENT, 400, "repeated_parameter", "/wait"),
    **{
        f"{method} on the webhook": Row(
            method,
            "/v1/events?uuid={job}&name=run&token={token}",
            None,
            405,
            "method_not_allowed" if method != "HEAD" else None,
            headers={},
            caller="nobody",
        )
        for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH")
    },
    # --- idempotency keys
    **{
        f"{where}: idempotency key {name}": Row(
            "POST",
            path,
            body,
            422,
            "invalid",
            "Idempotency-Key",
            headers={**_JSON, "Idempotency-Key": key},
        )
        for where, path, body in (("jobs", "/v1/jobs", {}), ("events", "/v1/events", _EVENT))
        for name, key in {
            "empty": "",
            "empty quotes": '""',
            "long": "x" * 201,
            "tab": "a\tb",
        }.items()
    },
}


def _filled(value: Any, bench: Bench, other: str) -> Any:
    """Put the job, its token and another job's token where the row names them."""
    words = {
        "{job}": bench.job["id"],
        "{token}": bench.job["token"],
        "{TOKEN}": bench.job["token"].upper(),
        "{other}": other,
    }
    match value:
        case dict():
            return {key: _filled(item, bench, other) for key, item in value.items()}
        case str():
            for word, text in words.items():
                value = value.replace(word, text)
            return value
        case bytes():
            return value.replace(b"{job}", bench.job["id"].encode())
        case _:
            return value


async def _send(bench: Bench, row: Row) -> Answer:
    other = (await bench.service.admin.make_job())["token"] if "{other}" in str(row.body) else ""
    caller = {
        "admin": bench.service.admin,
        "nobody": bench.service.nobody,
        "stranger": bench.stranger,
    }[row.caller]
    body = _filled(row.body, bench, other)
    if isinstance(body, dict):
        body = msgspec.json.encode(body)
    headers = {key: _filled(text, bench, other) for key, text in row.headers.items()}
    return await caller(row.method, _filled(row.path, bench, other), body=body, headers=headers)


async def _assert_it_works(bench: Bench) -> None:
    """Report an event with the job's token; the service must take it as ever."""
    event = {"uuid": bench.job["id"], "name": "update", "token": bench.job["token"]}
    answer = await bench.service.nobody.post("/v1/events?wait=5", json=event)
    assert (answer.status, answer.json["applied"]) == (200, True)


@pytest.mark.parametrize("row", _ROWS.values(), ids=_ROWS.keys())
async def test_bad_input_has_its_clear_answer(bench: Bench, row: Row) -> None:
    answer = await _send(bench, row)

    assert answer.status == row.status, answer.body
    if row.code is not None:
        problem = answer.json
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert (problem["code"], problem.get("pointer")) == (row.code, row.pointer), problem
        assert problem["status"] == row.status
        assert bench.job["token"] not in answer.body.decode()
        assert len(problem["detail"]) < 2_000
    await _assert_it_works(bench)


_AUTH = b"Authorization: Bearer {key}\r\n"
_HEAD = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + _AUTH
_TYPED = _HEAD + b"Content-Type: application/json\r\n"

_RAW: dict[str, tuple[bytes, set[int]]] = {
    "length and chunks": (
        _TYPED + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        {400},
    ),
    "two lengths": (_TYPED + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", {400}),
    "a signed length": (_TYPED + b"Content-Length: +2\r\n\r\n{}", {400}),
    "a negative length": (_TYPED + b"Content-Length: -2\r\n\r\n{}", {400}),
    "a bad chunk": (_TYPED + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", {400}),
    "a chunk too short": (
        _TYPED + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
        {400},
    ),
    "an unknown transfer encoding": (_TYPED + b"Transfer-Encoding: xchunked\r\n\r\n{}", {400}),
    "a space before a colon": (_TYPED + b"Content-Length : 2\r\n\r\n{}", {400}),
    "a folded header": (_TYPED + b"X-A: 1\r\n b\r\nContent-Length: 2\r\n\r\n{}", {400}),
    "no host": (b"GET /v1/jobs HTTP/1.1\r\n" + _AUTH + b"\r\n", {400}),
    "two hosts": (b"GET /v1/jobs HTTP/1.1\r\nHost: a\r\nHost: b\r\n" + _AUTH + b"\r\n", {400}),
    "a long URL": (b"GET /v1/jobs?q=" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {400, 414}),
    "a long header": (_TYPED + b"X-A: " + b"a" * 9_000 + b"\r\n\r\n", {400, 431}),
    "raw bytes in the path": (b"GET /v1/lifecycles/\xff HTTP/1.1\r\nHost: x\r\n\r\n", {400}),
    "raw bytes in the query": (b"GET /v1/jobs?q=\xff HTTP/1.1\r\nHost: x\r\n\r\n", {400}),
    "raw bytes in the content type": (
        _HEAD + b"Content-Type: text/\xff\r\nContent-Length: 2\r\n\r\n{}",
        {415},
    ),
    "raw bytes in the encoding": (
        _TYPED + b"Content-Encoding: \xff\r\nContent-Length: 2\r\n\r\n{}",
        {415},
    ),
    "raw bytes in an idempotency key": (
        _TYPED + b"Idempotency-Key: \xff\xfe\r\nContent-Length: 2\r\n\r\n{}",
        {422},
    ),
    "raw bytes in the authorization": (
        _HEAD.replace(b"{key}", b"jwk_\xff") + b"\r\n",
        {401},
    ),
    # The server itself refuses those that it knows and has no library for.
    **{
        f"encoding {encoding!r}": (
            _TYPED + b"Content-Encoding: " + encoding + b"\r\nContent-Length: 2\r\n\r\n{}",
            {400, 415},
        )
        for encoding in (b"br", b"zstd")
    },
    "another protocol": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", {400}),
    "an unknown method": (b"FOO /v1/jobs HTTP/1.1\r\nHost: x\r\n\r\n", {400}),
    "a truncated packed body": (
        _TYPED
        + b"Content-Encoding: gzip\r\nContent-Length: 60\r\n\r\n"
        + gzip.compress(bytes(range(256)) * 40, mtime=0)[:60],
        {400},
    ),
    **{
        f"host {host!r}": (
            b"POST /v1/jobs HTTP/1.1\r\nHost: "
            + host
            + b"\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
            + _AUTH
            + b"\r\n{}",
            {400},
        )
        for host in (b"a b", b"a:b:c", b"[::1", b"", b"x/y", b"a@b", b"[zz]", b"%ff", b"\xff", b"?")
    },
}


@pytest.mark.parametrize(("request_", "statuses"), _RAW.values(), ids=_RAW.keys())
async def test_a_request_that_is_not_well_formed_is_refused_and_its_connection_closed(
    bench: Bench, request_: bytes, statuses: set[int]
) -> None:
    assert bench.service.admin.key is not None
    jobs = (await bench.service.admin.get("/v1/stats")).json["jobs"]

    answer = await bench.service.raw(request_.replace(b"{key}", bench.service.admin.key.encode()))

    assert int(answer.split(b" ", 2)[1]) in statuses, answer
    assert (await bench.service.admin.get("/v1/stats")).json["jobs"] == jobs
    await _assert_it_works(bench)


@pytest.mark.parametrize("sent", [b"", b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\n"])
async def test_half_a_head_is_not_waited_for_without_end(bench: Bench, sent: bytes) -> None:
    async with asyncio.timeout(PATIENCE_S):
        answer = await bench.service.raw(sent)

    assert answer == b""
    await _assert_it_works(bench)


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/events", "/v1/events?uuid={job}&name=x"])
async def test_half_a_body_is_not_waited_for_without_end(bench: Bench, path: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.service.port)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    key = f"Authorization: Bearer {bench.service.admin.key}\r\nContent-Length: 20\r\n\r\n{{"
    writer.write((head.replace("{job}", bench.job["id"]) + key).encode())

    async with asyncio.timeout(PATIENCE_S):
        line = await reader.readline()
    writer.close()

    assert line.startswith(b"HTTP/1.1 408 ")
    await _assert_it_works(bench)

"""What clients of the joblauncher rely on, and what nobody may make it do."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web

from jobwire.actors.dialects.joblauncher.asking import Launchers, job_request
from jobwire.actors.dialects.joblauncher.requests import LaunchRequest
from jobwire.actors.dialects.joblauncher.settings import Joblauncher
from jobwire.schemas.errors import Invalid
from jobwire.schemas.identifiers import parse_job_id
from jobwire.schemas.principals import Principal
from jobwire.schemas.reports import Running
from jobwire.schemas.specs import Spec
from tests.support.deadlines import until
from tests.support.launching import STEP_S, SandboxView, launching
from tests.support.receiver import receiving

_SETTINGS: Final = Joblauncher(max_run_s=3_600, launchers={"here": "local", "too": "local"})
_LAUNCHER: Final = Principal("launcher", frozenset({"read"}))


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[SandboxView]:
    """Yield a service with the dialect alone at a port."""
    async with launching(tmp_path) as box:
        yield box


def _spec(**asked: Any) -> Spec:
    request = LaunchRequest(**{"jobdir": "/d", "executable": "x", "launcher": "here", **asked})
    spec = job_request(request, Launchers(_SETTINGS), _SETTINGS).spec
    assert spec is not None
    return spec


@pytest.mark.parametrize(("max_time", "seconds"), [(-1, 3_600), (1, 60), (60, 3_600)])
def test_a_longest_time_is_in_minutes_and_minus_one_is_the_configured_one(
    max_time: int, seconds: float
) -> None:
    assert _spec(max_time=max_time).resources.walltime_s == seconds


@pytest.mark.parametrize("max_time", [0, -2, 61, 2**62])
def test_a_longest_time_over_the_configured_one_is_refused(max_time: int) -> None:
    with pytest.raises(Invalid, match="whole minutes") as refused:
        _spec(max_time=max_time)

    assert refused.value.pointer == "/max_time"


def test_a_launcher_is_a_site_and_the_first_is_the_default() -> None:
    assert Launchers(_SETTINGS).default == "here"
    assert _spec(launcher="too").site == "local"


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"prestaged": [str(n) for n in range(1_001)]}, "/prestaged"),
        ({"poststaged": [str(n) for n in range(1_001)]}, "/poststaged"),
        ({"arguments": ["x"] * 5_000}, "/arguments"),
        ({"executable": "\0"}, "/executable"),
        ({"arguments": ["a", "\0"]}, "/arguments/1"),
        ({"environment": {"a.b": "c"}}, "/environment/a.b"),
    ],
)
async def test_an_error_speaks_of_the_field_that_was_sent(
    box: SandboxView, asked: dict[str, Any], pointer: str
) -> None:
    refused = await box.post(**asked)

    assert refused.status == 422
    assert refused.json["pointer"] == pointer
    assert "/spec" not in refused.json["detail"]


async def test_inputs_are_copied_before_the_answer(box: SandboxView) -> None:
    (box.jobdir / "in").write_text("as it was")

    url = await box.script(
        f"until [ -e {box.jobdir}/go ]; do sleep 0.02; done; cat in", prestaged=["in"]
    )
    begun = await box.status(url)
    (box.jobdir / "in").write_text("changed")
    (box.jobdir / "go").touch()
    await box.reach(url)

    assert begun["state"] != "INITIAL"
    assert (box.jobdir / "stdout.txt").read_text() == "as it was"


async def test_outputs_are_in_place_when_the_end_is_told(box: SandboxView) -> None:
    seen: list[tuple[bool, bool, bool]] = []

    async def look(request: web.Request) -> web.Response:
        done = json.loads(await request.read())["done"]
        files = (box.jobdir / "o", box.jobdir / "stdout.txt")
        seen.append((done, *(each.exists() for each in files)))
        return web.Response()

    async with receiving() as receiver:
        receiver.always = look
        await box.script("echo x > o", poststaged=["o"], status_callback_url=receiver.url)
        await receiver.wait(3, STEP_S)
        await until(lambda: len(seen) == 3, STEP_S)

    assert [each[0] for each in seen] == [False, False, True]
    assert seen[-1] == (True, True, True)


async def test_a_job_that_was_doubted_is_told_to_run_once(box: SandboxView) -> None:
    parts = box.service.system._container
    async with receiving() as receiver:
        url = await box.script(
            f"until [ -e {box.jobdir}/go ]; do sleep 0.02; done", status_callback_url=receiver.url
        )
        await box.reach(url, "RUNNING")
        job = await parts.operations.jobs.get(_LAUNCHER, parse_job_id(url.rpartition("/")[2]))
        await parts.worker_gateway.suspect(job, "nothing is heard of it")
        doubted = await box.status(url)
        await parts.worker_gateway.report(job.id, 1, Running(), counter=1)
        (box.jobdir / "go").touch()
        await box.reach(url)
        told = [json.loads(each.body)["state"] for each in await receiver.wait(3, STEP_S)]

    assert (doubted["state"], doubted["running"]) == ("RUNNING", True)
    assert told == ["PENDING", "RUNNING", "DONE"]


#: What is no value of any field, or of some; each is tried in every one.
_HOSTILE: Final[tuple[object, ...]] = (
    *(None, True, 0, -1, 1.5, 10**30, [], {}, [[]], [None], [1]),
    *("", "\0", "a\nb", "../x", "/etc/passwd", "/", "//", "file:///etc", "x" * 5_000),
    *(["\0"], ["a\nb"], ["../../etc/passwd"], ["/etc/passwd"], ["file:///etc/passwd"]),
    *(["sftp://h/x"], ["*"], [""], ["."], ["-x"], ["~"], ["a" * 256], ["a\\b"], ["x"] * 6_000),
    ["/".join("a" * 600)],
    *({"": ""}, {"a=b": ""}, {"A": None}, {"A": "\0"}, {"JOBWIRE_TOKEN": "x"}),
    *("http://10.0.0.1/", "http://169.254.169.254/", "http://[::ffff:10.0.0.1]/", "http://10.1/"),
    *("http://0x0a000001/", "http://167772161/", "http://u:p@10.0.0.1/", "http://", "//h/x"),
    *("http://h:99999/", "http://h\r\nX: y/", "http://[fe80::1%25eth0]/", "gopher://h/"),
    *("file:///etc/passwd", "javascript:alert(1)"),
)


@pytest.mark.parametrize("field", LaunchRequest.__struct_fields__)
async def test_no_value_of_a_field_breaks_anything_or_leaves_a_job_where_it_is_refused(
    box: SandboxView, field: str
) -> None:
    (box.jobdir.parent / "x").write_text("nobody's")
    made = 0

    for value in _HOSTILE:
        answer = await box.post(**{field: value})
        made += answer.status == 201
        assert answer.status in (201, 400, 413, 422), (value, answer.body)
        if answer.status != 201:
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert answer.json["detail"], value

    assert len(await box.listed()) == made
    for url in await box.listed():
        await box.reach(url)
    # Whatever ran, and wherever its output was to go, it stayed where jobs may write.
    assert (box.jobdir.parent / "x").read_text() == "nobody's"
    assert sorted(each.name for each in box.jobdir.parent.iterdir()) == ["data", "jobs", "x"]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(
    "id_", ["..", "%2e%2e", "%00", "a%2Fb", "%F0%9F", "*", "x" * 4_000, "0" * 36, "-" * 36]
)
async def test_what_is_no_id_is_not_there(box: SandboxView, method: str, id_: str) -> None:
    answer = await box.caller(method, f"{box.base}/job/{id_}")

    assert answer.status in (404, 405)
    assert answer.headers["Content-Type"] == "application/problem+json"

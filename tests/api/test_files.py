"""Files of jobs: list, download, ranges, follow; nobody else's, and nothing outside."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from jobwire.actors.client import Client
from jobwire.actors.runtime.settings import Limits, LocalSite, Settings
from jobwire.actors.sites import Sandbox
from jobwire.actors.system import System, now
from jobwire.actors.workers.store_gateway import StoreWorkerGateway
from jobwire.schemas.errors import NotFound
from jobwire.schemas.identifiers import JobId
from jobwire.schemas.reports import Failed, Staging
from tests.support.deadlines import PATIENCE_S, until
from tests.support.service import Answer, Caller, Service, running

_UNKNOWN = "2f1c6c1e-7f43-4c0e-9a51-0d6a3c1f5a10"
#: Nothing of a job starts before that moment, so that the tests can play its worker.
_LATER = "2099-01-01T00:00:00Z"


@dataclass
class Desk:
    """A service whose site is a folder of the test."""

    service: Service
    folder: Path

    @property
    def system(self) -> System:
        """The service's parts."""
        return self.service.system

    async def job(self, caller: Caller | None = None, **fields: Any) -> str:
        """Make a job that waits."""
        spec = {"argv": ["true"], **fields.pop("spec", {})}
        caller = caller or self.service.admin
        made = await caller.make_job(spec=spec, start_after=_LATER, **fields)
        return str(made["id"])

    def box(self, job: str, attempt: int = 1) -> Path:
        """Return the directory of an attempt, and make it."""
        made = self.folder / Sandbox(JobId(job), attempt).work
        made.mkdir(parents=True, exist_ok=True)
        return made

    async def end(self, job: str) -> None:
        """Let a job end."""
        assert (await self.service.admin.post(f"/v1/jobs/{job}/cancel")).status == 200

    async def retry(self, job: str) -> None:
        """Let the first attempt of a job fail, so that another one follows."""
        gateway = StoreWorkerGateway(
            store=self.system._container.store,
            events=self.system._container.operations.events,
            keyring=self.system._container.keyring,
            clock=now,
        )
        await gateway.report(JobId(job), 1, Staging())
        await gateway.report(JobId(job), 1, Failed(cause="staging"))

        async def is_retrying() -> bool:
            seen = (await self.service.admin.get(f"/v1/jobs/{job}")).json
            return bool(seen["state"] == "RETRYING")

        await until(is_retrying)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """Yield a service with a site."""
    folder = tmp_path / "sandboxes"
    settings = Settings(
        port=0,
        limits=Limits(streams_per_owner=3),
        local=LocalSite(enabled="yes", folder=str(folder)),
    )
    async with running(tmp_path / "data", settings) as service:
        yield Desk(service, folder)


async def _paths(caller: Caller, url: str) -> list[str]:
    answer = await caller.get(url)
    assert answer.status == 200, answer.body
    return [each["path"] for each in answer.json["items"]]


async def test_the_files_of_a_job_are_listed_in_pages(desk: Desk) -> None:
    job = await desk.job()
    box = desk.box(job)
    (box / "d").mkdir()
    for name in ("stdout", "d/x", "a"):
        (box / name).write_text(name)
    (box / "link").symlink_to("/etc/passwd")
    (box.parent / "control").mkdir()
    (box.parent / "control/latch").write_text("x")

    whole = (await desk.service.admin.get(f"/v1/jobs/{job}/files")).json
    cursor: str | None = ""
    seen: list[Any] = []
    while cursor is not None:
        query = f"?limit=2&cursor={cursor}" if cursor else "?limit=2"
        page = (await desk.service.admin.get(f"/v1/jobs/{job}/files{query}")).json
        assert len(page["items"]) <= 2
        seen += [each["path"] for each in page["items"]]
        cursor = page["next"]

    assert whole["next"] is None
    kinds = [(each["path"], each["kind"]) for each in whole["items"]]
    assert kinds == [
        ("a", "file"),
        ("d", "directory"),
        ("d/x", "file"),
        ("link", "other"),
        ("stdout", "file"),
    ]
    assert whole["items"][4]["size"] == 6
    assert seen == [path for path, _ in kinds]


async def test_a_job_that_waits_has_no_files_yet_and_one_elsewhere_never_has(desk: Desk) -> None:
    waiting = await desk.job()
    elsewhere = (await desk.service.admin.make_job())["id"]

    assert await _paths(desk.service.admin, f"/v1/jobs/{waiting}/files") == []
    for path in ("files", "files/stdout"):
        answer = await desk.service.admin.get(f"/v1/jobs/{elsewhere}/{path}")
        assert (answer.status, answer.json["code"]) == (404, "runs_elsewhere")


async def test_the_newest_attempt_that_has_a_directory_is_meant_or_the_one_that_is_named(
    desk: Desk,
) -> None:
    retries = {"max": 1, "backoff_s": 86_400}
    job = await desk.job(spec={"retries": retries, "stage_in": [{"from": "x"}]})
    (desk.box(job, 1) / "one").write_text("1")
    await desk.retry(job)
    url = f"/v1/jobs/{job}/files"

    before = await _paths(desk.service.admin, url)
    (desk.box(job, 2) / "two").write_text("2")
    after = await _paths(desk.service.admin, url)
    first = await _paths(desk.service.admin, f"{url}?attempt=1")
    one = await desk.service.admin.get(f"{url}/one?attempt=1")
    third = await desk.service.admin.get(f"{url}?attempt=3")

    assert (before, after, first) == (["one"], ["two"], ["one"])
    assert one.body == b"1"
    assert (third.status, third.json["code"]) == (404, "no_attempt")


async def test_a_download_is_an_attachment_that_no_browser_opens(desk: Desk) -> None:
    job = await desk.job()
    (desk.box(job) / 'odd "ü\n.html').write_text("<script>")
    url = f"/v1/jobs/{job}/files/odd%20%22%C3%BC%0A.html"

    answer = await desk.service.admin.get(url)
    head = await desk.service.admin("HEAD", url)

    assert (answer.status, answer.body) == (200, b"<script>")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    disposition = "attachment; filename*=UTF-8''odd%20%22%C3%BC%0A.html"
    assert answer.headers["Content-Disposition"] == disposition
    assert answer.headers["Content-Length"] == "8"
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", "8")


@pytest.mark.parametrize(
    ("asked", "status", "body", "content_range"),
    [
        ("bytes=0-0", 206, b"0", "bytes 0-0/10"),
        ("bytes=2-5", 206, b"2345", "bytes 2-5/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=9-", 206, b"9", "bytes 9-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-30", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=0-9", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=5-99999999999999999999999", 206, b"56789", "bytes 5-9/10"),
        ("BYTES= 1-2 ", 206, b"12", "bytes 1-2/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=99999999999999999999-", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
        ("bytes=5-2", 200, b"0123456789", None),
        ("bytes=-", 200, b"0123456789", None),
        ("bytes=a-b", 200, b"0123456789", None),
        ("bytes=²-", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
        ("", 200, b"0123456789", None),
    ],
)
async def test_one_range_is_answered_and_what_is_none_gets_the_whole(
    desk: Desk, asked: str, status: int, body: bytes | None, content_range: str | None
) -> None:
    job = await desk.job()
    (desk.box(job) / "digits").write_text("0123456789")

    answer = await desk.service.admin.get(f"/v1/jobs/{job}/files/digits", headers={"Range": asked})

    assert answer.status == status
    assert answer.headers.get("Content-Range") == content_range
    if body is None:
        assert answer.json["code"] == "range_not_satisfiable"
    else:
        assert answer.body == body
        assert answer.headers["Accept-Ranges"] == "bytes"


async def test_a_range_of_an_empty_file_is_the_empty_file(desk: Desk) -> None:
    job = await desk.job()
    (desk.box(job) / "empty").touch()

    for asked in ("bytes=0-", "bytes=-5", "bytes=3-4"):
        answer = await desk.service.admin.get(
            f"/v1/jobs/{job}/files/empty", headers={"Range": asked}
        )
        assert (answer.status, answer.body) == (200, b"")


async def test_a_tag_tells_whether_the_file_has_changed(desk: Desk) -> None:
    job = await desk.job()
    file = desk.box(job) / "x"
    file.write_text("0123456789")
    os.utime(file, (1_700_000_000, 1_700_000_000))
    url = f"/v1/jobs/{job}/files/x"
    admin = desk.service.admin

    too_long = f"Mon, 01 Jan 2020 00:00:00 +{'9' * 15}"

    first = await admin.get(url)
    tag, modified = first.headers["ETag"], first.headers["Last-Modified"]
    same = await admin.get(url, headers={"If-None-Match": f'"other", {tag}'})
    parts = [
        await admin.get(url, headers={"Range": "bytes=1-1", "If-Range": each})
        for each in (tag, modified)
    ]
    wholes = [
        await admin.get(url, headers={"Range": "bytes=1-1", "If-Range": each})
        for each in ('"other"', "Tue, 14 Nov 2000 22:13:20 GMT", "nonsense", f"W/{tag}", too_long)
    ]
    file.write_text("0123456789")
    changed = await admin.get(url, headers={"If-None-Match": tag})

    assert modified == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert (same.status, same.body, same.headers["ETag"]) == (304, b"", tag)
    assert [each.body for each in parts] == [b"1", b"1"]
    assert [each.status for each in wholes] == [200] * 5
    assert changed.status == 200
    assert changed.headers["ETag"].startswith("W/")  # written just now: it may change again unseen


@pytest.mark.parametrize(
    "path",
    [
        "..", "../control/latch", "../../../../etc/passwd", "%2e%2e/control/latch",
        "..%2fcontrol%2flatch", "%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd", "a/../../control/latch",
        "%00", "stdout%00", "%2fetc%2fpasswd", "/etc/passwd", "//", "d/", ".", "./stdout", "%ff",
        "%ed%a0%80", "%0a", "%5c..%5ccontrol", "x" * 300, "d/" * 2_000 + "x", "-rf", "~root",
        "link", "link/passwd", "fifo", "d", "missing", "stdout/x", "%252e%252e/control/latch",
        "%E2%80%AE", "*", "?",
    ],
)  # fmt: skip
async def test_no_path_leads_out_or_to_anything_but_a_file(desk: Desk, path: str) -> None:
    job = await desk.job()
    box = desk.box(job)
    (box / "stdout").write_text("out")
    (box / "d").mkdir()
    (box / "link").symlink_to("/etc")
    os.mkfifo(box / "fifo")
    (box.parent / "control").mkdir()
    (box.parent / "control/latch").write_text("secret of the shim")
    request = (
        f"GET /v1/jobs/{job}/files/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: Bearer {desk.service.admin.key}\r\n\r\n"
    )

    plain = await desk.service.raw(request.encode())
    await desk.end(job)
    followed = await desk.service.raw(
        request.replace(" HTTP/1.1", "?follow=true HTTP/1.1").encode()
    )

    for answer in (plain, followed):
        assert int(answer.split(b" ", 2)[1]) in (400, 404, 414, 422), answer
        assert b"secret" not in answer
        assert b"root:" not in answer


@pytest.mark.parametrize("path", ["..%2fcontrol%2flatch", "link/passwd", "fifo", "d", "%00"])
async def test_what_can_never_be_a_file_is_not_waited_for(desk: Desk, path: str) -> None:
    job = await desk.job()
    (desk.box(job) / "d").mkdir()
    (desk.box(job) / "link").symlink_to("/etc")
    os.mkfifo(desk.box(job) / "fifo")

    answer = await desk.service.raw(
        f"GET /v1/jobs/{job}/files/{path}?follow=true HTTP/1.1\r\nHost: x\r\n"
        f"Connection: close\r\nAuthorization: Bearer {desk.service.admin.key}\r\n\r\n".encode()
    )

    assert answer.startswith(b"HTTP/1.1 422"), answer


async def test_a_link_put_in_the_place_of_a_listed_file_is_not_followed(desk: Desk) -> None:
    job = await desk.job()
    file = desk.box(job) / "out"
    file.write_text("mine")
    assert await _paths(desk.service.admin, f"/v1/jobs/{job}/files") == ["out"]

    file.unlink()
    file.symlink_to("/etc/passwd")
    answer = await desk.service.admin.get(f"/v1/jobs/{job}/files/out")

    assert (answer.status, answer.json["code"]) == (422, "not_a_file")


def _shown(answer: Answer, job: str) -> tuple[int, Any]:
    seen = answer.json
    seen.pop("request_id", None)
    return answer.status, str(seen).replace(job, "{job}")


@pytest.mark.parametrize(
    "path",
    ["files", "files/stdout", "files/missing", "files/stdout?follow=true", "files?attempt=9"],
)
async def test_anothers_files_look_like_those_of_an_unknown_job(desk: Desk, path: str) -> None:
    alice = await desk.service.principal("alice")
    bob = await desk.service.principal("bob")
    job = await desk.job(alice)
    (desk.box(job) / "stdout").write_text("secret")

    seen = [_shown(await bob.get(f"/v1/jobs/{each}/{path}"), each) for each in (job, _UNKNOWN)]

    assert seen[0] == seen[1]
    assert seen[0][0] == 404
    assert (await alice.get(f"/v1/jobs/{job}/files/stdout")).body == b"secret"


async def test_a_key_without_the_right_to_read_reads_no_files(desk: Desk) -> None:
    writer = await desk.service.principal("admin", ("jobs", "events"))
    job = await desk.job()

    for path in ("files", "files/stdout"):
        assert (await writer.get(f"/v1/jobs/{job}/{path}")).status == 403
        assert (await desk.service.nobody.get(f"/v1/jobs/{job}/{path}")).status == 401


async def test_a_cursor_belongs_to_its_job_and_attempt(desk: Desk) -> None:
    jobs = [await desk.job(), await desk.job()]
    for job in jobs:
        for name in "ab":
            (desk.box(job) / name).touch()
    page = (await desk.service.admin.get(f"/v1/jobs/{jobs[0]}/files?limit=1")).json

    other = await desk.service.admin.get(f"/v1/jobs/{jobs[1]}/files?cursor={page['next']}")
    limits = [
        await desk.service.admin.get(f"/v1/jobs/{jobs[0]}/files?limit={limit}")
        for limit in (0, -1, 1_000_000)
    ]

    assert (other.status, other.json["code"]) == (422, "wrong_cursor")
    assert [each.status for each in limits] == [422] * 3


async def test_what_was_kept_is_there_after_the_clean_up_and_all_is_gone_after_a_delete(
    desk: Desk,
) -> None:
    job = await desk.job()
    for name in ("stdout", "scratch"):
        (desk.box(job) / name).write_text(name)
    await desk.end(job)
    (desk.box(job) / "scratch").unlink()

    kept = await desk.service.admin.get(f"/v1/jobs/{job}/files/stdout")
    gone = await desk.service.admin.get(f"/v1/jobs/{job}/files/scratch")
    assert (await desk.service.admin.delete(f"/v1/jobs/{job}")).status == 204

    assert kept.body == b"stdout"
    assert (gone.status, gone.json["code"]) == (404, "no_file")
    assert not (desk.folder / job).exists()


async def _take(response: aiohttp.ClientResponse, count: int) -> bytes:
    async with asyncio.timeout(PATIENCE_S):
        return await response.content.readexactly(count)


async def test_a_file_is_followed_from_before_it_is_there_until_its_job_has_ended(
    desk: Desk,
) -> None:
    job = await desk.job()
    admin = desk.service.admin
    headers = {"Authorization": f"Bearer {admin.key}"}
    url = f"{admin.url}/v1/jobs/{job}/files/stdout?follow=true"

    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        with (desk.box(job) / "stdout").open("wb", buffering=0) as file:
            for part in (b"one\n", b"two\n"):
                file.write(part)
                assert await _take(response, 4) == part
            file.write(b"the end")
            await desk.end(job)
        async with asyncio.timeout(PATIENCE_S):
            rest = await response.content.read()
        again = await session.get(url, headers=headers)
        whole = await again.read()

    assert response.status == 200
    assert "Content-Length" not in response.headers
    assert rest == b"the end"
    assert whole == b"one\ntwo\nthe end"


async def test_a_follower_of_one_attempt_ends_when_another_one_follows(desk: Desk) -> None:
    retries = {"max": 1, "backoff_s": 86_400}
    job = await desk.job(spec={"retries": retries, "stage_in": [{"from": "x"}]})
    (desk.box(job) / "stdout").write_text("first")
    admin = desk.service.admin
    headers = {"Authorization": f"Bearer {admin.key}"}
    url = f"{admin.url}/v1/jobs/{job}/files/stdout?follow=true"

    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        assert await _take(response, 5) == b"first"
        (desk.box(job, 2) / "stdout").write_text("second")
        await desk.retry(job)
        async with asyncio.timeout(PATIENCE_S):
            rest = await response.content.read()

    assert rest == b""


async def test_a_follower_that_comes_back_goes_on_where_it_was(desk: Desk) -> None:
    job = await desk.job()
    (desk.box(job) / "stdout").write_text("0123456789")
    admin = desk.service.admin
    headers = {"Authorization": f"Bearer {admin.key}", "Range": "bytes=7-"}
    url = f"{admin.url}/v1/jobs/{job}/files/stdout?follow=true"

    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        taken = await _take(response, 3)
        await desk.end(job)
        rest = await response.content.read()

    assert (response.status, taken, rest) == (206, b"789", b"")
    assert response.headers["Content-Range"].startswith("bytes 7-")
    assert response.headers["Content-Range"].endswith("/*")


async def test_one_reader_too_many_is_refused_and_one_that_has_gone_makes_room(
    desk: Desk,
) -> None:
    job = await desk.job()
    (desk.box(job) / "stdout").write_text("x")
    admin = desk.service.admin
    headers = {"Authorization": f"Bearer {admin.key}"}
    url = f"{admin.url}/v1/jobs/{job}/files/stdout"

    async with aiohttp.ClientSession() as session:
        following = [await session.get(f"{url}?follow=true", headers=headers) for _ in range(3)]
        refused = await admin.get(url)
        for each in following:
            each.close()

        async def is_free() -> bool:
            return (await admin.get(url)).status == 200

        await until(is_free)

    assert (refused.status, refused.json["limit"]) == (429, 3)


def _resident() -> int:
    """Return the bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def test_a_large_file_is_sent_with_flat_memory_to_a_slow_client(desk: Desk) -> None:
    job = await desk.job()
    (desk.box(job) / "large").touch()
    os.truncate(desk.box(job) / "large", 400_000_000)
    admin = desk.service.admin
    headers = {"Authorization": f"Bearer {admin.key}"}
    url = f"{admin.url}/v1/jobs/{job}/files/large"

    before = _resident()
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        count = most = 0
        async for chunk in response.content.iter_any():
            count += len(chunk)
            most = max(most, _resident())

    assert count == 400_000_000
    assert most - before < 60_000_000


async def test_a_stopping_service_ends_those_who_follow(desk: Desk) -> None:
    job = await desk.job()
    (desk.box(job) / "stdout").write_text("x")
    admin = desk.service.admin
    headers = {"Authorization": f"Bearer {admin.key}"}
    url = f"{admin.url}/v1/jobs/{job}/files/stdout?follow=true"

    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        assert await _take(response, 1) == b"x"
        async with asyncio.timeout(PATIENCE_S):
            await desk.system._front.stop()
            rest = await response.content.read()

    assert rest == b""


async def test_the_sdk_lists_reads_and_follows(desk: Desk) -> None:
    job = await desk.job()
    for name in ("a", "b", "stdout"):
        (desk.box(job) / name).write_text(name * 3)

    async with Client(desk.service.url, desk.service.admin.key) as client:
        listed = [each.path async for each in client.files(job, page=2)]
        part = b"".join([data async for data in client.read_file(job, "a", start=1)])
        followed = client.read_file(job, "stdout", follow=True)
        first = await anext(aiter(followed))
        await desk.end(job)
        rest = b"".join([data async for data in followed])
        with pytest.raises(NotFound):
            await anext(aiter(client.read_file(job, "missing")))

    assert listed == ["a", "b", "stdout"]
    assert (part, first + rest) == (b"aa", b"stdout" * 3)

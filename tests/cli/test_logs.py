"""What jobs write, read at a shell while they run and after."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from msgspec import Raw

from jobwire.actors.cli.job_progress import JobProgress
from jobwire.actors.client import Client
from jobwire.actors.client.reading import last_lines
from jobwire.schemas.errors import Invalid
from jobwire.schemas.identifiers import EventId, parse_job_id
from jobwire.schemas.lifecycle import JobOutcome
from jobwire.schemas.views import EntryView
from tests.cli.console import COMMAND, PATIENCE_S, Console, wait_until

_JOB = parse_job_id("2f1c6c1e-53b5-4d0a-9c86-0a3f35f1f6a4")


def started(console: Console, script: str, *arguments: str, attempts: int = 1) -> str:
    """Start a job that a shell carries out; return its id."""
    spec = {
        "argv": ["sh", "-c", script, "sh", *arguments],
        "retries": {"max": attempts - 1, "backoff_s": 0.1},
    }
    job: str = console.ask("/v1/jobs", {"spec": spec})["id"]
    return job


def ended(console: Console, script: str, *, attempts: int = 1) -> str:
    """Run a job to its end; return its id."""
    job = started(console, script, attempts=attempts)
    wait_until(lambda: console.ask(f"/v1/jobs/{job}")["outcome"], "the end")
    return job


def sizes(console: Console, job: str) -> dict[str, int]:
    """Return how long the files of a job are."""
    items = console.ask(f"/v1/jobs/{job}/files")["items"]
    return {each["path"]: each["size"] for each in items}


def logs(console: Console, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Read what a job wrote, bytes and all."""
    return subprocess.run(
        (*COMMAND, "logs", *arguments),
        env=console.environment,
        capture_output=True,
        check=False,
        timeout=PATIENCE_S,
    )


def test_each_stream_is_read_byte_for_byte(console: Console) -> None:
    job = ended(console, r"printf 'o\000\377'; printf 'e\377' >&2")

    assert logs(console, job).stdout == b"o\x00\xff"
    assert logs(console, job, "--stderr").stdout == b"e\xff"
    both = logs(console, job, "--both")
    assert (both.stdout, both.stderr) == (b"o\x00\xff", b"e\xff")


def test_the_last_lines_are_read(console: Console) -> None:
    job = ended(console, "seq 100000")

    assert logs(console, job, "-n", "2").stdout == b"99999\n100000\n"
    assert len(logs(console, job, "-n", "50000").stdout.splitlines()) == 50_000
    assert logs(console, job, "-n", "0").stdout == b""
    assert len(logs(console, job, "-n", "200000").stdout.splitlines()) == 100_000


def test_another_file_and_another_attempt_are_read(console: Console) -> None:
    script = 'echo "$JOBWIRE_ATTEMPT" | tee notes; test "$JOBWIRE_ATTEMPT" = 2'
    job = ended(console, script, attempts=2)

    assert logs(console, job).stdout == b"2\n"
    assert logs(console, job, "--attempt", "1").stdout == b"1\n"
    assert logs(console, job, "--attempt", "1", "notes").stdout == b"1\n"


def test_following_ends_with_the_job_and_gives_all_of_it(console: Console, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    script = 'seq 5; while [ ! -e "$1" ]; do sleep 0.05; done; echo end'
    job = started(console, script, str(go_on))
    wait_until(lambda: sizes(console, job).get("stdout") == 10, "the first lines")
    process = console.start("logs", "-f", "-n", "2", job)
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["4\n", "5\n"]

    go_on.touch()

    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out, err) == (0, "end\n", "")


def test_following_may_begin_before_the_job_has_started(console: Console) -> None:
    job = console.submitted("echo", "hello", hold=True)
    process = console.start("logs", "-f", job)

    console.ask(f"/v1/jobs/{job}/release", {})

    out, _ = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (0, "hello\n")


def test_attempts_that_follow_are_followed_unless_one_is_named(
    console: Console, tmp_path: Path
) -> None:
    go_on = tmp_path / "go-on"
    script = 'echo "$JOBWIRE_ATTEMPT"; while [ ! -e "$1" ]; do sleep 0.05; done; '
    script += 'test "$JOBWIRE_ATTEMPT" = 2'
    job = started(console, script, str(go_on), attempts=2)
    every = console.start("logs", "-f", job)
    first = console.start("logs", "-f", job, "--attempt", "1")
    for process in (every, first):
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"

    go_on.touch()

    assert every.communicate(timeout=PATIENCE_S)[0] == "2\n"
    assert first.communicate(timeout=PATIENCE_S)[0] == ""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("ELSEWHERE",), 1, "the job runs elsewhere"),
        (("HELD",), 1, "stdout"),
        (("HELD", "../stderr"), 1, "not a path in the job's directory"),
        (("HELD", "--stderr", "--both"), 2, "choose one"),
        (("HELD", "--both", "stdout"), 2, "choose one"),
        (("HELD", "--json"), 2, "never as JSON"),
        (("HELD", "--attempt", "7"), 1, "attempt"),
        ((str(uuid.uuid4()),), 1, "there is no job with this id"),
    ],
)
def test_what_cannot_be_read_is_said(
    console: Console, arguments: tuple[str, ...], code: int, said: str
) -> None:
    first, *rest = arguments
    if first == "ELSEWHERE":
        first = console.job()
    elif first == "HELD":
        first = console.submitted("true", hold=True)

    failed = logs(console, first, *rest)

    assert failed.returncode == code
    assert said in failed.stderr.decode()
    assert b"Traceback" not in failed.stderr
    assert failed.stdout == b""


@pytest.mark.parametrize(
    ("content", "lines", "last"),
    [
        (b"a\nb\nc\n", 2, b"b\nc\n"),
        (b"a\nb\nc", 2, b"b\nc"),
        (b"a\n\n\n", 2, b"\n\n"),
        (b"a\nb\n", 5, b"a\nb\n"),
        (b"a\nb\n", 0, b""),
        (b"a\nb", 0, b""),
        (b"", 3, b""),
    ],
)
def test_lines_are_counted_from_the_end(content: bytes, lines: int, last: bytes) -> None:
    assert last_lines(content, lines) == last


def entry(seq: int, name: str, state: str, outcome: JobOutcome | None = None) -> EntryView:
    """Return an applied entry."""
    return EntryView(
        seq=seq,
        id=EventId(str(seq)),
        job=_JOB,
        name=name,
        state=state,
        outcome=outcome,
        applied=True,
        reason=None,
        data=Raw(b"null"),
        source=None,
        received=datetime.now(UTC),
        occurred=None,
    )


def test_the_progress_of_a_job_knows_its_attempts_and_its_end() -> None:
    progress = JobProgress()
    told = []
    for number, (name, state, outcome) in enumerate(
        (
            ("create", "CREATED", None),
            ("run", "RUNNING", None),
            ("fail", "RETRYING", None),
            ("hold", "RETRYING", None),
            ("run", "RUNNING", None),
            ("finish", "FINISHED", "success"),
        ),
        1,
    ):
        progress.apply(entry(number, name, state, outcome))  # type: ignore[arg-type]
        told.append(
            (progress.attempt, progress.has_started(2), progress.is_over(1), progress.has_ended)
        )

    assert told == [
        (1, False, False, False),
        (1, False, False, False),
        (2, False, True, False),
        (2, False, True, False),
        (2, True, True, False),
        (2, True, True, True),
    ]


@pytest.mark.parametrize("ranges", [True, False])
async def test_a_file_is_read_on_at_the_byte_where_the_connection_broke_off(ranges: bool) -> None:
    content = bytes(range(256)) * 40
    asked: list[str | None] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        wanted = request.headers.get("Range")
        asked.append(wanted)
        start = int(wanted.removeprefix("bytes=")[:-1]) if wanted and ranges else 0
        response = web.StreamResponse(status=206 if start else 200)
        await response.prepare(request)
        if len(asked) <= 3:
            await response.write(content[start : start + len(asked) * 1_000])
            assert request.transport is not None
            request.transport.close()  # when what was written is sent
        else:
            await response.write(content[start:])
        return response

    async with serving(serve) as url, Client(url) as jobwire:
        read = [chunk async for chunk in jobwire.read_file(_JOB, "stdout", follow=True)]

    assert b"".join(read) == content
    assert asked[0] is None
    assert asked[1] == "bytes=1000-"
    assert len(asked) == 4


async def test_a_file_that_ends_before_the_place_has_no_more() -> None:
    async def serve(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=416, headers={"Content-Range": "bytes */5"})

    async with serving(serve) as url, Client(url) as jobwire:
        assert [chunk async for chunk in jobwire.read_file(_JOB, "stdout", start=5)] == []


async def test_a_path_that_a_url_would_resolve_is_refused() -> None:
    async with Client("http://127.0.0.1:1") as jobwire:
        for path in ("../history", "a/../../x", "a//b", "", "./a"):
            with pytest.raises(Invalid, match="not a path in the job's directory"):
                await jobwire.tail_file(_JOB, path, 3)


@asynccontextmanager
async def serving(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[str]:
    """Serve every file with a handler; return the address."""
    app = web.Application()
    app.router.add_get("/v1/jobs/{id}/files/{path:.+}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()

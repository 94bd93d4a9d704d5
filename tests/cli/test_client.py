"""The Python SDK against a real service that goes away and comes back."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from jobwire import (
    Client,
    Conflict,
    Invalid,
    JobwireError,
    NewEvent,
    NotFound,
    OutcomeView,
    Unauthorized,
    Unavailable,
)
from jobwire.schemas.lifecycles import PIPELINE
from tests.cli.console import Console


def _key(console: Console) -> str:
    return (console.folder / "api-key").read_text().strip()


def _url(console: Console) -> str:
    return str(console.run("doctor", "--json").records[-2]["text"].split()[2])


@pytest.fixture(scope="module")
def url(console: Console) -> str:
    """Return where the shared service answers."""
    return _url(console)


async def test_a_job_is_made_followed_and_deleted(console: Console, url: str) -> None:
    async with Client(url, _key(console)) as jobwire:
        made = await jobwire.create_job(name="sdk", tags=["x"], data={"n": 1})
        settled = await jobwire.post_event(made.id, "run", data={"p": 0.1}, wait_s=5)
        with pytest.raises(Conflict) as refused:
            await jobwire.post_event(made.id, "indexed", wait_s=5)
        job = await jobwire.job(made.id)
        history = [entry async for entry in jobwire.history(made.id, page=1)]
        async with aclosing(jobwire.stream(made.id)) as stream:
            streamed = [await anext(stream) for _ in range(3)]
        await jobwire.delete(made.id, force=True)
        with pytest.raises(NotFound):
            await jobwire.job(made.id)

    assert isinstance(settled, OutcomeView)
    assert (settled.applied, settled.state, settled.seq) == (True, "RUNNING", 2)
    assert refused.value.code == "wrong_state"
    assert (job.name, job.tags, bytes(job.data)) == ("sdk", ("x",), b'{"n":1}')
    assert history == streamed
    assert [entry.applied for entry in history] == [True, True, False]


async def test_jobs_are_listed_over_pages(console: Console, url: str) -> None:
    async with Client(url, _key(console)) as jobwire:
        made = [(await jobwire.create_job(tags=["pages"])).id for _ in range(5)]

        listed = [job.id async for job in jobwire.jobs(tag="pages", page=2)]

    assert listed == made[::-1]


async def test_many_events_are_posted_in_order(console: Console, url: str) -> None:
    async with Client(url, _key(console)) as jobwire:
        job = (await jobwire.create_job()).id
        events = [NewEvent(uuid=job, name="update", data=number) for number in range(2_500)]

        results = await jobwire.post_events([NewEvent(uuid=job, name="run"), *events], wait_s=20)
        mixed = await jobwire.post_events([NewEvent(uuid="nonsense", name="run")])
        history = [entry async for entry in jobwire.history(job)]

    assert {200} == {result.status for result in results}
    assert [result.line for result in results] == list(range(1, 2_502))
    assert [int(bytes(entry.data)) for entry in history[2:]] == list(range(2_500))
    assert mixed[0].status == 422


async def test_errors_are_those_of_the_service(console: Console, url: str) -> None:
    async with Client(url, _key(console)) as jobwire:
        with pytest.raises(Invalid) as wrong:
            await jobwire.create_job(lifecycle="nope")
    async with Client(url, "jwk_abcdefghij_" + "x" * 32) as stranger:
        with pytest.raises(Unauthorized):
            await stranger.stats()

    assert (wrong.value.code, wrong.value.pointer) == ("unknown_lifecycle", "/lifecycle")


async def test_the_rest_of_the_api_is_there(console: Console, url: str) -> None:
    async with Client(url, _key(console)) as jobwire:
        job = (await jobwire.create_job()).id
        rotated = await jobwire.rotate_token(job, overlap_s=5)
        await jobwire.revoke_tokens(job)
        key = await jobwire.create_key("bob", scopes=("read",))
        await jobwire.revoke_key(key.id)
        await jobwire.check_ready()

        assert rotated.previous_valid_for_s == 5
        listed = [each.id async for each in jobwire.keys()]  # noqa: SIM118 - no dict
        assert key.id in listed
        assert PIPELINE in [each async for each in jobwire.lifecycles()]
        assert await jobwire.lifecycle("pipeline") == PIPELINE
        assert [each async for each in jobwire.refused()] == []
        assert (await jobwire.stats()).jobs > 0


async def test_nobody_there_is_said_with_what_to_do() -> None:
    async with Client("http://127.0.0.1:1", "k", patience_s=0) as jobwire:
        with pytest.raises(Unavailable, match="start the service with `jobwire up`"):
            await jobwire.post_event("2f1c6c1e-7f43-4c0e-9a51-0d6a3c1f5a10", "run")


async def test_what_is_no_jobwire_is_said(console: Console, url: str) -> None:
    async with Client(f"{url}/elsewhere", _key(console)) as jobwire:
        with pytest.raises(NotFound, match="there is nothing at"):
            await jobwire.stats()
    async with Client("http://", "k") as jobwire:
        with pytest.raises(JobwireError, match="is not the URL of a service"):
            await jobwire.stats()


async def test_an_event_outlives_the_service_and_counts_once(bare: Console) -> None:
    process, ready = bare.up()
    port = ready["url"].rpartition(":")[2]
    is_retrying = asyncio.Event()
    async with Client(
        ready["url"], _key(bare), patience_s=30, on_retry=lambda _error, _s: is_retrying.set()
    ) as jobwire:
        job = (await jobwire.create_job()).id
        process.kill()
        await asyncio.to_thread(process.wait)

        posting = asyncio.create_task(jobwire.post_event(job, "run", wait_s=5))
        many = asyncio.create_task(
            jobwire.post_events([NewEvent(uuid=job, name="update", id=f"u{n}") for n in range(9)])
        )
        await is_retrying.wait()
        await asyncio.to_thread(bare.up, "--port", port)
        await asyncio.gather(posting, many)
        history = [entry.name async for entry in jobwire.history(job)]

    assert sorted(history) == ["create", "run", *["update"] * 9]


async def test_an_event_that_was_stored_without_an_answer_counts_once(bare: Console) -> None:
    _, ready = bare.up(JOBWIRE_FAILPOINTS="gateway.before_answer=kill@2")
    port = ready["url"].rpartition(":")[2]
    async with Client(ready["url"], _key(bare)) as jobwire:
        job = (await jobwire.create_job()).id

        posting = asyncio.create_task(jobwire.post_event(job, "run", wait_s=5))
        await asyncio.to_thread(bare.processes[0].wait)
        await asyncio.to_thread(bare.up, "--port", port)
        settled = await posting
        history = [entry.name async for entry in jobwire.history(job)]

    assert isinstance(settled, OutcomeView)
    assert settled.duplicate
    assert history == ["create", "run"]


async def test_a_stream_has_no_gap_and_no_repetition_over_a_restart(bare: Console) -> None:
    process, ready = bare.up()
    port = ready["url"].rpartition(":")[2]
    seen: list[int] = []

    async def follow(job: str) -> None:
        async for entry in jobwire.stream(job):
            seen.append(entry.seq)
            if entry.name == "finish":
                return

    async with Client(ready["url"], _key(bare)) as jobwire:
        job = (await jobwire.create_job()).id
        following = asyncio.create_task(follow(job))
        await jobwire.post_events([NewEvent(uuid=job, name="run")] * 1)
        await jobwire.post_events([NewEvent(uuid=job, name="update") for _ in range(200)])
        process.kill()
        await asyncio.to_thread(process.wait)
        await asyncio.to_thread(bare.up, "--port", port)
        await jobwire.post_events([NewEvent(uuid=job, name="update") for _ in range(200)])
        await jobwire.post_event(job, "finish")
        await asyncio.wait_for(following, 30)

    assert seen == list(range(1, 404))


async def test_a_key_may_end_with_the_line_of_its_file(console: Console, url: str) -> None:
    async with Client(url, f"{_key(console)}\n") as jobwire:
        assert (await jobwire.create_job(name="n")).id


@pytest.mark.parametrize("wrong", ["127.0.0.1:8640", "", "ftp://127.0.0.1"])
def test_a_url_without_http_is_refused_before_anything_is_tried(wrong: str) -> None:
    with pytest.raises(Invalid, match="is not the URL of a service"):
        Client(wrong, "jwk_x")

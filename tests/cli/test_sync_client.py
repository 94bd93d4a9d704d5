"""The synchronous SDK against a real service: the same verbs, the same answers, no event loop."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, Self

import pytest

from jobwire import (
    Client,
    Conflict,
    JobwireError,
    NewEvent,
    NotFound,
    OutcomeView,
    SyncClient,
    Unavailable,
)
from jobwire.actors.client.loop_thread import LoopThread
from tests.cli.console import Console
from tests.support.deadlines import until


def _client(console: Console, **options: Any) -> SyncClient:
    key = (console.folder / "api-key").read_text().strip()
    text = console.run("doctor", "--json").records[-2]["text"]
    return SyncClient(str(text.split()[2]), key, **options)


def _place(thread: threading.Thread) -> str:
    """Return the name of the function in which a thread is."""
    return sys._current_frames()[thread.ident or 0].f_code.co_name


def _verbs(kind: type) -> dict[str, Callable[..., Any]]:
    return {
        name: verb
        for name, verb in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


def test_it_has_every_verb_of_the_async_client_with_its_signature_and_words() -> None:
    sync, asynchronous = _verbs(SyncClient), _verbs(Client)

    assert sync.keys() == asynchronous.keys()
    assert len(sync) > 35
    for name, verb in sync.items():
        assert (
            inspect.signature(verb).parameters == inspect.signature(asynchronous[name]).parameters
        )
        assert verb.__doc__
        assert not inspect.iscoroutinefunction(verb)


def test_a_job_is_made_followed_and_deleted(console: Console) -> None:
    with _client(console) as jobwire:
        made = jobwire.create_job(name="sync", tags=["sync"], data={"n": 1})
        settled = jobwire.post_event(made.id, "run", wait_s=5)
        with pytest.raises(Conflict) as refused:
            jobwire.post_event(made.id, "indexed", wait_s=5)
        results = jobwire.post_events([NewEvent(uuid=made.id, name="update") for _ in range(3)])
        with closing(jobwire.stream(made.id)) as stream:
            streamed = [next(stream) for _ in range(6)]
        history = list(jobwire.history(made.id, page=2))
        listed = [job.name for job in jobwire.jobs(tag="sync")]
        jobwire.delete(made.id, force=True)
        with pytest.raises(NotFound):
            jobwire.job(made.id)

    assert isinstance(settled, OutcomeView)
    assert refused.value.code == "wrong_state"
    assert [result.status for result in results] == [202] * 3
    assert [entry.seq for entry in streamed] == [1, 2, 3, 4, 5, 6]
    assert history == streamed
    assert listed == ["sync"]


def test_the_output_of_a_job_is_read_while_it_is_written(console: Console) -> None:
    with _client(console) as jobwire:
        job = jobwire.create_job(spec={"argv": ["sh", "-c", "echo one; echo two"]})

        output = b"".join(jobwire.read_file(job.id, "stdout", follow=True))
        tail = jobwire.tail_file(job.id, "stdout", 1)

    assert output == b"one\ntwo\n"
    assert tail.content == b"two\n"


def test_threads_share_one(console: Console) -> None:
    with _client(console) as jobwire, ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: jobwire.create_job(name=f"t{n}").id, range(16)))

    assert len(set(made)) == 16


async def test_it_works_inside_a_running_event_loop(console: Console) -> None:
    with _client(console) as jobwire:
        assert jobwire.stats().jobs >= 0


def test_one_that_is_closed_says_so_and_can_be_opened_again(console: Console) -> None:
    jobwire = _client(console)
    with pytest.raises(JobwireError, match=r"with SyncClient\(...\) as jobwire") as unopened:
        jobwire.stats()
    with jobwire:
        stream = jobwire.stream()
    with pytest.raises(JobwireError, match="is closed"):
        next(stream)
    jobwire.open()
    jobwire.check_ready()
    jobwire.close()
    jobwire.close()

    assert unopened.value.code == "not_open"
    assert "jobwire-client" not in {thread.name for thread in threading.enumerate()}


def test_a_stream_that_is_left_open_ends_with_the_client(console: Console) -> None:
    with _client(console) as jobwire:
        job = jobwire.create_job().id
        stream = jobwire.stream(job)
        next(stream)

    with pytest.raises(JobwireError, match="is closed"):
        next(stream)


def test_a_call_out_of_on_retry_is_refused_and_does_not_wait_for_itself() -> None:
    refused: list[JobwireError] = []

    def on_retry(_error: JobwireError, _pause_s: float) -> None:
        try:
            jobwire.stats()
        except JobwireError as error:
            refused.append(error)

    with (
        SyncClient("http://127.0.0.1:1", patience_s=0.5, on_retry=on_retry) as jobwire,
        pytest.raises(JobwireError, match="nothing answers"),
    ):
        jobwire.cancel("2f1c6c1e-7f43-4c0e-9a51-0d6a3c1f5a10")

    assert "on_retry" in refused[0].detail


def test_ctrl_c_ends_a_wait_and_what_is_waited_for() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    loop = LoopThread()
    ended = threading.Event()

    async def wait() -> None:
        await until(lambda: _place(threading.main_thread()) == "wait")
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    with pytest.raises(KeyboardInterrupt):
        loop.run(wait())

    assert ended.wait(5)
    loop.close()
    signal.signal(signal.SIGINT, before)


def test_a_generator_that_nobody_reads_on_is_closed() -> None:
    loop = LoopThread()
    closed = threading.Event()

    async def count() -> AsyncGenerator[int, None]:
        try:
            for number in range(10):
                yield number
        finally:
            closed.set()

    items = loop.iterate(count())
    first = next(items)
    del items

    assert first == 0
    assert closed.wait(5)
    assert list(loop.iterate(count())) == list(range(10))
    loop.close()


class _Fragile(Client):
    """Cannot be opened before it is mended."""

    is_mended = False

    async def open(self) -> Self:
        """Open the connections, and fail after that."""
        await super().open()
        if not self.is_mended:
            raise Unavailable("no connection")
        return self


def test_an_open_that_fails_leaves_no_thread_and_may_be_tried_again() -> None:
    jobwire = SyncClient("http://127.0.0.1:1", patience_s=0.1)
    jobwire._client = fragile = _Fragile("http://127.0.0.1:1", patience_s=0.1)

    with pytest.raises(Unavailable, match="no connection"):
        jobwire.open()
    after = {thread.name for thread in threading.enumerate()}
    with pytest.raises(JobwireError) as unopened:
        jobwire.stats()
    fragile.is_mended = True
    with jobwire, pytest.raises(Unavailable, match="nothing answers"):
        jobwire.stats()

    assert "jobwire-client" not in after
    assert unopened.value.code == "not_open"


def test_a_call_that_runs_while_the_client_is_closed_says_so() -> None:
    loop = LoopThread()
    began = threading.Event()

    async def wait() -> None:
        began.set()
        await asyncio.sleep(60)

    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(loop.run, wait())
        assert began.wait(5)
        loop.close()
        with pytest.raises(JobwireError, match="is closed: this call was not finished") as ended:
            call.result(5)

    assert ended.value.code == "not_open"


@pytest.mark.filterwarnings("ignore:This process.*fork:DeprecationWarning")
def test_after_a_fork_the_child_can_close_the_client_and_open_it_again() -> None:
    with SyncClient("http://127.0.0.1:1", patience_s=0.1) as jobwire:
        with pytest.raises(Unavailable):
            jobwire.stats()
        child = os.fork()
        if child == 0:
            try:
                jobwire.close()
                with jobwire:
                    jobwire.stats()
            except Unavailable:
                os._exit(7)
            finally:
                os._exit(9)
        code = _exit_code(child)
        with pytest.raises(Unavailable):
            jobwire.stats()

    assert code == 7


def _exit_code(child: int) -> int:
    """Wait for a child and return its exit code; one that hangs fails the test."""
    deadline = time.monotonic() + 20
    while (status := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    return os.waitstatus_to_exitcode(status[1])


@pytest.mark.filterwarnings("ignore:This process.*fork:DeprecationWarning")
def test_after_a_fork_the_child_is_told_to_open_its_own() -> None:
    loop = LoopThread()
    child = os.fork()
    if child == 0:
        try:
            loop.run(asyncio.sleep(0))
        except JobwireError as error:
            os._exit(7 if "fork" in error.detail else 8)
        os._exit(9)

    assert _exit_code(child) == 7
    loop.close()

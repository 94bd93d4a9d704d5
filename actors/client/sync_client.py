"""
The Python SDK for programs without an event loop.

    with SyncClient("http://127.0.0.1:8640", api_key) as jobwire:
        job = jobwire.create_job(name="fit", spec={"argv": ["./fit"]})
        for entry in jobwire.stream(job.id):
            print(entry.name, entry.state)

Every verb is the one of `Client`, which runs in a thread of its own: what has to be awaited there
returns here when it is done, and streams are plain iterators.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from functools import partial, wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from jobwire.actors.client.client import Client
from jobwire.actors.client.connection import OnRetry
from jobwire.actors.client.loop_thread import LoopThread
from jobwire.schemas.errors import JobwireError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def _call(
    verb: Callable[Concatenate[Client, Arguments], Coroutine[Any, Any, Result]],
) -> Callable[Concatenate[SyncClient, Arguments], Result]:
    @wraps(verb)
    def run(self: SyncClient, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return self._loop.run(verb(self._client, *args, **kwargs))

    return run


def _iterate(
    verb: Callable[Concatenate[Client, Arguments], AsyncGenerator[Result, None]],
) -> Callable[Concatenate[SyncClient, Arguments], Generator[Result, None, None]]:
    @wraps(verb)
    def run(
        self: SyncClient, /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Generator[Result, None, None]:
        return self._loop.iterate(verb(self._client, *args, **kwargs))

    return run


class SyncClient:
    """
    One service, seen by one caller that waits for each answer.

    Threads may share one. `on_retry` is called in the client's own thread.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        patience_s: float = 60.0,
        on_retry: OnRetry | None = None,
    ) -> None:
        """Call the service at `url`; repeat what is safe to repeat for at most `patience_s`."""
        self._make = partial(Client, url, api_key, patience_s=patience_s, on_retry=on_retry)
        self._client = self._make()
        self._inherited: Client | None = None
        self._thread: LoopThread | None = None

    def open(self) -> Self:
        """Open the connections; `with` does it too."""
        if self._thread is None:
            thread = LoopThread()
            try:
                thread.run(self._client.open())
            except BaseException:
                self._end(thread)
                raise
            self._thread = thread
        return self

    def close(self) -> None:
        """Close the connections; streams that are read end."""
        if self._thread is None:
            return
        if self._thread.is_alive:
            self._end(self._thread)
        else:
            # After a fork, the connections are the parent's. They are kept: when they are
            # collected, they leave the event loop, which the two processes share in the kernel.
            self._inherited, self._client = self._client, self._make()
        self._thread = None

    def _end(self, thread: LoopThread) -> None:
        thread.run(self._client.close())
        thread.close()

    def __enter__(self) -> Self:
        """Open the connections."""
        return self.open()

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self.close()

    @property
    def _loop(self) -> LoopThread:
        if self._thread is None:
            detail = "open the client first: with SyncClient(...) as jobwire"
            raise JobwireError(detail, code="not_open")
        return self._thread

    create_job = _call(Client.create_job)
    submit = _call(Client.submit)
    job = _call(Client.job)
    jobs = _iterate(Client.jobs)
    history = _iterate(Client.history)
    stream = _iterate(Client.stream)
    delete = _call(Client.delete)
    rotate_token = _call(Client.rotate_token)
    revoke_tokens = _call(Client.revoke_tokens)
    stats = _call(Client.stats)

    post_event = _call(Client.post_event)
    post_events = _call(Client.post_events)
    refused = _iterate(Client.refused)
    replay = _call(Client.replay)

    cancel = _call(Client.cancel)
    hold = _call(Client.hold)
    release = _call(Client.release)
    control_many = _call(Client.control_many)
    retry = _call(Client.retry)

    files = _iterate(Client.files)
    read_file = _iterate(Client.read_file)
    tail_file = _call(Client.tail_file)

    deliveries = _iterate(Client.deliveries)
    delivery = _call(Client.delivery)
    redeliver = _call(Client.redeliver)
    recover_deliveries = _call(Client.recover_deliveries)

    lifecycles = _iterate(Client.lifecycles)
    lifecycle = _call(Client.lifecycle)
    register_lifecycle = _call(Client.register_lifecycle)
    keys = _iterate(Client.keys)
    create_key = _call(Client.create_key)
    revoke_key = _call(Client.revoke_key)
    check_ready = _call(Client.check_ready)

    request = _call(Client.request)
    pages = _iterate(Client.pages)

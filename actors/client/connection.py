"""HTTP with one service: answers become records, failures errors, and what is safe is repeated."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import aiohttp
import msgspec

from jobwire.schemas.backoff import backoff_s
from jobwire.schemas.errors import Invalid, JobwireError, TooManyRequests, Unavailable
from jobwire.schemas.problems import error_of

Answer = TypeVar("Answer")

OnRetry = Callable[[JobwireError, float], None]
"""Told why a call is tried again, and in how many seconds."""

#: First and longest pause between two tries, where the service does not say when to come back.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
#: Longest time for one answer; waiting for an outcome comes on top.
_ANSWER_S = 30.0
#: The service gives a sign of life every 15 s on a quiet stream; after so long it has gone.
_SILENCE_S = 45.0
_LOWEST_FAILURE = 400
#: A part of a file, as asked for; and that the file ends before it.
_PARTIAL, _NOTHING_THERE = 206, 416
#: Longest line of a stream: an entry with all its data.
_LINE_BYTES = 4 * 1_048_576


class Call(NamedTuple):
    """One request."""

    method: str
    path: str
    body: bytes | None = None
    content_type: str = "application/json"
    query: Mapping[str, str] | None = None
    headers: Mapping[str, str] | None = None
    waits_s: float = 0.0
    """How long the service was asked to wait before it answers."""


class HttpAnswer(NamedTuple):
    """What the service answered."""

    status: int
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})

    def read(self, shape: type[Answer]) -> Answer:
        """Read the body; what a newer service added is left out."""
        try:
            return msgspec.json.decode(self.body, type=shape)
        except msgspec.DecodeError as error:
            detail = f"this release cannot read the answer ({error}); check the URL"
            raise JobwireError(detail, code="not_jobwire") from error


class RetryPause:
    """Determines the pause before each next try."""

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        """Begin with the shortest pause; `jitter` gives numbers from 0 to 1."""
        self._jitter = jitter
        self._tries = 0

    def pause_s(self, error: JobwireError) -> float:
        """Return the next pause: what the service asked for, else a growing one with jitter."""
        pause_s = backoff_s(self._tries, _FIRST_PAUSE_S, _LONGEST_PAUSE_S, self._jitter())
        self._tries += 1
        return (error.retry_after_s or 0.0) + pause_s

    def reset(self) -> None:
        """Begin anew after a success."""
        self._tries = 0


class Connection:
    """The connections to one service."""

    def __init__(
        self, url: str, api_key: str | None, patience_s: float, on_retry: OnRetry | None
    ) -> None:
        """
        Prepare; nothing is opened yet.

        Raises:
            Invalid: `url` has no scheme, or the API key is not one line.

        """
        if not url.startswith(("http://", "https://")):
            detail = f"{url!r} is not the URL of a service, such as http://127.0.0.1:8640"
            raise Invalid(detail, pointer="url")
        key = api_key.strip() if api_key else None  # files of keys end with a new line
        if key is not None and not key.isprintable():
            raise Invalid("an API key is one line, such as jwk_...", pointer="api_key")
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._patience_s = patience_s
        self._on_retry = on_retry
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the pool of connections."""
        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._headers)

    async def close(self) -> None:
        """Close all of them."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(self, call: Call) -> HttpAnswer:
        """
        Send a request once.

        Raises:
            JobwireError: the one that the service answered.
            Unavailable: nobody answered.

        """
        limits = aiohttp.ClientTimeout(total=_ANSWER_S + call.waits_s)
        async with self._answer(call, limits) as response:
            body = await response.read()
        if response.status == _NOTHING_THERE:
            return HttpAnswer(response.status, b"")
        if response.status >= _LOWEST_FAILURE:
            raise error_of(response.status, body, response.headers.get("Retry-After"))
        return HttpAnswer(response.status, body, response.headers)

    async def insist(self, call: Call) -> HttpAnswer:
        """Send a request that may be repeated, until it is answered or `patience_s` has passed."""
        backoff = RetryPause()
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                return await self.call(call)
            except JobwireError as error:
                pause_s = backoff.pause_s(error)
                if not is_temporary(error) or time.monotonic() + pause_s > deadline:
                    raise
                await self.pause(error, pause_s)

    async def pause(self, error: JobwireError, pause_s: float) -> None:
        """Report the reason to `on_retry`, and wait."""
        if self._on_retry is not None:
            self._on_retry(error, pause_s)
        await asyncio.sleep(pause_s)

    async def lines(self, call: Call) -> AsyncIterator[bytes]:
        """
        Yield the lines of an answer as they come; ends when the service ends it.

        Raises:
            JobwireError: as `call`.

        """
        limits = aiohttp.ClientTimeout(total=None, sock_connect=_ANSWER_S, sock_read=_SILENCE_S)
        async with self._answer(call, limits) as response:
            if response.status >= _LOWEST_FAILURE:
                body = await response.read()
                raise error_of(response.status, body, response.headers.get("Retry-After"))
            while line := await response.content.readline(max_line_length=_LINE_BYTES):
                yield line

    async def part(self, call: Call, start: int) -> AsyncIterator[bytes]:
        """
        Yield the bytes of an answer from `start` on, as they come; none where it ends before.

        Raises:
            JobwireError: as `call`; with the code `silent` where nothing came for long.

        """
        headers = {**(call.headers or {}), "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        limits = aiohttp.ClientTimeout(total=None, sock_connect=_ANSWER_S, sock_read=_SILENCE_S)
        async with self._answer(call._replace(headers=headers), limits) as response:
            if response.status == _NOTHING_THERE:
                return
            if response.status >= _LOWEST_FAILURE:
                body = await response.read()
                raise error_of(response.status, body, response.headers.get("Retry-After"))
            before = 0 if response.status == _PARTIAL else start
            async for chunk in response.content.iter_any():
                yield chunk[before:]
                before = max(before - len(chunk), 0)

    @asynccontextmanager
    async def _answer(
        self, call: Call, limits: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            detail = "open the client first: async with Client(...) as jobwire"
            raise JobwireError(detail, code="not_open")
        headers = {**(call.headers or {})}
        if call.body is not None:
            headers["Content-Type"] = call.content_type
        try:
            async with self._session.request(
                call.method,
                self.url + call.path,
                params=call.query,
                data=call.body,
                headers=headers,
                timeout=limits,
            ) as response:
                yield response
        except aiohttp.ClientConnectorError as error:
            detail = (
                f"nothing answers at {self.url}; start the service with `jobwire up`, "
                "or set JOBWIRE_URL to its URL"
            )
            raise Unavailable(detail, code="no_service") from error
        except aiohttp.InvalidURL as error:
            raise JobwireError(
                f"{self.url!r} is not the URL of a service", code="wrong_url"
            ) from error
        except aiohttp.SocketTimeoutError as error:
            raise Unavailable(f"{self.url} has sent nothing for too long", code="silent") from error
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            detail = f"the connection to {self.url} was lost before the answer; try again"
            raise Unavailable(detail, code="connection_lost") from error


def is_temporary(error: JobwireError) -> bool:
    """Return whether the same request may succeed later."""
    if isinstance(error, TooManyRequests):
        return error.retry_after_s is not None
    return isinstance(error, Unavailable)

"""A small receiver of callbacks on loopback that answers as a test wants it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec
from aiohttp import web
from standardwebhooks import Webhook

from tests.support.deadlines import PATIENCE_S, until

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Received(NamedTuple):
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    method: str = "POST"

    @property
    def id(self) -> str:
        """The id of the message."""
        return self.headers["webhook-id"]

    @property
    def timestamp(self) -> str:
        """The time of the try."""
        return self.headers["webhook-timestamp"]

    @property
    def news(self) -> Any:
        """What it tells."""
        return msgspec.json.decode(self.body)["data"]

    def verified(self, secret: str) -> Any:
        """Verify it as any receiver would; return its JSON."""
        return Webhook(secret).verify(self.body, self.headers)


class Receiver:
    """Keeps what came; answers 200, or what it was told to, one answer after the other."""

    def __init__(self) -> None:
        """Have received nothing."""
        self.received: list[Received] = []
        self.answers: list[int | Answer] = []
        self.always: int | Answer = 200
        self.in_hand = 0
        self.most_in_hand = 0
        self.port = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        """The ids of what came, in order."""
        return [each.id for each in self.received]

    async def wait(self, count: int, within_s: float = PATIENCE_S) -> Sequence[Received]:
        """Return what came when it is so much."""
        await until(lambda: len(self.received) >= count, within_s)
        return self.received

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Received(request.path, headers, body, request.method))
        answer = self.answers.pop(0) if self.answers else self.always
        self.in_hand += 1
        self.most_in_hand = max(self.most_in_hand, self.in_hand)
        try:
            return web.Response(status=answer) if isinstance(answer, int) else await answer(request)
        finally:
            self.in_hand -= 1


@asynccontextmanager
async def receiving(port: int = 0) -> AsyncIterator[Receiver]:
    """Run a receiver."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        await runner.cleanup()


async def hang(_request: web.Request) -> web.StreamResponse:
    """Answer never."""
    await asyncio.sleep(3_600)
    raise AssertionError


async def reset(request: web.Request) -> web.StreamResponse:
    """Break the connection off."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def endless(status: int = 200) -> Answer:
    """Answer with a body that has no end."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)

    return answer


def with_headers(status: int, **headers: str) -> Answer:
    """Answer with headers; `_` in their names stands for `-`."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, headers=named)

    return answer

"""The bare limit of HTTP: an aiohttp handler that only decodes the same event and answers."""

from __future__ import annotations

import asyncio
import sys

import msgspec
import uvloop
from aiohttp import web


class Event(msgspec.Struct):
    """The event of the load."""

    uuid: str
    name: str
    token: str
    id: str
    data: msgspec.Raw


_decoder = msgspec.json.Decoder(Event)


async def handle(request: web.Request) -> web.Response:
    """Decode one event."""
    event = _decoder.decode(await request.read())
    return web.Response(
        body=msgspec.json.encode({"id": event.id, "uuid": event.uuid}),
        status=202,
        headers={"Content-Type": "application/json"},
    )


async def take(request: web.Request) -> web.Response:
    """Take a callback."""
    await request.read()
    return web.Response(status=204)


async def serve(port: int) -> None:
    """Serve until killed."""
    app = web.Application()
    app.router.add_post("/v1/events", handle)
    app.router.add_post("/callback", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))

"""A receiver of callbacks: verifies every signature and remembers what came."""

from __future__ import annotations

import base64
from collections import defaultdict
from typing import Any

import msgspec
from aiohttp import web
from standardwebhooks import Webhook

#: What every callback of these tests is signed with.
SECRET = "whsec_" + base64.b64encode(b"a secret of the fault tests only").decode()


class Receiver:
    """Listens on loopback; answers what it is told to."""

    def __init__(self) -> None:
        """Answer 204 from the start."""
        self.status = 204
        self.messages: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
        """What came for each job: the id and the exact bytes of each message, again and again."""
        self.forged = 0
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen on a free port."""
        app = web.Application()
        app.router.add_post("/", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    def told(self, job: str) -> set[int]:
        """Return the seqs of the entries that were told of a job."""
        return {msgspec.json.decode(body)["data"]["seq"] for _, body in self.messages[job]}

    def contradictions(self, job: str) -> list[str]:
        """Name the ids that came with different bytes, and the entries that came with two ids."""
        bodies: dict[str, set[bytes]] = defaultdict(set)
        ids: dict[int, set[str]] = defaultdict(set)
        for message, body in self.messages[job]:
            bodies[message].add(body)
            ids[msgspec.json.decode(body)["data"]["seq"]].add(message)
        return [
            *(f"{message}: other bytes" for message, seen in bodies.items() if len(seen) > 1),
            *(f"entry {seq}: several ids" for seq, seen in ids.items() if len(seen) > 1),
        ]

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {key.lower(): value for key, value in request.headers.items()}
        try:
            content: Any = Webhook(SECRET).verify(body, headers)
        except Exception:  # noqa: BLE001 - whatever the library says of it
            self.forged += 1
            return web.Response(status=400)
        self.messages[content["data"]["job"]].append((headers["webhook-id"], body))
        return web.Response(status=self.status)

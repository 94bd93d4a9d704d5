"""
A receiver that checks MAC Access Authentication, written from the draft alone.

Nothing of the service is used here, so that both cannot be wrong in the same way; the published
vectors are checked in its constructor.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web

_HEADER: Final = re.compile(r'MAC id="([^"]*)",ts="(\d+)",nonce="([^"]*)",mac="([^"]*)"')


def _mac(key: str, lines: list[str], digest: str = "sha1") -> str:
    text = "".join(line + "\n" for line in lines)
    code = hmac.new(key.encode("ascii"), text.encode("ascii"), getattr(hashlib, digest))
    return base64.b64encode(code.digest()).decode()


class MacReceiver:
    """Takes what is signed; challenges what is not, or everything once."""

    def __init__(
        self, key_id: str, key: str, *, challenges_first: bool, digest: str = "sha1"
    ) -> None:
        vector = ["1336363200", "dj83hs9s", "GET", "/resource/1?b=1&a=2", "example.com", "80", ""]
        assert _mac("489dks293j39", vector) == "6T3zZzy2Emppni6bzL7kdRxUWL4="
        self._id = key_id
        self._key = key
        self._digest = digest
        self._challenges_first = challenges_first
        self._bodies: set[bytes] = set()
        self.taken: list[Any] = []
        self.refused: list[str] = []
        self.nonces: list[str] = []
        self.challenged = 0

    @property
    def is_done(self) -> bool:
        return bool(self.taken) and bool(self.taken[-1]["done"])

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        said = request.headers.get("Authorization")
        is_new = body not in self._bodies
        self._bodies.add(body)
        if said is None or (self._challenges_first and is_new):
            self.challenged += 1
            return web.Response(status=401, headers={"WWW-Authenticate": "MAC"})
        found = _HEADER.fullmatch(said)
        if found is None:
            self.refused.append(said)
            return web.Response(status=401)
        key_id, ts, nonce, mac = found.groups()
        host, _, port = request.headers["Host"].partition(":")
        lines = [ts, nonce, request.method, request.raw_path, host, port or "80", ""]
        if key_id != self._id or mac != _mac(self._key, lines, self._digest):
            self.refused.append(said)
            return web.Response(status=401)
        self.nonces.append(nonce)
        self.taken.append(json.loads(body))
        return web.Response()

    @asynccontextmanager
    async def listening(self, port: int) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            yield
        finally:
            await runner.cleanup()

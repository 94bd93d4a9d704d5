"""The bytes of a file, read without a gap and without a repetition across lost connections."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from typing import Final, NamedTuple

from jobwire.actors.client.connection import Call, Connection, RetryPause, is_temporary
from jobwire.schemas.errors import JobwireError

#: How much of a file's end is read at first, and at most.
_FIRST_BYTES: Final = 65_536
_MOST_BYTES: Final = 67_108_864

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class Tail(NamedTuple):
    """The last lines of a file, and the byte after them: where a follower goes on."""

    content: bytes
    end: int


async def read_tail(connection: Connection, call: Call, lines: int) -> Tail:
    """Return the last lines of a file, at most 64 MiB of them."""
    size = _FIRST_BYTES
    while True:
        headers = {**(call.headers or {}), "Range": f"bytes=-{size}"}
        reply = await connection.insist(call._replace(headers=headers))
        found = _CONTENT_RANGE.fullmatch(reply.headers.get("Content-Range", ""))
        start = int(found[1]) if found else 0
        tail = Tail(last_lines(reply.body, lines), start + len(reply.body))
        if start == 0 or len(tail.content) < len(reply.body) or size >= _MOST_BYTES:
            return tail
        size = min(size * 8, _MOST_BYTES)


def last_lines(content: bytes, lines: int) -> bytes:
    """Return the last lines."""
    place = len(content) - content.endswith(b"\n")
    for _ in range(lines):
        place = content.rfind(b"\n", 0, place)
        if place < 0:
            return content
    return content[place + 1 :]


async def read_on(connection: Connection, call: Call, start: int) -> AsyncGenerator[bytes, None]:
    """
    Yield the bytes of a file from `start` on, up to its end, or to where the service ends them.

    A lost connection is made again at the byte where it broke off.
    """
    place = start
    backoff = RetryPause()
    while True:
        try:
            async for chunk in connection.part(call, place):
                backoff.reset()
                place += len(chunk)
                if chunk:
                    yield chunk
        except JobwireError as error:
            if error.code == "silent":
                continue  # a file may not grow for hours; whether anybody is there shows now
            if not is_temporary(error):
                raise
            await connection.pause(error, backoff.pause_s(error))
        else:
            return

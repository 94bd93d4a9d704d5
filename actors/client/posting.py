"""Many events in one request, each with an id, so that what failed can be sent again."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct, structs

from jobwire.actors.client.connection import Call, Connection, RetryPause
from jobwire.schemas.errors import Unavailable
from jobwire.schemas.views import LineResult

#: Events of one request.
_MOST_LINES = 1_000
#: For how long lines that could not be stored are sent again.
_PATIENCE_S = 60.0

_encode = msgspec.json.Encoder().encode
_decode_lines = msgspec.json.Decoder(LineResult).decode_lines


class NewEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event to post; one without an `id` is given one."""

    uuid: str
    name: str
    token: str | None = None
    data: Any = None  # any JSON
    id: str | None = None
    time: datetime | None = None
    source: str | None = None
    attempt: int | None = None


async def post_lines(
    connection: Connection, events: Sequence[NewEvent], wait_s: float | None
) -> list[LineResult]:
    """Post events as NDJSON; return their results in order, numbered from 1."""
    named = [structs.replace(event, id=event.id or secrets.token_hex(16)) for event in events]
    results: list[LineResult] = []
    for start in range(0, len(named), _MOST_LINES):
        results += await _post_all(connection, named[start : start + _MOST_LINES], wait_s)
    return [structs.replace(result, line=number) for number, result in enumerate(results, 1)]


async def _post_all(
    connection: Connection, events: Sequence[NewEvent], wait_s: float | None
) -> list[LineResult]:
    results: dict[int, LineResult] = {}
    pending = list(range(len(events)))
    backoff, deadline = RetryPause(), time.monotonic() + _PATIENCE_S
    while pending:
        answered = await _post_once(connection, [events[index] for index in pending], wait_s)
        results.update(zip(pending, answered, strict=True))
        waiting = {events[index].uuid for index in pending if _is_unstored(results[index])}
        pending = [
            index
            for index in pending
            if _is_unstored(results[index])
            or (results[index].code == "earlier_line_failed" and events[index].uuid in waiting)
        ]
        error = Unavailable(f"{len(pending)} events could not be stored yet")
        pause_s = backoff.pause_s(error)
        if not pending or time.monotonic() + pause_s > deadline:
            break
        await connection.pause(error, pause_s)
    return [results[index] for index in range(len(events))]


async def _post_once(
    connection: Connection, events: Sequence[NewEvent], wait_s: float | None
) -> list[LineResult]:
    body = b"".join(_encode(event) + b"\n" for event in events)
    query = {"wait": f"{wait_s:g}"} if wait_s else None
    call = Call(
        "POST", "/v1/events", body, "application/x-ndjson", query=query, waits_s=wait_s or 0.0
    )
    return _decode_lines((await connection.insist(call)).body)


def _is_unstored(result: LineResult) -> bool:
    """Return whether a line may be stored at the next try."""
    return result.status == Unavailable.status

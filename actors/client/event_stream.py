"""Server-sent events, read without a gap and without a repetition across lost connections."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import NamedTuple

import msgspec

from jobwire.actors.client.connection import Backoff, Call, Connection, is_temporary
from jobwire.schemas.errors import JobwireError, Unavailable
from jobwire.schemas.lifecycle import DELETE
from jobwire.schemas.views import EntryView

_decoder = msgspec.json.Decoder(EntryView)


class StreamItem(NamedTuple):
    """One server-sent event: a place to go on from, an entry, or both."""

    place: str | None
    entry: EntryView | None


async def follow(
    connection: Connection, call: Call, after: str | None
) -> AsyncGenerator[EntryView, None]:
    """
    Yield entries as they are committed, each once, for ever.

    A lost connection is made again where it broke off. The stream of one job ends when the job is
    deleted.
    """
    place = after
    # Entries after the last place are sent again when the connection breaks.
    unmarked: set[tuple[str, int]] = set()
    backoff = Backoff()
    while True:
        headers = {"Last-Event-ID": place} if place is not None else {}
        try:
            async for sent in _sent(connection, call._replace(headers=headers)):
                backoff.reset()
                entry = sent.entry
                is_fresh = entry is not None and (entry.job, entry.seq) not in unmarked
                if entry is not None:
                    unmarked.add((entry.job, entry.seq))
                if sent.place is not None:
                    place = sent.place
                    unmarked.clear()
                if entry is not None and is_fresh:
                    yield entry
                    if entry.name == DELETE and entry.applied and entry.job in call.path:
                        return
            error: JobwireError = Unavailable("the service ended the stream", code="stream_ended")
        except JobwireError as failure:
            if not is_temporary(failure):
                raise
            error = failure
        await connection.pause(error, backoff.pause_s(error))


async def _sent(connection: Connection, call: Call) -> AsyncGenerator[StreamItem, None]:
    place, data = None, b""
    async for line in connection.lines(call):
        field, _, value = line.rstrip(b"\r\n").partition(b":")
        value = value.removeprefix(b" ")
        if field == b"id":
            place = value.decode()
        elif field == b"data":
            data += value
        elif not line.strip() and (place is not None or data):
            yield StreamItem(place, _decoder.decode(data) if data else None)
            place, data = None, b""

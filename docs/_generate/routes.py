"""Every route of the service: what it takes and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from msgspec import Struct

from actors.dialects.native.events import EventBody, EventParameters
from actors.dialects.native.jobs import DeleteQuery, HistoryQuery, JobsQuery, RotateBody
from actors.dialects.native.records import ListQuery, VersionQuery
from actors.dialects.native.streams import StreamQuery
from actors.operations.jobs import JobRequest
from actors.operations.keys import KeyRequest
from schemas.lifecycle import Lifecycle
from schemas.principals import Scope
from schemas.views import (
    Accepted,
    CreatedView,
    EntryView,
    FullJobView,
    JobView,
    KeyView,
    LineResult,
    NewKeyView,
    RefusalView,
    RotatedView,
    Settled,
    StatsView,
)

JSON = "application/json"
NDJSON = "application/x-ndjson"


class Page(NamedTuple):
    """A page of a list of such records."""

    of: type[Struct]


class Content(NamedTuple):
    """What a request or an answer holds: a record, a page, or just text of a kind."""

    kind: str
    shape: type[Struct] | Page | None = None


class Route(NamedTuple):
    """One route."""

    method: str
    path: str
    summary: str
    scope: Scope | None
    answers: Mapping[int, Content | None]
    query: type[Struct] | None = None
    headers: tuple[str, ...] = ()
    bodies: tuple[Content, ...] = ()
    errors: tuple[int, ...] = ()
    token: bool = False
    """Whether the job's own token will do instead of an API key."""


class Live(Struct):
    """The process answers."""

    status: str


class Ready(Struct):
    """Whether the service can do its work, and the names of the parts that are missing."""

    status: str
    missing: tuple[str, ...]


#: Headers that routes read, and what for.
HEADERS: Mapping[str, str] = {
    "Idempotency-Key": "Makes a repetition harmless: the same key gives the same job or event.",
    "Prefer": "`wait=N` waits up to N seconds (at most 60) for the event's outcome.",
    "Last-Event-ID": "Where the stream goes on; `0` is before the first entry.",
}


def _json(shape: type[Struct] | Page) -> Content:
    return Content(JSON, shape)


_STREAM = Content("text/event-stream")

ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/v1/events",
        "Report one event, or many as NDJSON",
        "events",
        {200: _json(Settled), 202: _json(Accepted)},
        query=EventParameters,
        headers=("Prefer", "Idempotency-Key"),
        bodies=(_json(EventBody), Content(NDJSON, EventBody)),
        errors=(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503),
        token=True,
    ),
    Route(
        "POST",
        "/v1/jobs",
        "Make a job",
        "jobs",
        {201: _json(CreatedView)},
        headers=("Idempotency-Key",),
        bodies=(_json(JobRequest),),
        errors=(400, 401, 403, 408, 409, 413, 415, 422, 429, 503),
    ),
    Route(
        "GET",
        "/v1/jobs",
        "List jobs, newest first",
        "read",
        {200: _json(Page(JobView))},
        query=JobsQuery,
        errors=(400, 401, 403, 422, 429, 503),
    ),
    Route(
        "GET",
        "/v1/jobs/{id}",
        "Read one job",
        "read",
        {200: _json(FullJobView)},
        errors=(401, 403, 404, 422, 429, 503),
    ),
    Route(
        "DELETE",
        "/v1/jobs/{id}",
        "Delete a job",
        "jobs",
        {204: None},
        query=DeleteQuery,
        errors=(400, 401, 403, 404, 409, 422, 429, 503),
    ),
    Route(
        "GET",
        "/v1/jobs/{id}/history",
        "Read a job's history, oldest first",
        "read",
        {200: _json(Page(EntryView))},
        query=HistoryQuery,
        errors=(400, 401, 403, 404, 422, 429, 503),
    ),
    Route(
        "GET",
        "/v1/jobs/{id}/stream",
        "Follow one job with server-sent events",
        "read",
        {200: _STREAM},
        query=StreamQuery,
        headers=("Last-Event-ID",),
        errors=(400, 401, 403, 404, 422, 429, 503),
    ),
    Route(
        "GET",
        "/v1/stream",
        "Follow all jobs with server-sent events",
        "read",
        {200: _STREAM},
        query=StreamQuery,
        headers=("Last-Event-ID",),
        errors=(400, 401, 403, 422, 429, 503),
    ),
    Route(
        "POST",
        "/v1/jobs/{id}/token",
        "Give a job a new token",
        "jobs",
        {200: _json(RotatedView)},
        bodies=(_json(RotateBody),),
        errors=(400, 401, 403, 404, 408, 413, 415, 422, 429, 503),
    ),
    Route(
        "DELETE",
        "/v1/jobs/{id}/token",
        "End every token of a job at once",
        "jobs",
        {204: None},
        errors=(401, 403, 404, 429, 503),
    ),
    Route(
        "GET",
        "/v1/stats",
        "Count jobs by lifecycle and state",
        "read",
        {200: _json(StatsView)},
        errors=(401, 403, 422, 429, 503),
    ),
    Route(
        "GET",
        "/v1/lifecycles",
        "List lifecycles",
        "read",
        {200: _json(Page(Lifecycle))},
        errors=(401, 403, 422, 429, 503),
    ),
    Route(
        "POST",
        "/v1/lifecycles",
        "Register a lifecycle",
        "jobs",
        {200: _json(Lifecycle), 201: _json(Lifecycle)},
        bodies=(_json(Lifecycle),),
        errors=(400, 401, 403, 408, 409, 413, 415, 422, 429, 503),
    ),
    Route(
        "GET",
        "/v1/lifecycles/{name}",
        "Read one lifecycle",
        "read",
        {200: _json(Lifecycle)},
        query=VersionQuery,
        errors=(400, 401, 403, 404, 422, 429, 503),
    ),
    Route(
        "GET",
        "/v1/keys",
        "List API keys, never their text",
        "admin",
        {200: _json(Page(KeyView))},
        query=ListQuery,
        errors=(400, 401, 403, 422, 429, 503),
    ),
    Route(
        "POST",
        "/v1/keys",
        "Make an API key; its text is shown once",
        "admin",
        {201: _json(NewKeyView)},
        bodies=(_json(KeyRequest),),
        errors=(400, 401, 403, 408, 413, 415, 422, 429, 503),
    ),
    Route(
        "DELETE",
        "/v1/keys/{id}",
        "Revoke an API key",
        "admin",
        {200: _json(KeyView)},
        errors=(401, 403, 404, 429, 503),
    ),
    Route(
        "GET",
        "/v1/refused",
        "List refused events, oldest first",
        "read",
        {200: _json(Page(RefusalView))},
        query=ListQuery,
        errors=(400, 401, 403, 422, 429, 503),
    ),
    Route(
        "POST",
        "/v1/refused/{id}/{event}/replay",
        "Send a refused event again, under a new id",
        "jobs",
        {200: _json(Settled)},
        errors=(401, 403, 404, 409, 422, 429, 503),
    ),
    Route("GET", "/health/live", "Say that the process answers", None, {200: _json(Live)}),
    Route(
        "GET",
        "/health/ready",
        "Say whether events can be stored now",
        None,
        {200: _json(Ready), 503: _json(Ready)},
    ),
    Route("GET", "/metrics", "Read all metrics", None, {200: Content("text/plain")}),
)

#: NDJSON answers hold one of these a line.
LINE = LineResult

"""Every route of the service: what it takes and what it answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from _generate.dialects import documentations
from jobwire.actors.dialects.documentation import ContentKind, Page, RouteEntry, json_content
from jobwire.actors.dialects.native.deliveries import (
    DeliveriesQuery,
    JobDeliveriesQuery,
    RecoverBody,
)
from jobwire.actors.dialects.native.events import EventBody, EventParameters
from jobwire.actors.dialects.native.files import FileQuery, FilesQuery
from jobwire.actors.dialects.native.jobs import DeleteQuery, HistoryQuery, JobsQuery, RotateBody
from jobwire.actors.dialects.native.records import PageQuery, VersionQuery
from jobwire.actors.dialects.native.streams import StreamQuery
from jobwire.actors.operations.controls import Selection
from jobwire.actors.operations.job_creation import JobRequest
from jobwire.actors.operations.keys import KeyRequest
from jobwire.schemas.lifecycle import Lifecycle
from jobwire.schemas.views import (
    Accepted,
    ControlledView,
    CreatedView,
    DeliveryView,
    EntryView,
    FileView,
    FullJobView,
    JobView,
    KeyView,
    LineResult,
    NewKeyView,
    OutcomeView,
    RecoveredView,
    RefusalView,
    RotatedView,
    SelectedView,
    StatsView,
)

NDJSON = "application/x-ndjson"


class Live(Struct):
    """The process answers."""

    status: str


class Ready(Struct):
    """Whether the service can do its work, and the names of the parts that are missing."""

    status: str
    missing: tuple[str, ...]


#: Headers that routes read, and what for.
HEADERS: Mapping[str, str] = {
    "Idempotency-Key": "Makes the request idempotent: the same key is the same job or event.",
    "Prefer": "`wait=N` waits up to N seconds (at most 60) for the event's outcome.",
    "Range": "Which bytes: one range, such as `bytes=0-99`, `bytes=100-` or `bytes=-100`.",
    "If-Range": "The range applies to this version only; of another one return the whole file.",
    "If-None-Match": "Answer 304 if the file still has this `ETag`.",
    "Last-Event-ID": "The place after which the stream continues; `0` is before the first entry.",
}


_STREAM = ContentKind("text/event-stream")
_BYTES = ContentKind("application/octet-stream")


def _controls() -> tuple[RouteEntry, ...]:
    """Return the routes that change the course of one job, and of many."""
    said = {"cancel": "Cancel", "hold": "Hold", "release": "Release"}
    one = [
        RouteEntry(
            "POST",
            f"/v1/jobs/{{id}}/{name}",
            f"{word} a job that the service runs",
            "jobs",
            {200: json_content(ControlledView)}
            | ({202: json_content(ControlledView)} if is_long else {}),
            errors=(401, 403, 404, 409, 422, 429, 503),
        )
        for name, word in said.items()
        for is_long in (name == "cancel",)
    ]
    many = [
        RouteEntry(
            "POST",
            f"/v1/jobs/{name}",
            f"{word} many jobs that the service runs",
            "jobs",
            {200: json_content(SelectedView)},
            bodies=(json_content(Selection),),
            errors=(400, 401, 403, 404, 408, 413, 415, 422, 429, 503),
        )
        for name, word in said.items()
    ]
    return (*one, *many)


def _of_dialects() -> Iterator[RouteEntry]:
    """Yield what dialects add to the native API."""
    for each in documentations():
        yield from each.routes


ROUTES: tuple[RouteEntry, ...] = (
    RouteEntry(
        "POST",
        "/v1/events",
        "Report one event, or many as NDJSON",
        "events",
        {200: json_content(OutcomeView), 202: json_content(Accepted)},
        query=EventParameters,
        headers=("Prefer", "Idempotency-Key"),
        bodies=(json_content(EventBody), ContentKind(NDJSON, EventBody)),
        errors=(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503),
        token=True,
    ),
    RouteEntry(
        "POST",
        "/v1/jobs",
        "Create a job",
        "jobs",
        {201: json_content(CreatedView), 202: json_content(CreatedView)},
        headers=("Idempotency-Key",),
        bodies=(json_content(JobRequest),),
        errors=(400, 401, 403, 408, 409, 413, 415, 422, 429, 503),
    ),
    RouteEntry(
        "GET",
        "/v1/jobs",
        "List jobs, newest first",
        "read",
        {200: json_content(Page(JobView))},
        query=JobsQuery,
        errors=(400, 401, 403, 422, 429, 503),
    ),
    RouteEntry(
        "GET",
        "/v1/jobs/{id}",
        "Read one job",
        "read",
        {200: json_content(FullJobView)},
        errors=(401, 403, 404, 422, 429, 503),
    ),
    RouteEntry(
        "DELETE",
        "/v1/jobs/{id}",
        "Delete a job",
        "jobs",
        {204: None},
        query=DeleteQuery,
        errors=(400, 401, 403, 404, 409, 422, 429, 503),
    ),
    RouteEntry(
        "GET",
        "/v1/jobs/{id}/history",
        "Read a job's history, oldest first",
        "read",
        {200: json_content(Page(EntryView))},
        query=HistoryQuery,
        errors=(400, 401, 403, 404, 422, 429, 503),
    ),
    *_controls(),
    RouteEntry(
        "POST",
        "/v1/jobs/{id}/retry",
        "Create a new job from the request of an ended one",
        "jobs",
        {201: json_content(CreatedView)},
        headers=("Idempotency-Key",),
        errors=(401, 403, 404, 409, 422, 429, 503),
    ),
    RouteEntry(
        "GET",
        "/v1/jobs/{id}/files",
        "List the files of a job",
        "read",
        {200: json_content(Page(FileView))},
        query=FilesQuery,
        errors=(400, 401, 403, 404, 422, 429, 503),
    ),
    RouteEntry(
        "GET",
        "/v1/jobs/{id}/files/{path}",
        "Read a file of a job, or follow it while it grows",
        "read",
        {200: _BYTES, 206: _BYTES, 304: None},
        query=FileQuery,
        headers=("Range", "If-Range", "If-None-Match"),
        errors=(400, 401, 403, 404, 416, 422, 429, 503),
    ),
    RouteEntry(
        "GET",
        "/v1/jobs/{id}/deliveries",
        "List the deliveries of one job, newest first",
        "read",
        {200: json_content(Page(DeliveryView))},
        query=JobDeliveriesQuery,
        errors=(400, 401, 403, 404, 422, 429, 503),
    ),
    RouteEntry(
        "GET",
        "/v1/deliveries",
        "List deliveries, newest first",
        "read",
        {200: json_content(Page(DeliveryView))},
        query=DeliveriesQuery,
        errors=(400, 401, 403, 422, 429, 503),
    ),
    RouteEntry(
        "GET",
        "/v1/deliveries/{id}",
        "Read one delivery with its tries",
        "read",
        {200: json_content(DeliveryView)},
        errors=(401, 403, 404, 422, 429, 503),
    ),
    RouteEntry(
        "POST",
        "/v1/deliveries/{id}/redeliver",
        "Send a delivery again under its id",
        "jobs",
        {202: json_content(DeliveryView)},
        errors=(401, 403, 404, 422, 429, 503),
    ),
    RouteEntry(
        "POST",
        "/v1/deliveries/recover",
        "Send again all deliveries that were given up since a given time",
        "jobs",
        {202: json_content(RecoveredView)},
        bodies=(json_content(RecoverBody),),
        errors=(400, 401, 403, 408, 413, 415, 422, 429, 503),
    ),
    RouteEntry(
        "GET",
        "/v1/jobs/{id}/stream",
        "Follow one job with server-sent events",
        "read",
        {200: _STREAM},
        query=StreamQuery,
        headers=("Last-Event-ID",),
        errors=(400, 401, 403, 404, 422, 429, 503),
    ),
    RouteEntry(
        "GET",
        "/v1/stream",
        "Follow all jobs with server-sent events",
        "read",
        {200: _STREAM},
        query=StreamQuery,
        headers=("Last-Event-ID",),
        errors=(400, 401, 403, 422, 429, 503),
    ),
    RouteEntry(
        "POST",
        "/v1/jobs/{id}/token",
        "Create a new token for a job",
        "jobs",
        {200: json_content(RotatedView)},
        bodies=(json_content(RotateBody),),
        errors=(400, 401, 403, 404, 408, 413, 415, 422, 429, 503),
    ),
    RouteEntry(
        "DELETE",
        "/v1/jobs/{id}/token",
        "Revoke every token of a job at once",
        "jobs",
        {204: None},
        errors=(401, 403, 404, 429, 503),
    ),
    RouteEntry(
        "GET",
        "/v1/stats",
        "Count jobs by lifecycle and state",
        "read",
        {200: json_content(StatsView)},
        errors=(401, 403, 422, 429, 503),
    ),
    RouteEntry(
        "GET",
        "/v1/lifecycles",
        "List lifecycles",
        "read",
        {200: json_content(Page(Lifecycle))},
        errors=(401, 403, 422, 429, 503),
    ),
    RouteEntry(
        "POST",
        "/v1/lifecycles",
        "Register a lifecycle",
        "jobs",
        {200: json_content(Lifecycle), 201: json_content(Lifecycle)},
        bodies=(json_content(Lifecycle),),
        errors=(400, 401, 403, 408, 409, 413, 415, 422, 429, 503),
    ),
    RouteEntry(
        "GET",
        "/v1/lifecycles/{name}",
        "Read one lifecycle",
        "read",
        {200: json_content(Lifecycle)},
        query=VersionQuery,
        errors=(400, 401, 403, 404, 422, 429, 503),
    ),
    RouteEntry(
        "GET",
        "/v1/keys",
        "List API keys, without the keys themselves",
        "admin",
        {200: json_content(Page(KeyView))},
        query=PageQuery,
        errors=(400, 401, 403, 422, 429, 503),
    ),
    RouteEntry(
        "POST",
        "/v1/keys",
        "Create an API key; it is shown once",
        "admin",
        {201: json_content(NewKeyView)},
        bodies=(json_content(KeyRequest),),
        errors=(400, 401, 403, 408, 413, 415, 422, 429, 503),
    ),
    RouteEntry(
        "DELETE",
        "/v1/keys/{id}",
        "Revoke an API key",
        "admin",
        {200: json_content(KeyView)},
        errors=(401, 403, 404, 429, 503),
    ),
    *_of_dialects(),
    RouteEntry(
        "GET",
        "/v1/refused",
        "List refused events, oldest first",
        "read",
        {200: json_content(Page(RefusalView))},
        query=PageQuery,
        errors=(400, 401, 403, 422, 429, 503),
    ),
    RouteEntry(
        "POST",
        "/v1/refused/{id}/{event}/replay",
        "Send a refused event again, under a new id",
        "jobs",
        {200: json_content(OutcomeView)},
        errors=(401, 403, 404, 409, 422, 429, 503),
    ),
    RouteEntry(
        "GET", "/health/live", "Check that the process answers", None, {200: json_content(Live)}
    ),
    RouteEntry(
        "GET",
        "/health/ready",
        "Check that the process can work",
        None,
        {200: json_content(Ready), 503: json_content(Ready)},
    ),
    RouteEntry("GET", "/metrics", "Read all metrics", None, {200: ContentKind("text/plain")}),
)

#: NDJSON answers hold one of these a line.
LINE = LineResult

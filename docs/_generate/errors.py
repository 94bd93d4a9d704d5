"""`reference/errors.md`: every code that a problem document can carry, found in the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from _generate.dialects import documentations
from _generate.markdown import note, table
from _generate.reasons import under_wait
from jobwire.schemas import errors
from jobwire.schemas.errors import JobwireError, Misconfigured
from jobwire.schemas.outcomes import Reason

_ROOT = Path(__file__).parent.parent.parent
_FOLDERS = ("schemas", "actors")
#: What these raise is no problem document: it never travels over HTTP, or has just done so. What
#: workers meet becomes the cause and the detail of a job.
_NOT_HTTP = {
    _ROOT / "actors" / "cli",
    _ROOT / "actors" / "client",
    *(_ROOT / "actors" / name for name in ("hosts", "batch_systems", "submitter", "stager")),
    _ROOT / "actors" / "notifier",
    _ROOT / "actors" / "runtime" / "secrets.py",
    _ROOT / "actors" / "stores" / "sqlite" / "backup.py",
    _ROOT / "actors" / "stores" / "sqlite" / "export.py",
    _ROOT / "actors" / "stores" / "mongodb" / "importer.py",
    _ROOT / "schemas" / "problems.py",
}

#: The errors that a request can be answered with; a misconfigured service does not start.
_KINDS: dict[str, type[JobwireError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type)
    and issubclass(kind, JobwireError)
    and kind not in (JobwireError, Misconfigured)
}

#: What a client can do. Dialects have their own; a code that is missing stops `make generate`.
_ADVICE: dict[tuple[int, str], str] = {
    (503, "file_system"): "A file operation failed on the service's disk. Retry later.",
    (
        422,
        "unknown_secret",
    ): "You have no secret of this name. Ask an administrator to create its file.",
    (422, "unknown_scheme"): "Use a `file:///path` URI or a relative path.",
    (422, "too_many_files"): "There are too many files to list or copy at once. Select fewer.",
    (
        422,
        "outside_roots",
    ): "The file is not below a root that you may use; the detail lists your roots.",
    (422, "nothing_selected"): 'Select the jobs by `ids`, a filter, or `"all": true`.',
    (422, "not_a_file"): "The path is a directory, a link, a FIFO or a device. Name a regular "
    "file.",
    (422, "no_permission"): "The service has no permission to read this file. "
    "Let the job change its mode.",
    (
        422,
        "forbidden_address",
    ): "Callbacks may not go to this address. "
    "An administrator can allow its network with `callbacks.allow`.",
    (422, "bad_url"): "Send an `http` or `https` URL without user, password or blanks.",
    (422, "bad_secret"): "Send `whsec_` followed by 24 to 64 bytes in base-64, or omit the secret.",
    (
        422,
        "bad_path",
    ): "The path is not valid: it is empty, absolute, contains `..`, or is a pattern "
    "where a single name is needed.",
    (416, "range_not_satisfiable"): "The range starts after the end of the file; `limit` is its "
    "size.",
    (
        409,
        "wrong_state",
    ): "The job has started, so it cannot be held or released. You can still cancel it.",
    (
        409,
        "runs_elsewhere",
    ): "The job runs elsewhere; this works only for jobs with a `spec`. Report its end with an "
    "event.",
    (409, "not_ended"): "The job has not ended. Wait for its end, or cancel it; then retry it.",
    (409, "already_ended"): "The job had already ended, so nothing was changed; see its state.",
    (404, "unknown_delivery"): "The delivery does not exist, belongs to another owner, or is no "
    "longer listed.",
    (404, "runs_elsewhere"): "The job has no files here; only jobs with a `spec` have.",
    (404, "no_site"): "The site that has the files is disabled. Ask an administrator.",
    (404, "no_file"): "The file does not exist: it is not written yet, or was cleaned up.",
    (404, "no_attempt"): "The job has no attempt with this number.",
    (401, "unauthorized"): "Send an API key, a nonce or a token; the detail says what was wrong.",
    (400, "bad_request"): "The request line or a header is not valid HTTP. Correct the client.",
    (400, "invalid_json"): "The body is not JSON in UTF-8. The detail names the place.",
    (400, "json_limits"): "The JSON is nested too deeply, has too many elements, too long a "
    "string, or a number beyond 64 bits. Send less, or send numbers as strings.",
    (422, "same_target"): "Two files would have the same name in the job's directory. Rename one.",
    (503, "not_confirmed"): "It is not known whether the request was stored. Send it again with "
    "the "
    "same id.",
    (
        503,
        "in_doubt",
    ): "The job may run later. Look for the id in the detail before you submit again.",
    (503, "stopping"): "The service is stopping. Send the request again after a few seconds.",
    (400, "repeated_parameter"): "A URL parameter was sent twice. Send it once.",
    (401, "key_missing"): "Send an API key as `Authorization: Bearer jwk_...`.",
    (401, "token_missing"): "Send the job's token or an API key with the event.",
    (401, "wrong_api_key"): "The key is unknown, expired or revoked. Ask an administrator.",
    (401, "wrong_token"): "The token does not belong to this job. Copy it again from the answer "
    "that created the job.",
    (403, "scope_missing"): "The key does not have the scope that the detail names. Use another "
    "key.",
    (404, "unknown_event"): "You have no refused event with this id.",
    (404, "unknown_job"): "The job does not exist, or belongs to another owner.",
    (404, "unknown_key"): "No API key has this id.",
    (404, "unknown_lifecycle"): "No lifecycle has this name and version.",
    (404, "unknown_route"): "No route has this path.",
    (406, "not_acceptable"): "The header `Accept` excludes JSON. Omit it, or include "
    "`application/json`.",
    (405, "method_not_allowed"): "The route does not have this method; the header `Allow` lists "
    "its "
    "methods.",
    (408, "timeout"): "The body did not arrive in time. Send it again.",
    (409, "conflict"): "Another request changes the same record at this moment. Retry.",
    (409, "earlier_line_failed"): "An earlier NDJSON line of the same job failed. "
    "Send both again, in their order.",
    (409, "job_deleted"): "The job made with this `Idempotency-Key` has been deleted. "
    "Use a new key for a new job.",
    (409, "too_late"): "The job has run, and its outputs are being copied out. Wait for its end.",
    (409, "still_running"): "The job has not ended. Wait, or delete it with `force=true`.",
    (413, "too_large"): "The body, a line or `data` exceeds the limit in `limit`.",
    (415, "unknown_encoding"): "Send gzip, deflate or no content encoding.",
    (415, "unsupported_media_type"): "Send `application/json` or, for many events, "
    "`application/x-ndjson`.",
    (422, "event_id_reused"): "The event id was used for this job with another payload. "
    "The first one stands. Use a new id.",
    (422, "idempotency_key_reused"): "The key was used with another request. Use a new one.",
    (422, "invalid"): "A field is missing, unknown or wrong; `pointer` names it.",
    (422, "not_runnable"): "The site does not exist, or is disabled by `local.enabled`.",
    (422, "reserved_name"): "The name is reserved for the service. Choose another.",
    (422, "unknown_field"): "The URL parameter does not exist; the detail names the nearest one.",
    (422, "unknown_lifecycle"): "The job names a lifecycle that you have not registered.",
    (422, "unknown_parent"): "The job in `parent` does not exist, or belongs to another owner.",
    (422, "wrong_cursor"): "The cursor belongs to another list. Start again without a cursor.",
    (429, "job_rate"): "You create jobs too fast. Wait as long as `Retry-After` says.",
    (429, "too_many_failures"): "Too many invalid keys or tokens came from this address. Wait as "
    "long "
    "as `Retry-After` says.",
    (429, "too_many_requests"): "A quota is used up; `limit` is its size. Wait, or use less.",
    (500, "internal"): "An error in the service, which is in its log. Please report it.",
    (400, "invalid_packet"): "Never sent over HTTP: a packet on the bus that cannot be read.",
    (422, "reserved_id"): "Choose an event id that does not begin with `jobwire.`.",
    (422, "id_required"): "Never sent over HTTP: an event on the bus had no id, and is a dead "
    "letter. Give every event an id.",
    (503, "backlog"): "Earlier events wait too long to be stored. Send the same request again, "
    "with "
    "the same id, after `Retry-After`.",
    (503, "store_unavailable"): "The database is not available. Send the same request again after "
    "`Retry-After`.",
    (
        503,
        "too_many_connections",
    ): "Reuse connections instead of opening new ones; retry later.",
    (503, "upgrading"): "An upgrade is under way, and processes of the older release are still at "
    "work. Nothing was stored; send the same request again, after `Retry-After`.",
    (503, "unavailable"): "Send the same request again, with the same id, after `Retry-After`.",
}

_INTRODUCTION = """\
# Errors

Every error is a problem document (RFC 9457) with the type `application/problem+json`.

```json
{
  "type": "urn:jobwire:problem:wrong_token",
  "title": "The request has no valid API key or job token",
  "status": 401,
  "detail": "the token does not belong to this job",
  "code": "wrong_token",
  "request_id": "5d0d7f0c9a4b1e32"
}
```

- `code` is for programs and does not change between releases.
- `detail` is for people: what was wrong and what was expected. It never contains a secret.
- `pointer` names the invalid field: a JSON pointer, a `/parameter`, or a header.
- `limit` is the limit that was exceeded.
- The header `Retry-After` says after how many seconds to retry.

Without `wait`, an answer of 4xx means that nothing was stored.
After 503, or without an answer, it is not known whether an event was stored.
Send it again with the same id: it counts once.

## Codes

"""

_WAITING = """\

## Codes that report the outcome of an event

An event that is sent with `Prefer: wait=N` or `?wait=N` is answered with its outcome.
These events **are stored**: the answer reports that they were not applied.

"""


def errors_page() -> str:
    """
    Write the page.

    Raises:
        LookupError: the source has a code without advice.

    """
    advice = _ADVICE | {key: text for each in documentations() for key, text in each.advice.items()}
    found = sorted(_codes())
    if missing := [each for each in found if each not in advice]:
        message = f"neither docs/_generate/errors.py nor a dialect has advice for {missing}"
        raise LookupError(message)
    rows = [[str(status), f"`{code}`", advice[status, code]] for status, code in found]
    return (
        note("schemas/errors.py and every place that raises an error")
        + "\n"
        + _INTRODUCTION
        + table(["status", "code", "what to do"], rows)
        + _WAITING
        + table(["status", "code", "reason in the history or in `refused`"], _waited_for())
    )


def _waited_for() -> Iterator[list[str]]:
    for status, code, reason in sorted(under_wait()):
        yield [str(status), f"`{code}`", f"`{reason}`"]


def _codes() -> set[tuple[int, str]]:
    found = {(405, "method_not_allowed"), (500, "internal")}
    for folder in _FOLDERS:
        for file in sorted((_ROOT / folder).rglob("*.py")):
            if not _NOT_HTTP & {file, *file.parents}:
                found |= set(_raised(ast.parse(file.read_text())))
    return found


def _raised(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            continue
        kind = _KINDS.get(call.func.id)
        if kind is None:
            continue
        given = [word.value for word in call.keywords if word.arg == "code"]
        match given:
            case []:
                yield kind.status, kind.default_code
            case [ast.Constant(str(code))]:
                yield kind.status, code
            case [ast.Attribute(value=ast.Name("Reason"), attr=name)]:
                yield kind.status, str(Reason[name])
            case _:
                pass  # computed from an outcome: shown in the second table

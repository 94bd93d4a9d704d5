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

#: What a client can do. A code that is missing here stops `make generate`.
_ADVICE: dict[tuple[int, str], str] = {
    (503, "file_system"): "The disk did not do what it was asked. Try again later.",
    (
        422,
        "unknown_secret",
    ): "You have no secret of this name. An administrator puts it in its file.",
    (422, "unknown_scheme"): "Name files by `file:///path` or by a relative path.",
    (422, "too_many_files"): "There are too many files to be listed or copied at once.",
    (
        422,
        "outside_roots",
    ): "The file is not below a directory that you may use; the detail lists them.",
    (422, "nothing_selected"): 'Say which jobs: `ids`, a filter, or `"all": true`.',
    (422, "not_a_file"): "It is a directory, a link, a FIFO or a device: nothing that can be read.",
    (422, "no_permission"): "The service may not read this file. Have the job change its mode.",
    (
        422,
        "forbidden_address",
    ): "Callbacks do not go to this address. "
    "An administrator can open its network: `callbacks.allow`.",
    (422, "bad_url"): "Send an `http` or `https` URL without user, password or blanks.",
    (422, "bad_secret"): "Send `whsec_` and 24 to 64 bytes in base-64, or leave the secret out.",
    (
        422,
        "bad_path",
    ): "The path can never be meant: empty, absolute, with `..`, or a pattern "
    "where one name is needed.",
    (416, "range_not_satisfiable"): "The file ends before that byte; `limit` is its size.",
    (
        409,
        "wrong_state",
    ): "The job has started, so it cannot be held or released. Cancel it, if you must.",
    (
        409,
        "runs_elsewhere",
    ): "Only jobs with a `spec` can do that. Send the event that says what became of this one.",
    (409, "not_ended"): "Wait for the end of the job, or cancel it; then retry it.",
    (409, "already_ended"): "The job has ended; its state says how. Nothing is left to do.",
    (404, "unknown_delivery"): "No such delivery, or someone else's, or it ended long ago.",
    (404, "runs_elsewhere"): "Only jobs with a `spec` have files here.",
    (404, "no_site"): "The site that the files are on is switched off. Ask an administrator.",
    (404, "no_file"): "There is no such file: it has not been written yet, or was cleaned up.",
    (404, "no_attempt"): "The job has had no attempt of that number.",
    (401, "unauthorized"): "No usable key, nonce or token was sent.",
    (400, "bad_request"): "The request line or a header cannot be read. Mend the client.",
    (400, "invalid_json"): "The body is not JSON in plain UTF-8. The detail names the place.",
    (400, "json_limits"): "Too deep, too many elements, too long a string, or a number beyond "
    "64 bits. Send less, or send numbers as strings.",
    (400, "wrong_type"): "A field of a compatible interface has another type of JSON. The detail "
    "names it.",
    (403, "foreign_origin"): "Another site's page sent this, or a name that is not this machine's "
    "own was used. Use localhost, or send an API key.",
    (422, "not_staged"): "An input could not be copied; the detail names it. No job was made.",
    (422, "same_target"): "Two files would get one name in the job's directory. Rename one.",
    (503, "not_confirmed"): "What was sent may be stored or not. Send it again under its id.",
    (503, "withdrawn"): "The job could not be made ready in time and was cancelled. Submit again.",
    (
        503,
        "in_doubt",
    ): "The job may run later. Look for the id in the detail before you submit again.",
    (503, "stopping"): "The service is stopping. Send the request again in a moment.",
    (400, "repeated_parameter"): "A URL parameter is given twice. Send it once.",
    (401, "key_missing"): "Send an API key as `Authorization: Bearer jwk_...`.",
    (401, "token_missing"): "Send the job's token or an API key with the event.",
    (401, "wrong_api_key"): "The key is unknown, expired or revoked. Ask an administrator.",
    (401, "wrong_token"): "The token is not one of this job. Copy it again from the job's maker.",
    (403, "scope_missing"): "The key lacks the scope named. Use another key.",
    (404, "unknown_event"): "There is no such refused event of yours.",
    (404, "unknown_job"): "No such job, or someone else's: the two look the same.",
    (404, "unknown_key"): "There is no API key with this id.",
    (404, "unknown_lifecycle"): "There is no lifecycle of that name and version.",
    (404, "unknown_route"): "There is nothing at this path.",
    (406, "not_acceptable"): "The header `Accept` excludes JSON. Leave it out, or let it in.",
    (405, "method_not_allowed"): "The header `Allow` names the methods that the route takes.",
    (408, "timeout"): "The body did not arrive in time. Send it again.",
    (409, "conflict"): "Somebody else changes the same thing now. Try again.",
    (409, "earlier_line_failed"): "An earlier NDJSON line of the same job failed. "
    "Send both again, in their order.",
    (409, "job_deleted"): "The job made with this `Idempotency-Key` has been deleted. "
    "Use a new key for a new job.",
    (409, "too_late"): "The job has run, and its outputs are being brought out. Wait for its end.",
    (409, "still_running"): "The job has not ended. Wait, or delete with `force=true`.",
    (413, "too_large"): "The body, a line or `data` is over the limit in `limit`.",
    (415, "unknown_encoding"): "Send gzip, deflate or no content encoding.",
    (415, "unsupported_media_type"): "Send `application/json` or, for many events, "
    "`application/x-ndjson`.",
    (422, "event_id_reused"): "The event id was used for this job with another payload. "
    "The first one stands. Use a new id.",
    (422, "idempotency_key_reused"): "The key was used with another request. Use a new one.",
    (422, "invalid"): "A field is missing, unknown or wrong; `pointer` names it.",
    (422, "not_runnable"): "There is no such site, or it is switched off: `local.enabled`.",
    (422, "reserved_name"): "The name is the service's own. Choose another.",
    (422, "unknown_field"): "The URL parameter does not exist; the detail names the nearest.",
    (422, "unknown_lifecycle"): "The job names a lifecycle that you have not registered.",
    (422, "unknown_parent"): "The job in `parent` is not there.",
    (422, "wrong_cursor"): "The cursor is of another list. Start again without one.",
    (429, "job_rate"): "You make jobs too fast. Wait as `Retry-After` says.",
    (429, "too_many_failures"): "Too many wrong keys or tokens from this address. Wait.",
    (429, "too_many_requests"): "A quota is used up; `limit` says which one. Wait, or free some.",
    (500, "internal"): "A fault of the service; it is in the log. Please report it.",
    (400, "invalid_packet"): "Never answered over HTTP: a packet on the bus that cannot be read.",
    (422, "reserved_id"): "Choose an event id that does not begin with `jobwire.`.",
    (422, "id_required"): "Never answered over HTTP: an event came over the bus without an id, "
    "and is among the dead letters. Give it one.",
    (503, "backlog"): "Events that were sent before wait too long to be stored. Send the same "
    "request again, with the same id, after `Retry-After`.",
    (503, "store_unavailable"): "The database cannot be used now. Send the same request again.",
    (
        503,
        "too_many_connections",
    ): "Keep connections open instead of opening new ones; come back later.",
    (503, "unavailable"): "Send the same request again, with the same id, after `Retry-After`.",
}

for _documentation in documentations():
    _ADVICE |= _documentation.advice

_INTRODUCTION = """\
# Errors

Every error is a problem document (RFC 9457) with the type `application/problem+json`.

```json
{
  "type": "urn:jobwire:problem:wrong_token",
  "title": "No usable API key or job token was presented",
  "status": 401,
  "detail": "the token is not one of this job",
  "code": "wrong_token",
  "request_id": "5d0d7f0c9a4b1e32"
}
```

- `code` is for programs and does not change between releases.
- `detail` is for people: what was wrong and what was expected. It never holds a secret.
- `pointer` names the field at fault, as a JSON pointer, a `/parameter` or a header's name.
- `limit` is the limit that was passed.
- The header `Retry-After` says after how many seconds another try makes sense.

Without `wait`, an answer of 4xx means that nothing was stored.
After 503, or no answer at all, an event may be stored or not.
Send it again with the same id: it will count once.

## Codes

"""

_WAITING = """\

## Codes of events whose outcome was waited for

An event that is sent with `Prefer: wait=N` or `?wait=N` is answered with what became of it.
These events **are stored**: the answer reports an outcome, it does not refuse the request.

"""


def errors_page() -> str:
    """
    Write the page.

    Raises:
        LookupError: the source has a code without advice here.

    """
    rows = [[str(status), f"`{code}`", _ADVICE[status, code]] for status, code in sorted(_codes())]
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
    missing = sorted(found - _ADVICE.keys())
    if missing:
        message = f"neither docs/_generate/errors.py nor a dialect has advice for {missing}"
        raise LookupError(message)
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

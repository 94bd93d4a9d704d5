"""
Which message a body and the parameters of its URL are (pure).

In this order: the callback of a platform, an event, a delete or a create, and else an event by URL
parameters, whose data the body is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw, Struct, field

from jobwire.actors.dialects.pipelinejobs.content import NOTHING, Content, unwrapped, written
from jobwire.actors.dialects.pipelinejobs.statuses import data_of, event_of, is_callback
from jobwire.schemas.codec import invalid
from jobwire.schemas.errors import Invalid
from jobwire.schemas.identifiers import JobId, Name, parse_job_id
from jobwire.schemas.lifecycles.pipeline import PIPELINE

_EVENT_KEYS: Final = {"uuid", "name", "data", "token"}
_DELETE_KEYS: Final = {"uuid", "action", "force", "token"}
_CREATE_KEYS: Final = {"pipeline_uuid", "archive_path"}
#: Texts that stand for a token that is not there.
_NO_TOKEN: Final = {"", "null", "None"}
_URN: Final = ("uri:urn:", "urn:uuid:")
_PIPELINE_HEAD: Final = "106"
#: What an event by URL carries where there is no body; one as JSON without `data` carries nothing.
_NO_DATA: Final = b"{}"
_MOST_NOTE: Final = 4_096

Period = Annotated[float, Meta(gt=0, le=10 * 365 * 86_400)]
Path = Annotated[
    str,
    Meta(pattern=r"(?#an absolute path on one line)^/(?![\s\S]*[\x00-\x1f\x7f])", max_length=4_096),
]
Uuids = Annotated[tuple[Name, ...], Meta(max_length=100)]
Patterns = Annotated[tuple[Any, ...], Meta(max_length=100)]  # any JSON: kept as it is


class EventMessage(Struct, frozen=True):
    """Something has happened to a job."""

    job: JobId
    name: str
    token: str | None
    data: bytes | None


class DeleteMessage(Struct, frozen=True):
    """A job is to go, or to be hidden."""

    job: JobId
    token: str | None
    force: bool = True


class Options(Struct, frozen=True):
    """How a new job is watched; what else is in there is left unread."""

    deadline_s: Period | None = None
    heartbeat_s: Period | None = None


class CreateMessage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job is to be made."""

    pipeline_uuid: str
    archive_path: Path
    data: dict[str, Raw]
    session: Name | None = None
    archive_system: Name | None = None
    archive_patterns: Patterns = ()
    product_patterns: Patterns = ()
    agent: Name | None = None
    task: Name | None = None
    generated_by: Uuids = ()
    child_of: Uuids = ()
    acted_on: Uuids = ()
    acted_using: Uuids = ()
    options: Options = field(name="__options", default_factory=Options)


Message = EventMessage | DeleteMessage | CreateMessage

_create_decoder = msgspec.json.Decoder(CreateMessage)


def read_message(content: Content, query: Mapping[str, str]) -> Message:
    """
    Return what a request asks for.

    Args:
        content: its body.
        query: the parameters of its URL, each with its first value.

    Raises:
        Invalid: it says too little, or something that is not so; the text names it.

    """
    inner = unwrapped(content)
    if inner is not None and (len(content.value) == 1 or _is_message(inner.value)):
        content = inner
    value = content.value
    if is_callback(value):
        return _of_callback(value, query)
    if _is_event(value):
        return _of_event(content, query)
    if isinstance(value, dict):
        if _is_delete(value) or ("action" in value and not _named(query)):
            return _of_delete(value, query)
        if value.keys() >= _CREATE_KEYS and "uuid" not in query:
            return _of_create(content)
        if _completes(value, query):
            return _of_event(content, query)
    return _of_parameters(content, query)


def uuid_of(text: object, field_name: str = "uuid") -> JobId:
    """
    Read a UUID, perhaps behind the head of a URN.

    Raises:
        Invalid: it is missing, or no UUID from its first to its last character.

    """
    if not isinstance(text, str) or not text:
        detail = f"the message names no job: {field_name} is missing, in the body and in the URL"
        raise Invalid(detail, code="uuid_missing", pointer=f"/{field_name}")
    for head in _URN:
        text = text.removeprefix(head)
    return parse_job_id(text, f"/{field_name}")


def _is_message(value: object) -> bool:
    if _is_event(value) or is_callback(value):
        return True
    return isinstance(value, dict) and (_is_delete(value) or value.keys() >= _CREATE_KEYS)


def _is_delete(value: dict[str, Any]) -> bool:
    """Return whether a body is an action on its own, and not the data of an event in the URL."""
    return value.keys() <= _DELETE_KEYS and "uuid" in value and value.get("action") == "delete"


def _is_event(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() <= _EVENT_KEYS
        and isinstance(value.get("uuid"), str)
        and isinstance(value.get("name"), str)
        and value["name"].lower() in PIPELINE.events
    )


def _completes(value: dict[str, Any], query: Mapping[str, str]) -> bool:
    """Return whether a body is the part of an event that the URL lacks."""
    has_name = any(query.get(each) for each in ("name", "event", "status", "state"))
    is_part = bool(value) and value.keys() <= _EVENT_KEYS
    return is_part and (
        (not query.get("uuid") and "uuid" in value) or (not has_name and "name" in value)
    )


def _of_event(content: Content, query: Mapping[str, str]) -> EventMessage:
    value = content.value
    data = content.field("data") if value.get("data") is not None else None
    return EventMessage(
        uuid_of(value.get("uuid", query.get("uuid"))),
        _name(value.get("name") or _named(query)),
        _token(value.get("token")) or _token(query.get("token")),
        data or _noted(query).text or None,
    )


def _of_callback(document: dict[str, Any], query: Mapping[str, str]) -> EventMessage:
    status = query.get("status") or query.get("state") or document["status"]
    name = query.get("name") or query.get("event") or event_of(status)
    data = written(data_of(document, status, query.get("note")))
    return EventMessage(
        uuid_of(query.get("uuid")), _name(name), _token(query.get("token")), data.text
    )


def _of_delete(value: dict[str, Any], query: Mapping[str, str]) -> DeleteMessage:
    if extra := sorted(value.keys() - _DELETE_KEYS):
        raise _unknown_key("a delete", extra[0], "uuid, action, force, token")
    if value["action"] != "delete":
        raise Invalid('the only action is "delete"', code="unknown_action", pointer="/action")
    force = value.get("force", True)
    if not isinstance(force, bool):
        raise Invalid("force is true or false", pointer="/force")
    token = _token(value.get("token")) or _token(query.get("token"))
    return DeleteMessage(uuid_of(value.get("uuid", query.get("uuid"))), token, force)


def _of_create(content: Content) -> CreateMessage:
    try:
        wanted = _create_decoder.decode(content.text)
    except msgspec.ValidationError as error:
        raise invalid(error) from error
    pipeline = uuid_of(wanted.pipeline_uuid, "pipeline_uuid")
    if not pipeline.startswith(_PIPELINE_HEAD):
        detail = f"pipeline_uuid is the UUID of a pipeline, which begins with {_PIPELINE_HEAD}"
        raise Invalid(detail, pointer="/pipeline_uuid")
    return msgspec.structs.replace(wanted, pipeline_uuid=pipeline)


def _of_parameters(content: Content, query: Mapping[str, str]) -> EventMessage:
    token = _token(query.get("token"))
    name = query.get("name") or query.get("event")
    if not name and (status := query.get("status") or query.get("state")):
        name = event_of(status)
        if content.value is None or content.value == {}:
            content = written(data_of({}, status, query.get("note")))
    if not query.get("uuid") or not name:
        raise _too_little(content.value, query)
    if content.value is None or content.value == {}:
        content = _noted(query) if query.get("note") else content
    return EventMessage(
        uuid_of(query["uuid"]), _name(name), token, _without(content, token) or _NO_DATA
    )


def _too_little(value: object, query: Mapping[str, str]) -> Invalid:
    """Return why nothing of a request is a message."""
    if isinstance(value, dict) and {"uuid", "name"} <= value.keys():
        extra = sorted(value.keys() - _EVENT_KEYS)
        if extra:
            return _unknown_key("an event", extra[0], "uuid, name, data, token")
        return _unknown_event(str(value["name"]))
    if not query.get("uuid"):
        detail = "the message names no job: send an event as JSON, or uuid and name in the URL"
        return Invalid(detail, code="uuid_missing", pointer="/uuid")
    detail = "the message names no event: add name (or event, or status) to the URL"
    return Invalid(detail, code="event_missing", pointer="/name")


def _named(query: Mapping[str, str]) -> str | None:
    status = query.get("status") or query.get("state")
    return query.get("name") or query.get("event") or (event_of(status) if status else None)


def _name(text: object) -> str:
    """Return an event's name in lower case, as it is kept."""
    if not isinstance(text, str) or not text:
        detail = "the message names no event: name is missing, in the body and in the URL"
        raise Invalid(detail, code="event_missing", pointer="/name")
    if text.lower() not in PIPELINE.events:
        raise _unknown_event(text)
    return text.lower()


def _unknown_key(what: str, key: str, known: str) -> Invalid:
    detail = f"{what} has no {key[:64]!r}; its keys are {known}"
    return Invalid(detail, code="unknown_key", pointer=f"/{key[:64]}")


def _unknown_event(name: str) -> Invalid:
    known = ", ".join(PIPELINE.events)
    detail = f"there is no event {name[:64]!r}; there are: {known}"
    return Invalid(detail, code="unknown_event_name", pointer="/name")


def _token(text: object) -> str | None:
    return text if isinstance(text, str) and text not in _NO_TOKEN else None


def _noted(query: Mapping[str, str]) -> Content:
    note = query.get("note")
    return written({"note": note[:_MOST_NOTE]}) if note else NOTHING


def _without(content: Content, token: str | None) -> bytes:
    """Return a body's text without the token, which is for no history."""
    value = content.value
    if token is None or not isinstance(value, dict) or value.get("token") != token:
        return content.text
    return written({name: each for name, each in value.items() if name != "token"}).text

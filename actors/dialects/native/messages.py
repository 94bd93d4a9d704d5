"""
Messages of the bus: one event each, as other systems write it.

It is the JSON of `POST /v1/events`, or a CloudEvent in either of its two forms on AMQP: with its
attributes as headers beside the data, or whole in the body.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from jobwire.actors.dialects.native.events import Attempt, EventBody, Moment, build_event
from jobwire.actors.operations.events import Events
from jobwire.actors.transports.base import BusMessage
from jobwire.schemas.codec import check_json, decode, invalid, parse_json
from jobwire.schemas.errors import Invalid, TooLarge, Unauthorized, UnsupportedMedia
from jobwire.schemas.events import Event
from jobwire.schemas.identifiers import Name, parse_job_id

CLOUD_EVENT = "application/cloudevents+json"
"""The content type of a CloudEvent that is whole in the body."""
CLOUD_HEADS = ("cloudEvents_", "cloudEvents:")
"""Heads of the headers that hold the attributes of a CloudEvent; the second one is the older."""

_JSON = "application/json"
_BEARER = "Bearer "
#: Most digits of an attempt number that are read; such a number exceeds the limit anyway.
_MOST_DIGITS = 12
#: What CloudEvents may put before the name of an event.
_TYPE_HEAD = "job."


class CloudEvent(Struct, frozen=True, kw_only=True):
    """One event as a CloudEvent; attributes that are not named here are left unread."""

    specversion: Literal["1.0"]
    type: Name
    """The name of the event; a leading `job.` does not belong to it."""
    subject: str
    """The id of the job."""
    id: Name | None = None
    source: Name | None = None
    time: Moment | None = None
    token: str | None = None
    """The job's token: an extension."""
    attempt: Attempt | None = None
    """The attempt of the job that the event is about: an extension."""
    datacontenttype: str | None = None
    data: Raw = Raw()
    data_base64: Raw = Raw()

    def body(self) -> EventBody:
        """Return the plain event that this one stands for."""
        if self.id is None:
            raise _id_required()
        if self.data_base64:
            raise Invalid("data is JSON here; send it as `data`", pointer="/data_base64")
        _require_json(self.datacontenttype)
        return EventBody(
            uuid=parse_job_id(self.subject, "/subject"),
            name=self.type.removeprefix(_TYPE_HEAD) or self.type,
            token=self.token,
            data=self.data,
            id=self.id,
            time=self.time,
            source=self.source,
            attempt=self.attempt,
        )


class _MessageId(Struct, frozen=True):
    message_id: Name


_decoder = msgspec.json.Decoder(EventBody)
_cloud_decoder = msgspec.json.Decoder(CloudEvent)


def read_message(events: Events, message: BusMessage, limit: int) -> Event:
    """
    Build the event that a message from the bus reports.

    Args:
        events: builds it, and checks its token.
        message: the message from the bus.
        limit: most bytes of its body.

    Raises:
        JobwireError: it is not a valid event; the error text never contains the token.

    """
    if len(message.body) > limit:
        raise TooLarge(f"the body has more than {limit} bytes", limit=limit)
    fields = _fields(message)
    token = fields.token or _bearer(message.headers)
    if token is None:
        raise Unauthorized(
            "a message needs the job's token, as `token` or as the header "
            "authorization: Bearer; API keys count over HTTP only",
            code="token_missing",
        )
    return build_event(events, fields, fields.id or _message_id(message), token)


def _fields(message: BusMessage) -> EventBody:
    kind = _media_type(message.content_type)
    if kind == CLOUD_EVENT:
        check_json(message.body)
        return decode(_cloud_decoder, message.body).body()
    headers = message.headers
    if headers and (attributes := _attributes(headers)):
        return _of_attributes(attributes, message)
    _require_json(kind)
    check_json(message.body)
    return decode(_decoder, message.body)


def _attributes(headers: Mapping[str, object]) -> dict[str, object]:
    """Return the attributes of a CloudEvent by their names; of any other message there are none."""
    found = {
        name[len(head) :]: _text(value)
        for name, value in headers.items()
        for head in CLOUD_HEADS
        if name.startswith(head)
    }
    # CloudEvents writes every attribute as text where it stands in a header.
    attempt = found.get("attempt")
    if isinstance(attempt, str) and attempt.isascii() and attempt.isdigit():
        found["attempt"] = int(attempt[:_MOST_DIGITS])
    return found


def _of_attributes(attributes: dict[str, Any], message: BusMessage) -> EventBody:
    data = message.body
    if data:
        check_json(data)
        parse_json(data)
    try:
        event = msgspec.convert(
            {
                **attributes,
                "datacontenttype": message.content_type,
                "data": Raw(data),
                "data_base64": Raw(),
            },
            CloudEvent,
        )
    except msgspec.ValidationError as error:
        raise invalid(error) from error
    return event.body()


def _message_id(message: BusMessage) -> str:
    """Return the id of the message, which becomes that of the event."""
    if not message.message_id:
        raise _id_required()
    try:
        return msgspec.convert({"message_id": message.message_id}, _MessageId).message_id
    except msgspec.ValidationError as error:
        raise invalid(error) from error


def _id_required() -> Invalid:
    detail = (
        "an event on the bus needs an id, so that it counts once however often it is sent: "
        "`id` in the body, or the id of the message; of a CloudEvent its own id"
    )
    return Invalid(detail, code="id_required", pointer="/id")


def _bearer(headers: Mapping[str, object]) -> str | None:
    presented = _text(headers.get("authorization") or headers.get("Authorization"))
    if not isinstance(presented, str) or not presented.startswith(_BEARER):
        return None
    return presented[len(_BEARER) :].strip() or None


def _text(value: object) -> object:
    """Return a header as text where the broker hands out bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes | bytearray) else value


def _media_type(content_type: str | None) -> str:
    """Return the content type without its parameters; of a message without one JSON is expected."""
    if content_type is None or content_type == _JSON:
        return _JSON
    return content_type.partition(";")[0].strip().lower() or _JSON


def _require_json(content_type: str | None) -> None:
    kind = _media_type(content_type)
    is_json = kind == _JSON or (kind.endswith("+json") and not kind.startswith("application/cloud"))
    if not is_json:
        detail = f"send the body as application/json or {CLOUD_EVENT}, not {content_type!r}"
        raise UnsupportedMedia(detail)

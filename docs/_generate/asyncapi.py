"""What other systems publish and receive on the bus (AsyncAPI 3.0), for `asyncapi.json`."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any

from _generate.schemas import REFERENCE, described
from jobwire.actors.dialects.native.events import EventBody
from jobwire.actors.dialects.native.messages import CLOUD_EVENT, CLOUD_HEADS, CloudEvent
from jobwire.actors.transports.rabbitmq.topology import dead_queue
from jobwire.schemas.addresses import EVENTS_IN, JOBS
from jobwire.schemas.transitions import Transition

#: A piece of the document: JSON, and nothing more is said about it.
Piece = dict[str, Any]

_JSON = "application/json"
_BINDING = "0.3.0"
_HEAD = CLOUD_HEADS[0]
#: What of a CloudEvent is no attribute, and so no header.
_NO_HEADERS = ("data", "data_base64", "datacontenttype")

_JOB = "5030da6a-978b-4ced-9c7d-8335f89e5379"
_TOKEN = "aab7s2qv3kx5yzhd4mlw6tnocrpeq"
_DESCRIPTION = (
    "Other systems publish events of jobs to one exchange, and subscribe to transitions of jobs on "
    "another one. An event is handled as over HTTP: the same limits and checks, the same token, "
    "the same id counts once, the same history."
)
_TOKEN_TEXT = "`Bearer` and the job's token, if the message itself has none."


def asyncapi_document() -> str:
    """Write the document."""
    document = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Jobwire on the bus",
            "version": version("jobwire"),
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": _JSON,
        "servers": {"broker": _server()},
        "channels": {"events": _events_channel(), "transitions": _transitions_channel()},
        "operations": {
            "takeEvents": _operation("receive", "events", "Receive events of jobs"),
            "tellTransitions": _operation(
                "send", "transitions", "Publish the transitions of jobs; best effort"
            ),
        },
        "components": {
            "schemas": _schemas(),
            "messages": _messages(),
            "securitySchemes": {
                "user": {
                    "type": "userPassword",
                    "description": "A user of the broker; an administrator sets its permissions.",
                }
            },
        },
    }
    return json.dumps(document, indent=2) + "\n"


def _server() -> Piece:
    return {
        "host": "127.0.0.1:5672",
        "protocol": "amqp",
        "protocolVersion": "0-9-1",
        "pathname": "/",
        "description": "The broker that the service itself uses, in the service's virtual host.",
        "security": [{"$ref": "#/components/securitySchemes/user"}],
    }


def _events_channel() -> Piece:
    return {
        "address": EVENTS_IN,
        "title": "Events in",
        "description": (
            "Publish to this exchange with confirms and any routing key; a confirm means that the "
            f"event is safe. An invalid message goes to the queue `{dead_queue(EVENTS_IN)}`, with "
            "the reason in the header `x-jobwire-reason`."
        ),
        "messages": _named("event", "cloudEvent", "cloudEventInHeaders"),
        "bindings": _exchange(EVENTS_IN),
    }


def _transitions_channel() -> Piece:
    return {
        "address": "{lifecycle}.{state}.{job}",
        "title": "Transitions out",
        "description": (
            f"Bind a queue of your own to the exchange `{JOBS}`. The address is the routing key: "
            "three words, of which `*` matches any one. Transitions are not stored: a subscriber "
            "that must not miss any uses a callback, or reads the history. The exchange carries "
            "the "
            "transitions of all owners."
        ),
        "parameters": {
            "lifecycle": {"description": "The lifecycle; a dot in its name is written as `:`."},
            "state": {"description": "The state that was entered; a dot is written as `:`."},
            "job": {"description": "The id of the job."},
        },
        "messages": _named("transition"),
        "bindings": _exchange(JOBS),
    }


def _named(*names: str) -> Piece:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in names}


def _exchange(name: str) -> Piece:
    exchange = {"name": name, "type": "topic", "durable": True, "autoDelete": False}
    return {"amqp": {"is": "routingKey", "exchange": exchange, "bindingVersion": _BINDING}}


def _operation(action: str, channel: str, summary: str) -> Piece:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "bindings": {"amqp": {"deliveryMode": 2, "bindingVersion": _BINDING}},
    }


def _schemas() -> dict[str, Piece]:
    _, components = described([EventBody, CloudEvent, Transition])
    cloud = components[CloudEvent.__name__]
    del cloud["properties"]["data_base64"]
    # It is read as if it might be missing, to say more plainly that it is.
    cloud["required"] = sorted({*cloud["required"], "id"})
    return dict(sorted(components.items()))


def _messages() -> dict[str, Piece]:
    return {
        "event": _message(
            "An event, as `POST /v1/events` takes it",
            _JSON,
            {"$ref": REFERENCE.format(name=EventBody.__name__)},
            "Its id is `id`, or else the message id; one of the two is required.",
            payload=_event_example(),
            headers=_bearer_schema(),
        ),
        "cloudEvent": _message(
            "A CloudEvent in structured mode",
            CLOUD_EVENT,
            {"$ref": REFERENCE.format(name=CloudEvent.__name__)},
            "`subject` is the job's id; `token` is an extension.",
            payload={**_attributes_example(), "data": {"reads": 40712}},
            headers=_bearer_schema(),
        ),
        "cloudEventInHeaders": _message(
            "A CloudEvent in binary mode",
            _JSON,
            {"description": "The `data` of the event: any JSON, or empty."},
            f"Its attributes are headers; the older prefix `{CLOUD_HEADS[1]}` is accepted too.",
            payload={"reads": 40712},
            headers=_headers_schema(),
            example={f"{_HEAD}{name}": value for name, value in _attributes_example().items()},
        ),
        "transition": _message(
            "A job entered another state",
            _JSON,
            {"$ref": REFERENCE.format(name=Transition.__name__)},
            "The creation of a job is published too; entries that do not change the state are not.",
            payload=_transition_example(),
        ),
    }


def _message(
    title: str,
    kind: str,
    schema: Piece,
    description: str,
    *,
    payload: Piece,
    headers: Piece | None = None,
    example: Piece | None = None,
) -> Piece:
    message: Piece = {"title": title, "description": description, "contentType": kind}
    if headers is not None:
        message["headers"] = headers
    message["payload"] = schema
    message["examples"] = [{"payload": payload} | ({"headers": example} if example else {})]
    return message


def _bearer_schema() -> Piece:
    token = {"type": "string", "description": _TOKEN_TEXT}
    return {"type": "object", "properties": {"authorization": token}}


def _headers_schema() -> Piece:
    cloud = _schemas()[CloudEvent.__name__]
    properties = {
        f"{_HEAD}{name}": schema
        for name, schema in cloud["properties"].items()
        if name not in _NO_HEADERS
    }
    bearer: Piece = _bearer_schema()["properties"]
    return {
        "type": "object",
        "properties": {**properties, **bearer},
        "required": [f"{_HEAD}{name}" for name in cloud["required"]],
    }


def _event_example() -> Piece:
    return {
        "uuid": _JOB,
        "name": "finish",
        "token": _TOKEN,
        "id": "align-7-finish",
        "data": {"reads": 40712},
        "time": "2026-03-01T12:00:00Z",
        "source": "lab-7",
    }


def _attributes_example() -> Piece:
    return {
        "specversion": "1.0",
        "id": "align-7-finish",
        "source": "lab-7",
        "type": "job.finish",
        "subject": _JOB,
        "time": "2026-03-01T12:00:00Z",
        "token": _TOKEN,
    }


def _transition_example() -> Piece:
    return {
        "job": _JOB,
        "owner": "admin",
        "lifecycle": "pipeline",
        "seq": 4,
        "id": "align-7-finish",
        "name": "finish",
        "state": "FINISHED",
        "outcome": "success",
        "source": "lab-7",
        "received": "2026-03-01T12:00:01.250000Z",
        "occurred": "2026-03-01T12:00:00Z",
    }

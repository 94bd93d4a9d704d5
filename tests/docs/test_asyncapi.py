"""The description of the bus for programs is whole, and its examples are what the service takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import msgspec
import pytest

from jobwire.actors.dialects import native
from jobwire.actors.dialects.native.messages import read_message
from jobwire.actors.messaging.replies import ReplyInbox
from jobwire.actors.operations.events import Events
from jobwire.actors.transports.base import BusMessage
from jobwire.schemas.addresses import EVENTS_IN, JOBS
from jobwire.schemas.events import Event
from jobwire.schemas.identifiers import JobId
from jobwire.schemas.tokens import mint_token
from jobwire.schemas.transitions import Transition, topic_of
from tests.support.factories import KEYRING
from tests.support.packing import packing

ASYNCAPI = json.loads((files(native) / "asyncapi.json").read_text())
_MESSAGES = ASYNCAPI["components"]["messages"]
_INCOMING = ("event", "cloudEvent", "cloudEventInHeaders")


def _references(part: Any) -> Iterator[str]:
    match part:
        case {"$ref": str(reference)}:
            yield reference
        case dict():
            for each in part.values():
                yield from _references(each)
        case list():
            for each in part:
                yield from _references(each)


def _found(reference: str) -> Any:
    part = ASYNCAPI
    for key in reference.removeprefix("#/").split("/"):
        part = part[key]
    return part


def test_every_reference_leads_somewhere() -> None:
    references = set(_references(ASYNCAPI))

    assert all(reference.startswith("#/") for reference in references)
    assert all(_found(reference) for reference in references)
    assert len(references) > 8


def test_it_has_the_parts_that_version_3_asks_for() -> None:
    assert ASYNCAPI["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= ASYNCAPI["info"].keys()
    assert all({"host", "protocol"} <= server.keys() for server in ASYNCAPI["servers"].values())
    assert {operation["action"] for operation in ASYNCAPI["operations"].values()} == {
        "receive",
        "send",
    }
    assert all(
        operation["channel"]["$ref"] in {f"#/channels/{name}" for name in ASYNCAPI["channels"]}
        for operation in ASYNCAPI["operations"].values()
    )


def test_it_names_the_exchanges_that_there_are() -> None:
    exchanges = {
        channel["bindings"]["amqp"]["exchange"]["name"] for channel in ASYNCAPI["channels"].values()
    }

    assert exchanges == {EVENTS_IN, JOBS}


def test_every_message_is_on_a_channel_and_has_an_example() -> None:
    carried = [
        _found(reference["$ref"])
        for channel in ASYNCAPI["channels"].values()
        for reference in channel["messages"].values()
    ]

    assert len(carried) == len(_MESSAGES)
    assert all(message in carried for message in _MESSAGES.values())
    assert all(message["examples"] and message["contentType"] for message in carried)


def _events() -> Events:
    async def send(_shard: int, _events: tuple[Event, ...]) -> None:
        """Take no event."""

    return Events(
        packer=packing(send),
        replies=ReplyInbox(),
        keyring=KEYRING,
        clock=lambda: datetime(2026, 3, 1, tzinfo=UTC),
        data_bytes=65_536,
    )


@pytest.mark.parametrize("name", _INCOMING)
def test_an_example_of_an_event_is_one(name: str) -> None:
    message = _MESSAGES[name]
    (example,) = message["examples"]
    job = JobId("5030da6a-978b-4ced-9c7d-8335f89e5379")
    token = mint_token(KEYRING, job, 1)
    shown = next(
        value
        for part in (example["payload"], example.get("headers", {}))
        for key, value in part.items()
        if key.endswith("token")
    )
    text = json.dumps(example).replace(shown, token)
    own = json.loads(text)

    event = read_message(
        _events(),
        BusMessage(
            json.dumps(own["payload"]).encode(),
            content_type=message["contentType"],
            headers=own.get("headers", {}),
        ),
        65_536,
    )

    assert (event.job, event.name, event.id) == (job, "finish", "align-7-finish")
    assert (event.source, event.data) == ("lab-7", b'{"reads": 40712}')
    assert event.occurred == datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("name", [*_INCOMING, "transition"])
def test_an_example_has_the_fields_of_its_schema(name: str) -> None:
    message = _MESSAGES[name]
    (example,) = message["examples"]

    for part, schema in (("payload", message["payload"]), ("headers", message.get("headers", {}))):
        described = _found(schema["$ref"]) if "$ref" in schema else schema
        if "properties" in described:
            fields = example.get(part, {}).keys()
            assert set(described.get("required", ())) <= fields <= described["properties"].keys()


def test_the_example_of_a_transition_is_one() -> None:
    (example,) = _MESSAGES["transition"]["examples"]

    transition = msgspec.convert(example["payload"], Transition)

    assert msgspec.to_builtins(transition) == example["payload"]
    assert topic_of(transition) == f"pipeline.FINISHED.{transition.job}"

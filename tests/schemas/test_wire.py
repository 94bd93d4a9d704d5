"""
What travels and what is stored is an array: its order is a promise between releases.

A new field goes to the end and has a default; then a release reads what the one before wrote.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Struct, structs

from jobwire.schemas.commands import Command, Outstanding
from jobwire.schemas.events import Event, Packet, SignedAuthority, TokenAuthority
from jobwire.schemas.jobs import Entry, Job, JobCreation, Plan, Refusal
from jobwire.schemas.outcomes import Outcome
from tests.support.factories import make_create, make_entry, make_event, make_job, make_refusal

_FIRST_FIELDS: dict[type[Struct], str] = {
    TokenAuthority: "token attempt",
    SignedAuthority: "role principal attempt key_id signature",
    Event: "id job name authority received digest data occurred source expects reply creation",
    Packet: "version events",
    Plan: "stage_in stage_out tries",
    JobCreation: "owner lifecycle lifecycle_version name tags parent deadline_s heartbeat_s plan",
    Entry: "job owner seq id name state outcome applied reason data source received occurred "
    "digest change",
    Job: "id owner lifecycle lifecycle_version name tags parent deadline_s heartbeat_s plan state "
    "outcome cause seq born created updated last_event generation previous_token_until attempt "
    "first_attempt outstanding cancel_applied suspected deleted",
    Refusal: "job event owner reason name data source received occurred digest position "
    "replayed_as",
    Outcome: "job event verdict reason seq state duplicate generation outstanding",
    Outstanding: "entry kind attempt since",
    Command: "job entry kind attempt",
}


@pytest.mark.parametrize("record", _FIRST_FIELDS, ids=lambda record: record.__name__)
def test_a_record_keeps_its_fields_in_their_places(record: type[Struct]) -> None:
    first = _FIRST_FIELDS[record].split()
    fields = structs.fields(record)

    added = fields[len(first) :]
    assert [field.name for field in fields[: len(first)]] == first
    assert all(not field.required for field in added)
    assert record.__struct_config__.array_like


_EXAMPLES = [make_event(), make_create(), make_entry(), make_job(), make_refusal()]


@pytest.mark.parametrize("record", _EXAMPLES, ids=lambda record: type(record).__name__)
def test_a_record_of_a_later_release_with_one_more_field_is_read(record: Any) -> None:
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(record))

    later = msgspec.msgpack.encode([*fields, "something new"])

    assert msgspec.msgpack.decode(later, type=type(record)) == record


def test_a_packet_of_the_first_release_is_read() -> None:
    event = make_event("run", data=b"{}", event_id="e")
    assert isinstance(event.authority, TokenAuthority)
    written = msgspec.msgpack.encode(
        [
            1,
            [
                [
                    "e",
                    event.job,
                    "run",
                    ["token", event.authority.token, None],
                    event.received,
                    event.digest,
                    b"{}",
                ]
            ],
        ]
    )

    assert msgspec.msgpack.decode(written, type=Packet) == Packet(1, (event,))

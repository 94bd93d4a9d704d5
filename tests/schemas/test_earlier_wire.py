"""
What release 0.1.0 wrote is read, and what this release writes that one reads as its own.

The recording holds the bytes that the code of release 0.1.0 wrote while a job went through its
life, and what they mean to it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pytest

from jobwire.actors.state_manager.decide import Keep, decide, entry_of
from jobwire.actors.stores.base import Positioned
from jobwire.schemas.codec import decode_packet
from jobwire.schemas.commands import Command
from jobwire.schemas.events import PACKET_VERSION, Event, Packet
from jobwire.schemas.invocations import Argv
from jobwire.schemas.jobs import Entry, Job, JobCreation, Refusal, advance
from jobwire.schemas.lifecycles import BUILT_IN
from jobwire.schemas.outcomes import Outcome
from jobwire.schemas.tokens import identify
from tests.support import release_0_1_0
from tests.support.factories import KEYRING

_FILE: Final = Path(__file__).parents[1] / "recordings/release-0.1.0/wire.json"
_NOW: Final = {
    "Packet": Packet,
    "Entry": Entry,
    "Job": Job,
    "Refusal": Refusal,
    "Outcome": Outcome,
    "Command": Command,
    "Broadcast": list[Positioned],
}


class Recorded(NamedTuple):
    """One message or document of release 0.1.0."""

    what: str
    record: str
    written: bytes
    means: Any

    def read(self) -> Any:
        """Read it with this release."""
        return msgspec.msgpack.decode(self.written, type=_NOW[self.record])


def _recorded() -> Iterator[Recorded]:
    for each in json.loads(_FILE.read_text())["records"]:
        yield Recorded(each["what"], each["record"], base64.b64decode(each["bytes"]), each["means"])


_ALL: Final = list(_recorded())
_IDS: Final = [each.what for each in _ALL]


def test_the_recording_has_every_kind_of_command_and_message() -> None:
    kinds = {each.read().kind for each in _ALL if each.record == "Command"}

    assert {each.record for each in _ALL} == set(_NOW)
    assert kinds == {"StageIn", "Submit", "Watch", "StageOut", "Cancel", "CleanUp"}


@pytest.mark.parametrize("recorded", _ALL, ids=_IDS)
def test_what_release_0_1_0_wrote_means_the_same_now(recorded: Recorded) -> None:
    read = recorded.read()

    again = msgspec.msgpack.encode(read)
    assert release_0_1_0.read(recorded.record, again) == recorded.means


@pytest.mark.parametrize("recorded", _ALL, ids=_IDS)
def test_the_copy_of_release_0_1_0_reads_its_recording(recorded: Recorded) -> None:
    assert release_0_1_0.read(recorded.record, recorded.written) == recorded.means


def test_a_spec_of_release_0_1_0_says_what_it_runs() -> None:
    creation = next(each.read() for each in _ALL if each.record == "Entry").change.creation

    assert isinstance(creation, JobCreation)
    assert creation.spec is not None
    assert creation.spec.invocation == Argv(("/bin/sh", "-c", "echo ü"))


def _sent() -> Iterator[tuple[Recorded, Event]]:
    for each in _ALL:
        if each.record == "Packet":
            (event,) = decode_packet(each.written).events
            yield each, event


def test_the_same_events_lead_to_what_release_0_1_0_reads_as_if_it_had_written_it() -> None:
    jobs: dict[str, Job] = {}
    for number, (recorded, event) in enumerate(_sent(), 1):
        job, sender = jobs.get(event.job), identify(KEYRING, event)
        creation = event.creation
        lifecycle = BUILT_IN[job.lifecycle if job else creation.lifecycle if creation else ""]
        assert sender is not None, recorded.what
        verdict = decide(job, event, sender, lifecycle, 1_000)
        assert isinstance(verdict, Keep)
        entry = entry_of(job, event, verdict, lifecycle)
        jobs[event.job] = after = advance(job, entry)

        records = [
            Packet(PACKET_VERSION, (event,), "gw.1", number),
            entry,
            after,
            *([command] if (command := after.command()) else []),
        ]
        for record in records:
            name = type(record).__name__
            read = release_0_1_0.read(name, msgspec.msgpack.encode(record))
            assert read in [each.means for each in _ALL if each.record == name], recorded.what

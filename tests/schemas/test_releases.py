"""The level of a release, as its leases name it, and words of other releases."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from jobwire.schemas.commands import KINDS, Command, Outstanding
from jobwire.schemas.identifiers import EventId
from jobwire.schemas.jobs import Entry, Job, Refusal
from jobwire.schemas.lifecycle import EventKind
from jobwire.schemas.outcomes import Outcome
from jobwire.schemas.releases import FIRST_LEVEL, LEVEL, holder_name, level_of
from jobwire.schemas.specs import Retries, Spec
from jobwire.schemas.tokens import identify, sign
from tests.support.factories import (
    KEYRING,
    NOW,
    job_id,
    make_entry,
    make_event,
    make_job,
    make_refusal,
)


def test_a_holder_of_this_release_names_its_level() -> None:
    assert level_of(holder_name("host.1.ab")) == LEVEL > FIRST_LEVEL


@pytest.mark.parametrize("name", ["host.1.ab12cd", "", "host~", "host~x", "host~²"])
def test_a_holder_that_names_no_level_is_of_the_first_one(name: str) -> None:
    assert level_of(name) == FIRST_LEVEL


def test_a_holder_of_a_later_release_is_understood() -> None:
    assert level_of("host.1.ab~17") == 17


def _again(record: Any) -> Any:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=type(record))


def test_words_of_another_release_are_read_and_kept() -> None:
    awaited = Outstanding(EventId("e"), "Conduct", 1, NOW)
    job = make_job(cause="meteor", outstanding=awaited, lifecycle="flow")
    entry = replace(make_entry(), reason="too_early")
    refusal = replace(make_refusal(), reason="not_paid")
    outcome = Outcome(job=job_id(), event=EventId("e"), verdict="kept", reason="too_early")
    spec = Spec(argv=("true",), retries=Retries(max=1, on=("meteor",)))
    kind = EventKind(senders=("agent",))

    for record in (job, entry, refusal, outcome, spec, kind):
        assert _again(record) == record


@pytest.mark.parametrize("record", [Job, Entry, Refusal, Outcome, Command])
def test_text_that_is_none_is_still_refused(record: type) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode([1] * 40), type=record)


def test_a_command_of_another_release_has_no_queue_here() -> None:
    command = make_job(outstanding=Outstanding(EventId("e"), "Conduct", 1, NOW)).command()

    assert command is not None
    assert "Conduct" not in KINDS
    assert command.queue is None


def test_a_role_of_another_release_is_verified_like_any_other() -> None:
    event = make_event("run")
    signed = sign(KEYRING, event.job, event.id, "agent", "a-7", 2)

    sender = identify(KEYRING, replace(event, authority=signed))
    forged = identify(KEYRING, replace(event, authority=replace(signed, role="worker")))

    assert sender is not None
    assert (sender.role, sender.principal, sender.attempt) == ("agent", "a-7", 2)
    assert forged is None

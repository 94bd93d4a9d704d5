"""What a worker has in hand."""

from __future__ import annotations

from msgspec.structs import replace

from jobwire.actors.workers.in_hand import InHand
from jobwire.schemas.commands import Command
from jobwire.schemas.identifiers import EventId
from tests.support.factories import NOW, job_id

_COMMAND = Command(job_id(1), EventId("create"), "Submit", 1, owner="alice", since=NOW)


def test_a_command_that_is_published_again_is_the_same_one() -> None:
    hand = InHand()

    taken = [hand.add(_COMMAND), hand.add(_COMMAND), hand.add(replace(_COMMAND, priority=3))]
    hand.discard(_COMMAND)

    assert taken == [True, False, False]
    assert len(hand) == 0
    assert hand.add(_COMMAND)


def test_a_command_of_another_entry_or_attempt_is_another_one() -> None:
    hand = InHand()

    others = [replace(_COMMAND, entry=EventId("release")), replace(_COMMAND, attempt=2)]

    assert [hand.add(each) for each in (_COMMAND, *others)] == [True] * 3


def test_a_job_has_one_lock_as_long_as_somebody_holds_it() -> None:
    hand = InHand()

    lock = hand.lock(_COMMAND)

    assert hand.lock(replace(_COMMAND, entry=EventId("cancel"))) is lock
    assert hand.lock(replace(_COMMAND, job=job_id(2))) is not lock

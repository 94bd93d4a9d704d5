"""Who starts next when not all can."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from jobwire.actors.submitter.slots import Slots
from jobwire.schemas.commands import Command
from jobwire.schemas.identifiers import EventId
from tests.support.factories import job_id


def _command(number: int, owner: str = "alice", priority: int = 0, cores: int = 1) -> Command:
    return Command(
        job_id(number),
        EventId("create"),
        "Submit",
        1,
        owner=owner,
        priority=priority,
        cores=cores,
    )


def _order(slots: Slots) -> list[Command]:
    """Let everything run, one after the other."""
    order = []
    while len(slots):
        for command in slots.ready():
            order.append(command)
            slots.give_back(command.cores)
    return order


def test_the_first_come_is_the_first_served() -> None:
    slots = Slots(1)
    commands = [_command(number) for number in range(5)]
    for command in commands:
        slots.wait(command)

    assert _order(slots) == commands


def test_no_more_run_than_there_are_cores() -> None:
    slots = Slots(3)
    for number in range(5):
        slots.wait(_command(number))

    assert len(list(slots.ready())) == 3
    assert list(slots.ready()) == []
    slots.give_back(1)
    assert len(list(slots.ready())) == 1
    assert len(slots) == 1


def test_the_higher_priority_goes_first_within_an_owner() -> None:
    slots = Slots(1)
    low, high, middle = (_command(n, priority=p) for n, p in enumerate((-5, 9, 0)))
    for command in (low, high, middle):
        slots.wait(command)

    assert _order(slots) == [high, middle, low]


def test_owners_take_turns_whatever_they_have_and_call_it() -> None:
    slots = Slots(1)
    many = [_command(number, "alice", priority=100) for number in range(4)]
    few = [_command(number, "bob", priority=-100) for number in range(10, 12)]
    for command in (*many, *few):
        slots.wait(command)

    owners = [command.owner for command in _order(slots)]

    assert owners == ["alice", "bob", "alice", "bob", "alice", "alice"]


def test_a_large_job_is_not_overtaken_for_ever() -> None:
    slots = Slots(4)
    slots.take(3)
    large, small = _command(1, cores=4), _command(2)
    slots.wait(large)
    slots.wait(small)

    assert list(slots.ready()) == []
    slots.give_back(3)
    assert list(slots.ready()) == [large]


def test_what_runs_already_has_its_cores_even_when_there_are_fewer() -> None:
    slots = Slots(2)
    slots.take(3)
    slots.wait(_command(1))

    slots.give_back(1)
    assert list(slots.ready()) == []
    slots.give_back(1)
    assert len(list(slots.ready())) == 1


def test_nothing_starts_while_it_is_not_known_what_runs_already() -> None:
    slots = Slots(2)
    running, waiting = _command(1), _command(2)
    slots.expect(running)
    slots.wait(waiting)

    assert list(slots.ready()) == []
    slots.take(2)
    slots.settle(running)
    slots.settle(running)
    assert list(slots.ready()) == []
    slots.give_back(2)
    assert list(slots.ready()) == [waiting]


def test_a_site_with_a_queue_of_its_own_takes_everything() -> None:
    slots = Slots(None)
    for number in range(100):
        slots.wait(_command(number, cores=1000))

    assert len(list(slots.ready())) == 100


def test_ten_thousand_waiting_commands_are_little_memory() -> None:
    slots = Slots(1)
    before = sys.getallocatedblocks()

    for number in range(10_000):
        slots.wait(_command(number))

    assert (sys.getallocatedblocks() - before) / 10_000 < 12


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(-3, 3), st.integers(1, 4)), max_size=40),
    st.integers(4, 6),
)
def test_every_command_gets_its_turn_once(wanted: list[tuple[str, int, int]], cores: int) -> None:
    slots = Slots(cores)
    commands = [_command(n, *each) for n, each in enumerate(wanted)]
    for command in commands:
        slots.wait(command)

    running: list[Command] = []
    started: list[Command] = []
    while len(slots) or running:
        for command in slots.ready():
            running.append(command)
            started.append(command)
            assert sum(each.cores for each in running) <= cores
        slots.give_back(running.pop(0).cores)

    assert sorted(command.job for command in started) == [command.job for command in commands]


def test_who_has_waited_too_long_is_taken_out_and_the_others_keep_their_order() -> None:
    slots, moment = Slots(1), datetime(2026, 1, 1, tzinfo=UTC)
    commands = [
        replace(_command(number, owner), start_by=start_by)
        for number, (owner, start_by) in enumerate(
            [
                ("alice", None),
                ("bob", moment - timedelta(seconds=1)),
                ("alice", moment - timedelta(seconds=1)),
                ("alice", moment + timedelta(seconds=1)),
                ("carol", None),
            ]
        )
    ]
    for command in commands:
        slots.wait(command)

    late = slots.late(moment)

    assert set(late) == {commands[1], commands[2]}
    assert _order(slots) == [commands[0], commands[4], commands[3]]
    assert slots.late(moment) == []

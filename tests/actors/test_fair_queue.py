"""Whose command comes next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from jobwire.actors.workers.fair_queue import FairQueue
from jobwire.schemas.commands import Command
from jobwire.schemas.identifiers import EventId
from tests.support.factories import job_id


def _command(number: int, owner: str) -> Command:
    return Command(job_id(number), EventId("create"), "StageIn", 1, owner=owner)


def _order(queue: FairQueue) -> list[Command]:
    return [queue.pop() for _ in range(len(queue))]


def test_owners_take_queue_and_each_one_is_served_in_order() -> None:
    queue = FairQueue(by_priority=False)
    many = [_command(number, "alice") for number in range(3)]
    few = [_command(number, "bob") for number in range(3, 5)]
    for command in (*many, *few):
        queue.put(command)

    assert _order(queue) == [many[0], few[0], many[1], few[1], many[2]]


def test_who_comes_new_waits_for_one_command_of_everybody_else_only() -> None:
    queue = FairQueue(by_priority=False)
    for number in range(1_000):
        queue.put(_command(number, "alice"))
    first = queue.pop()
    new = _command(2_000, "bob")
    queue.put(new)

    assert first.owner == queue.pop().owner == "alice"
    assert queue.pop() == new
    assert len(queue) == 998


def test_where_nobody_waits_nothing_can_be_taken() -> None:
    queue = FairQueue(by_priority=False)

    with pytest.raises(LookupError):
        queue.pop()


@given(st.lists(st.sampled_from("abc"), max_size=30))
def test_every_command_is_taken_once_in_the_order_of_its_owner(owners: list[str]) -> None:
    queue = FairQueue(by_priority=False)
    commands = [_command(number, owner) for number, owner in enumerate(owners)]
    for command in commands:
        queue.put(command)

    order = _order(queue)

    assert len(order) == len(commands)
    for owner in "abc":
        own = [each for each in commands if each.owner == owner]
        assert [each for each in order if each.owner == owner] == own


def test_where_priorities_count_the_highest_of_an_owner_goes_first() -> None:
    queue = FairQueue(by_priority=True)
    low, high, other = _command(1, "alice"), _command(2, "alice"), _command(3, "bob")
    for command in (low, replace(high, priority=5), replace(other, priority=-5)):
        queue.put(command)

    assert [each.job for each in _order(queue)] == [high.job, other.job, low.job]


@given(st.lists(st.sampled_from("abc"), max_size=30), st.sets(st.integers(0, 29)))
def test_what_is_removed_is_not_taken_and_the_others_keep_their_order(
    owners: list[str], removed: set[int]
) -> None:
    commands = [_command(number, owner) for number, owner in enumerate(owners)]
    meant = [each for number, each in enumerate(commands) if number in removed]
    queue, without = FairQueue(by_priority=False), FairQueue(by_priority=False)
    for command in commands:
        queue.put(command)
        if command not in meant:
            without.put(command)

    found = queue.remove(lambda each: each in meant)

    assert sorted(each.job for each in found) == sorted(each.job for each in meant)
    order, expected = _order(queue), _order(without)
    for owner in "abc":
        assert [each for each in order if each.owner == owner] == [
            each for each in expected if each.owner == owner
        ]

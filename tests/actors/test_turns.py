"""Whose command the stager takes next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobwire.actors.stager.turns import Turns
from jobwire.schemas.commands import Command
from jobwire.schemas.identifiers import EventId
from tests.support.factories import job_id


def _command(number: int, owner: str) -> Command:
    return Command(job_id(number), EventId("create"), "StageIn", 1, owner=owner)


def _order(turns: Turns) -> list[Command]:
    return [turns.take() for _ in range(len(turns))]


def test_owners_take_turns_and_each_one_is_served_in_order() -> None:
    turns = Turns()
    many = [_command(number, "alice") for number in range(3)]
    few = [_command(number, "bob") for number in range(3, 5)]
    for command in (*many, *few):
        turns.wait(command)

    assert _order(turns) == [many[0], few[0], many[1], few[1], many[2]]


def test_who_comes_new_waits_for_one_command_of_everybody_else_only() -> None:
    turns = Turns()
    for number in range(1_000):
        turns.wait(_command(number, "alice"))
    first = turns.take()
    new = _command(2_000, "bob")
    turns.wait(new)

    assert first.owner == turns.take().owner == "alice"
    assert turns.take() == new
    assert len(turns) == 998


def test_where_nobody_waits_nothing_can_be_taken() -> None:
    turns = Turns()

    with pytest.raises(LookupError):
        turns.take()


@given(st.lists(st.sampled_from("abc"), max_size=30))
def test_every_command_is_taken_once_in_the_order_of_its_owner(owners: list[str]) -> None:
    turns = Turns()
    commands = [_command(number, owner) for number, owner in enumerate(owners)]
    for command in commands:
        turns.wait(command)

    order = _order(turns)

    assert len(order) == len(commands)
    for owner in "abc":
        own = [each for each in commands if each.owner == owner]
        assert [each for each in order if each.owner == owner] == own

"""The job is the fold of its entries."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import asdict, replace

from jobwire.schemas.commands import Command, CommandKind, Outstanding
from jobwire.schemas.identifiers import EventId
from jobwire.schemas.jobs import Change, Entry, advance
from jobwire.schemas.lifecycle import CREATE
from tests.support.factories import (
    OWNER,
    after,
    fold,
    job_id,
    make_creation,
    make_entry,
    make_history,
    make_job,
    make_plan,
)


def test_a_job_begins_as_its_birth_says() -> None:
    parent = job_id(9)
    creation = make_creation(
        name="align", tags=("a", "b"), parent=parent, deadline_s=5.0, plan=make_plan(tries=2)
    )
    entry = make_entry(change=Change(creation=creation, generation=1, attempt=1, first_attempt=1))

    job = advance(None, entry)

    assert (job.id, job.owner, job.name, job.tags) == (job_id(), OWNER, "align", ("a", "b"))
    assert (job.parent, job.deadline_s, job.heartbeat_s) == (parent, 5.0, None)
    assert (job.plan, job.lifecycle, job.lifecycle_version) == (creation.plan, "pipeline", 1)
    assert (job.state, job.seq, job.born, job.generation) == ("CREATED", 1, 1, 1)
    assert (job.attempt, job.first_attempt, job.suspected) == (1, 1, 0)
    assert (job.created, job.updated, job.last_event) == (after(1), after(1), CREATE)
    assert not job.deleted
    assert not job.cancel_applied
    assert job.outstanding is None


def test_an_applied_entry_moves_the_job_on() -> None:
    entry = make_entry(seq=2, name="run", state="RUNNING", received=after(7))

    job = advance(make_job(), entry)

    assert (job.seq, job.state, job.last_event) == (2, "RUNNING", "run")
    assert (job.created, job.updated) == (after(1), after(7))


def test_a_kept_entry_counts_and_does_not_become_the_last_event() -> None:
    entry = make_entry(seq=2, name="finish", applied=False)

    job = advance(make_job(), entry)

    assert (job.seq, job.last_event) == (2, CREATE)


_OUTSTANDING = Outstanding(EventId("x"), "Submit", 2, after(3))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cause", "stale"),
        ("generation", 7),
        ("previous_token_until", after(60)),
        ("attempt", 3),
        ("first_attempt", 2),
        ("outstanding", _OUTSTANDING),
        ("cancel_applied", True),
        ("suspected", 5),
        ("deleted", True),
    ],
)
def test_a_change_sets_its_field_and_no_other(field: str, value: Any) -> None:
    before = make_job()
    entry = make_entry(seq=2, name="update", change=Change(**{field: value}))

    job = advance(before, entry)

    moved = {"seq", "updated", "last_event"}
    changed = {
        name for name, was in asdict(before).items() if asdict(job)[name] != was and name != field
    }
    assert getattr(job, field) == value
    assert changed <= moved


def test_a_change_to_none_is_not_no_change() -> None:
    waiting = make_job(outstanding=_OUTSTANDING, cause="stale")

    cleared = advance(waiting, make_entry(seq=2, name="run", change=Change(outstanding=None)))

    assert cleared.outstanding is None
    assert cleared.cause == "stale"


def test_every_field_that_may_change_is_known_to_the_fold() -> None:
    changing = set(Change.__struct_fields__) - {"creation"}

    assert changing <= set(asdict(make_job()))


@pytest.mark.parametrize("seq", [1, 3, 0, -1])
def test_an_entry_out_of_order_is_refused(seq: int) -> None:
    entry = make_entry(seq=seq, name="run")

    with pytest.raises(ValueError, match="does not follow 1"):
        advance(make_job(), entry)


def test_a_history_without_its_beginning_is_refused() -> None:
    with pytest.raises(ValueError, match="does not follow 0"):
        advance(None, make_entry(seq=2, name="run"))


def test_a_history_that_begins_with_another_event_is_refused() -> None:
    with pytest.raises(ValueError, match="does not begin with its create"):
        advance(None, make_entry(seq=1, name="run"))


def test_a_job_made_again_forgets_its_first_life_and_goes_on_counting() -> None:
    tombstone = make_job(
        seq=4, deleted=True, generation=2, cause="stale", cancel_applied=True, suspected=3
    )
    again = Change(creation=make_creation(name="again"), generation=3, attempt=2, first_attempt=2)

    job = advance(tombstone, make_entry(seq=5, change=again))

    assert (job.seq, job.born, job.generation, job.name) == (5, 5, 3, "again")
    assert (job.attempt, job.first_attempt) == (2, 2)
    assert (job.deleted, job.cause, job.cancel_applied, job.suspected) == (False, None, False, 0)


@given(st.lists(st.sampled_from(["run", "update", "finish"]), max_size=12), st.data())
def test_folding_in_two_parts_is_folding_at_once(names: list[str], data: st.DataObject) -> None:
    entries = make_history(*names)
    cut = data.draw(st.integers(1, len(entries)))

    whole = fold(entries)
    parts = fold(entries[cut:], fold(entries[:cut]))

    assert whole == parts
    assert whole.seq == len(entries)


@given(st.permutations(make_history("run", "update", "finish")))
def test_only_the_right_order_can_be_folded(entries: list[Entry]) -> None:
    in_order = [entry.seq for entry in entries] == [1, 2, 3, 4]
    try:
        fold(entries)
    except ValueError:
        assert not in_order
    else:
        assert in_order


def test_a_job_without_deadline_and_heartbeat_is_never_stale() -> None:
    assert make_job().stale_at() is None


def test_a_job_is_stale_at_the_earlier_of_its_two_limits() -> None:
    job = make_job(deadline_s=100.0, heartbeat_s=10.0)

    assert job.stale_at() == after(1 + 10)
    assert replace(job, updated=after(95)).stale_at() == after(1 + 100)
    assert replace(job, heartbeat_s=None).stale_at() == after(1 + 100)


def test_a_command_goes_to_the_queue_of_its_worker() -> None:
    queues = {
        kind: Command(job_id(), EventId("x"), kind, 1).queue
        for kind in ("StageIn", "StageOut", "Submit", "Cancel")
    }

    assert queues == {
        "StageIn": "commands.stager",
        "StageOut": "commands.stager",
        "Submit": "commands.site.local",
        "Cancel": "commands.site.local",
    }


def test_an_unset_change_is_told_from_none() -> None:
    change = Change(outstanding=None)

    assert change.outstanding is None
    assert change.cause is UNSET


@pytest.mark.parametrize(
    ("kind", "is_kept_back"),
    [("StageIn", True), ("Submit", True), ("Cancel", False), ("CleanUp", False), ("Watch", False)],
)
def test_a_hold_keeps_back_what_would_start_and_nothing_else(
    kind: CommandKind, is_kept_back: bool
) -> None:
    awaited = Outstanding(EventId("e-1"), kind, 1, after(0))
    held = make_job(held=True, outstanding=awaited)
    free = make_job(held=False, outstanding=awaited)
    command = free.command()

    assert command is not None
    assert (command.kind, command.owner) == (kind, OWNER)
    assert free.awaits(command)
    assert (held.command() is None) is is_kept_back
    assert held.awaits(command) is not is_kept_back
    assert (held.publish_at() is None) is is_kept_back


@pytest.mark.parametrize(("since", "at"), [(0, 10), (5, 5), (100, 100)])
def test_a_command_for_later_is_published_then_and_another_one_again_after_a_while(
    since: float, at: float
) -> None:
    awaited = Outstanding(EventId("e-1"), "Submit", 1, after(since))

    assert make_job(updated=after(0), outstanding=awaited).publish_at() == after(at)

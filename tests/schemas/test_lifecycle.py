"""The check that every registered table passes, and what it says of a wrong one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobwire.schemas.errors import Invalid
from jobwire.schemas.lifecycle import (
    Arrow,
    EventKind,
    Facts,
    Lifecycle,
    State,
    arrows,
    check,
    next_state,
)
from tests.support.factories import make_lifecycle

_SMALL = make_lifecycle()
_STATES, _EVENTS = _SMALL.states, _SMALL.events


def _states(**changed: State) -> dict[str, Any]:
    return {"states": {**_STATES, **changed}}


def _events(**changed: EventKind) -> dict[str, Any]:
    return {"events": {**_EVENTS, **changed}}


def _ways(**changed: Any) -> dict[str, Any]:
    return {"transitions": {**_SMALL.transitions, **changed}}


_WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "initial is no state": ({"initial": "NONE"}, "/initial", "NONE"),
    "initial is not of the category initial": (
        _states(OPEN=State(category="waiting")),
        "/states/OPEN/category",
        "waiting",
    ),
    "an event has the name of a reserved one": (
        _events(delete=EventKind()),
        "/events/delete",
        "the service's own",
    ),
    "an event has the name of the other reserved one": (
        _events(rotate_token=EventKind()),
        "/events/rotate_token",
        "the service's own",
    ),
    "an event has a sender that there is not": (
        _events(begin=EventKind(senders=("token", "agent"))),
        "/events/begin/senders/1",
        "expected one of: token, caller, worker, reaper",
    ),
    "a row is of no state": (_ways(GONE={"begin": "WORK"}), "/transitions/GONE", "GONE"),
    "a column is of no event": (
        _ways(WORK={"jump": "DONE"}),
        "/transitions/WORK/jump",
        "jump",
    ),
    "an exit leads to no state": (_ways(WORK={"end": "GONE"}), "/transitions/WORK/end", "GONE"),
    "an arrow leads to no state": (
        _ways(WORK={"end": (Arrow("DONE", "may_retry"), Arrow("GONE"))}),
        "/transitions/WORK/end",
        "GONE",
    ),
    "a state that has not ended has an outcome": (
        _states(WORK=State(category="active", outcome="success")),
        "/states/WORK",
        "only an 'ended' state",
    ),
    "a state that has not ended is final": (
        _states(WORK=State(category="active", final=True)),
        "/states/WORK",
        "only an 'ended' state",
    ),
    "a plain event leads out of a final state": (
        _ways(DONE={"begin": "WORK"}),
        "/transitions/DONE/begin",
        "administrative",
    ),
    "a state cannot be reached": (
        _states(ISLAND=State(category="waiting")),
        "/states/ISLAND",
        "ISLAND",
    ),
    "the stale event is no event": ({"stale_event": "rot"}, "/stale_event", "rot"),
    "the reaper may not send the stale event": (
        _events(expire=EventKind()),
        "/events/expire/senders",
        "reaper",
    ),
}


@pytest.mark.parametrize(("fields", "pointer", "word"), _WRONG.values(), ids=_WRONG.keys())
def test_a_wrong_table_is_refused_with_a_pointer_to_its_first_mistake(
    fields: dict[str, Any], pointer: str, word: str
) -> None:
    with pytest.raises(Invalid) as caught:
        check(make_lifecycle(**fields))

    assert caught.value.pointer == pointer
    assert word in caught.value.detail


def test_a_sound_table_is_given_back() -> None:
    assert check(_SMALL) is _SMALL


def test_a_table_needs_no_stale_event() -> None:
    lifecycle = make_lifecycle(stale_event=None)

    assert check(lifecycle) is lifecycle


def test_a_final_state_may_repeat_itself_and_be_left_by_an_administrator() -> None:
    lifecycle = make_lifecycle(
        **_events(reopen=EventKind(administrative=True)),
        **_ways(DONE={"end": "DONE", "reopen": "OPEN"}),
    )

    assert check(lifecycle) is lifecycle


def test_the_arrows_come_in_the_order_of_the_table() -> None:
    lifecycle = make_lifecycle(
        transitions={"OPEN": {"begin": (Arrow("WORK", "may_retry"), Arrow("DONE"))}, "WORK": {}}
    )

    assert list(arrows(lifecycle)) == [
        ("OPEN", "begin", Arrow("WORK", "may_retry")),
        ("OPEN", "begin", Arrow("DONE")),
    ]


@pytest.mark.parametrize("word", ["", "1st", "a b", "a\n", "a/b", "x" * 65, "é"])
def test_a_name_that_is_no_word_is_not_read(word: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**msgspec.to_builtins(_SMALL), "name": word}, Lifecycle)


def test_a_lifecycle_survives_json() -> None:
    text = msgspec.json.encode(_SMALL)

    assert msgspec.json.decode(text, type=Lifecycle) == _SMALL


_WORDS = st.sampled_from(["A", "B", "C", "D"])
_NAMES = st.sampled_from(["x", "y", "z", "expire", "delete"])
_ARROWS = st.builds(Arrow, _WORDS, st.sampled_from(["always", "may_retry", "cancel_applied"]))
_KINDS = st.builds(
    EventKind,
    senders=st.just(("token", "reaper")),
    administrative=st.booleans(),
)
_ANY_STATE = st.builds(
    State,
    category=st.sampled_from(["initial", "waiting", "active", "ended"]),
    outcome=st.sampled_from([None, "success"]),
    final=st.booleans(),
)
_TABLES = st.builds(
    Lifecycle,
    name=st.just("any"),
    initial=_WORDS,
    states=st.dictionaries(_WORDS, _ANY_STATE, min_size=1),
    events=st.dictionaries(_NAMES, _KINDS, min_size=1),
    transitions=st.dictionaries(
        _WORDS,
        st.dictionaries(
            _NAMES, _WORDS | st.lists(_ARROWS, min_size=1, max_size=3).map(tuple), max_size=3
        ),
    ),
    stale_event=st.none() | _NAMES,
)
_FACTS = st.builds(Facts, may_retry=st.booleans(), cancel_applied=st.booleans())


def _refused(lifecycle: Lifecycle) -> Invalid | None:
    try:
        check(lifecycle)
    except Invalid as error:
        return error
    return None


@given(_TABLES, _WORDS, _NAMES, _FACTS)
def test_any_table_is_either_refused_or_leads_only_to_its_own_states(
    lifecycle: Lifecycle, state: str, event: str, facts: Facts
) -> None:
    refused = _refused(lifecycle)
    target = next_state(lifecycle, state, event, facts)

    if refused is not None:
        assert (refused.pointer or "").startswith("/")
        return
    assert target is None or target in lifecycle.states
    if target is not None and target != state and lifecycle.states[state].final:
        assert lifecycle.events[event].administrative

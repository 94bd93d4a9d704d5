"""
The built-in tables, cell by cell.

They are written out here a second time, in another form (one line for each exit), so that a slip
of the pen in either shows.
"""

from __future__ import annotations

from typing import Final

import pytest

from jobwire.schemas.lifecycle import Arrow, Facts, Lifecycle, check, next_state
from jobwire.schemas.lifecycles import BUILT_IN, EXECUTION, PIPELINE
from jobwire.schemas.lifecycles.table import read_table

#: Exits of `pipeline`: event, then the states it may leave and where each leads.
_PIPELINE: Final = {
    "create": {"CREATED": "CREATED"},
    "run": {"CREATED": "RUNNING", "RUNNING": "RUNNING"},
    "update": {
        "CREATED": "CREATED",
        "RUNNING": "RUNNING",
        "INDEXING": "INDEXING",
        "VALIDATING": "VALIDATING",
    },
    "resource": {"CREATED": "CREATED", "RUNNING": "RUNNING"},
    "fail": {
        "CREATED": "FAILED",
        "RUNNING": "FAILED",
        "INDEXING": "FAILED",
        "VALIDATING": "FAILED",
    },
    "finish": {"RUNNING": "FINISHED", "FINISHED": "FINISHED"},
    "index": {"FINISHED": "INDEXING", "INDEXING": "INDEXING"},
    "indexed": {"FINISHED": "FINISHED", "INDEXING": "FINISHED"},
    "validate": {"FINISHED": "VALIDATING", "VALIDATED": "VALIDATING"},
    "validated": {"VALIDATING": "VALIDATED", "VALIDATED": "VALIDATED"},
    "reject": {"VALIDATING": "REJECTED"},
    "finalize": {"VALIDATED": "FINALIZED"},
    "retire": {
        "FAILED": "RETIRED",
        "FINISHED": "RETIRED",
        "VALIDATING": "RETIRED",
        "VALIDATED": "RETIRED",
        "REJECTED": "RETIRED",
        "FINALIZED": "RETIRED",
    },
    "reset": {
        "CREATED": "RESET",
        "RUNNING": "RESET",
        "FAILED": "RESET",
        "FINISHED": "RESET",
        "INDEXING": "RESET",
        "VALIDATING": "RESET",
        "VALIDATED": "RESET",
        "REJECTED": "RESET",
        "FINALIZED": "RESET",
        "RETIRED": "RESET",
        "RESET": "RESET",
    },
    "ready": {"RESET": "CREATED"},
}

_ENDS: Final = {"FINISHED", "FAILED", "CANCELLED", "LOST"}
_BEFORE_THE_END: Final = set(EXECUTION.states) - _ENDS

#: Exits of `execution` with no attempt left and no cancel applied.
_EXECUTION: Final = {
    "stage": {"CREATED": "STAGING", "STAGING": "STAGING", "RETRYING": "STAGING"},
    "staged": {"STAGING": "STAGED", "CANCELLING": "CANCELLING"},
    "submit": {
        "CREATED": "SUBMITTING",
        "STAGED": "SUBMITTING",
        "SUBMITTING": "SUBMITTING",
        "RETRYING": "SUBMITTING",
    },
    "queued": {
        "SUBMITTING": "QUEUED",
        "QUEUED": "QUEUED",
        "RUNNING": "RUNNING",
        "CANCELLING": "CANCELLING",
        "UNKNOWN": "QUEUED",
    },
    "run": {
        "SUBMITTING": "RUNNING",
        "QUEUED": "RUNNING",
        "RUNNING": "RUNNING",
        "CANCELLING": "CANCELLING",
        "UNKNOWN": "RUNNING",
    },
    "update": {state: state for state in _BEFORE_THE_END},
    "exit": dict.fromkeys(
        ("SUBMITTING", "QUEUED", "RUNNING", "CANCELLING", "UNKNOWN"), "COLLECTING"
    ),
    "finish": dict.fromkeys(
        ("SUBMITTING", "QUEUED", "RUNNING", "COLLECTING", "CANCELLING", "UNKNOWN"), "FINISHED"
    ),
    "fail": {
        **dict.fromkeys(_BEFORE_THE_END - {"CANCELLING"}, "FAILED"),
        "CANCELLING": "CANCELLED",
    },
    "cancel": {
        "CREATED": "CANCELLED",
        "STAGING": "CANCELLING",
        "STAGED": "CANCELLED",
        "SUBMITTING": "CANCELLING",
        "QUEUED": "CANCELLING",
        "RUNNING": "CANCELLING",
        "CANCELLING": "CANCELLING",
        "RETRYING": "CANCELLED",
        "UNKNOWN": "CANCELLING",
    },
    "hold": {state: state for state in ("CREATED", "STAGING", "STAGED", "RETRYING")},
    "release": {state: state for state in ("CREATED", "STAGING", "STAGED", "RETRYING")},
    "cleaned": {state: state for state in ("FINISHED", "FAILED", "CANCELLED")},
    "cancelled": dict.fromkeys(("QUEUED", "RUNNING", "CANCELLING", "UNKNOWN"), "CANCELLED"),
    "suspect": dict.fromkeys(
        ("SUBMITTING", "QUEUED", "RUNNING", "CANCELLING", "UNKNOWN"), "UNKNOWN"
    ),
    "lose": {"UNKNOWN": "LOST"},
    "found": {"LOST": "UNKNOWN"},
}

#: Where the facts change the way: state, event, may_retry, cancel_applied, target.
_GUARDED: Final = [
    *(
        (state, "fail", True, False, "RETRYING")
        for state in ("STAGING", "STAGED", "SUBMITTING", "QUEUED", "RUNNING", "COLLECTING")
    ),
    ("UNKNOWN", "fail", True, False, "RETRYING"),
    ("UNKNOWN", "fail", False, True, "CANCELLED"),
    ("COLLECTING", "fail", False, True, "FAILED"),
    ("CREATED", "fail", True, False, "FAILED"),
    ("RETRYING", "fail", True, False, "FAILED"),
    ("CANCELLING", "fail", True, False, "CANCELLED"),
    ("UNKNOWN", "queued", False, True, "CANCELLING"),
    ("UNKNOWN", "run", False, True, "CANCELLING"),
    ("UNKNOWN", "queued", True, False, "QUEUED"),
    ("UNKNOWN", "run", True, False, "RUNNING"),
]

_W, _J, _C, _R = "worker", "token", "caller", "reaper"
_SENDERS: Final = {
    "stage": {_W},
    "staged": {_W},
    "submit": {_W},
    "queued": {_W},
    "run": {_W, _J},
    "update": {_W, _J},
    "exit": {_W},
    "finish": {_W},
    "fail": {_W, _R},
    "cancel": {_C},
    "cancelled": {_W},
    "hold": {_C},
    "release": {_C},
    "cleaned": {_W},
    "suspect": {_R},
    "lose": {_R},
    "found": {_R},
}

_CELLS = [
    (lifecycle, state, event, written.get(event, {}).get(state))
    for lifecycle, written in ((PIPELINE, _PIPELINE), (EXECUTION, _EXECUTION))
    for state in lifecycle.states
    for event in lifecycle.events
]


@pytest.mark.parametrize(
    ("lifecycle", "state", "event", "target"),
    _CELLS,
    ids=[f"{lifecycle.name}-{state}-{event}" for lifecycle, state, event, _ in _CELLS],
)
def test_each_cell_of_a_built_in_table_leads_where_the_contract_says(
    lifecycle: Lifecycle, state: str, event: str, target: str | None
) -> None:
    reached = next_state(lifecycle, state, event, Facts())

    assert target == reached


@pytest.mark.parametrize(("lifecycle", "written"), [(PIPELINE, _PIPELINE), (EXECUTION, _EXECUTION)])
def test_the_contract_and_the_table_name_the_same_events_and_states(
    lifecycle: Lifecycle, written: dict[str, dict[str, str]]
) -> None:
    named = {state for ways in written.values() for way in ways.items() for state in way}

    assert set(written) == set(lifecycle.events)
    assert named == set(lifecycle.states)


@pytest.mark.parametrize(("state", "event", "may_retry", "cancel_applied", "target"), _GUARDED)
def test_a_guarded_exit_follows_the_facts(
    state: str, event: str, may_retry: bool, cancel_applied: bool, target: str
) -> None:
    facts = Facts(may_retry=may_retry, cancel_applied=cancel_applied)

    assert target == next_state(EXECUTION, state, event, facts)


def test_only_the_guarded_exits_depend_on_the_facts() -> None:
    changed = {
        (state, event)
        for state in EXECUTION.states
        for event in EXECUTION.events
        for facts in (Facts(may_retry=True), Facts(cancel_applied=True))
        if next_state(EXECUTION, state, event, facts)
        != next_state(EXECUTION, state, event, Facts())
    }

    assert changed == {
        (state, event)
        for state, event, may_retry, cancel_applied, target in _GUARDED
        if target != _EXECUTION[event][state]
    }


def test_no_arrow_is_taken_when_no_condition_holds() -> None:
    lifecycle = Lifecycle(
        name="guarded",
        initial="A",
        states=PIPELINE.states,
        events=PIPELINE.events,
        transitions={"A": {"run": (Arrow("B", "may_retry"),)}},
    )

    assert next_state(lifecycle, "A", "run", Facts()) is None
    assert next_state(lifecycle, "A", "run", Facts(may_retry=True)) == "B"


@pytest.mark.parametrize("event", list(EXECUTION.events))
def test_each_event_of_execution_comes_from_the_senders_of_the_design(event: str) -> None:
    assert _SENDERS[event] == set(EXECUTION.events[event].senders)


def test_pipeline_events_come_from_the_token_or_the_caller_unless_they_are_reserved() -> None:
    senders = {name: set(kind.senders) for name, kind in PIPELINE.events.items()}

    assert senders.pop("create") == set()
    assert senders.pop("fail") == {"token", "caller", "reaper"}
    assert senders.pop("reset") == {"caller"}
    assert senders.pop("ready") == {"caller"}
    assert set(map(frozenset, senders.values())) == {frozenset({"token", "caller"})}


def test_the_outcomes_and_ends_of_pipeline_are_those_of_the_design() -> None:
    outcomes = {name: s.outcome for name, s in PIPELINE.states.items() if s.outcome}
    final = {name for name, state in PIPELINE.states.items() if state.final}
    administrative = {name for name, kind in PIPELINE.events.items() if kind.administrative}

    assert outcomes == {
        "FINISHED": "success",
        "VALIDATED": "success",
        "FINALIZED": "success",
        "FAILED": "failure",
        "REJECTED": "failure",
    }
    assert final == {"FAILED", "REJECTED", "FINALIZED", "RETIRED"}
    assert administrative >= {"retire", "reset"}
    assert PIPELINE.stale_event == "fail"


def test_the_categories_and_outcomes_of_execution_are_those_of_the_design() -> None:
    categories: dict[str, set[str]] = {}
    for name, state in EXECUTION.states.items():
        categories.setdefault(state.category, set()).add(name)
    outcomes = {name: s.outcome for name, s in EXECUTION.states.items() if s.outcome}

    assert categories == {
        "initial": {"CREATED"},
        "waiting": {"STAGED", "QUEUED", "RETRYING"},
        "active": {"STAGING", "SUBMITTING", "RUNNING", "COLLECTING", "CANCELLING", "UNKNOWN"},
        "ended": {"FINISHED", "FAILED", "CANCELLED", "LOST"},
    }
    assert outcomes == {
        "FINISHED": "success",
        "FAILED": "failure",
        "CANCELLED": "cancelled",
        "LOST": "lost",
    }
    assert {name for name, state in EXECUTION.states.items() if state.final} == _ENDS
    assert [name for name, kind in EXECUTION.events.items() if kind.administrative] == ["found"]


@pytest.mark.parametrize("name", ["pipeline", "execution"])
def test_a_built_in_lifecycle_passes_the_check_that_registered_ones_must_pass(name: str) -> None:
    lifecycle = BUILT_IN[name]

    assert check(lifecycle) is lifecycle
    assert lifecycle.name == name


def test_a_row_with_a_cell_too_few_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        read_table("""
          | go  stop
        A | B
        """)


def test_a_table_in_text_reads_targets_repetitions_and_gaps() -> None:
    table = read_table("""
          | go   stop
        A | B    -
        B | same A
        """)

    assert table == {"A": {"go": "B"}, "B": {"go": "B", "stop": "A"}}

"""Events in an order that nobody planned (pure): too early, or said before."""

from __future__ import annotations

from typing import Final

from jobwire.schemas.lifecycle import CREATE
from jobwire.schemas.lifecycles.pipeline import PIPELINE

#: How far a job has come on its way, where it is on one.
_REACHED: Final = {
    "CREATED": 0,
    "RUNNING": 1,
    "FINISHED": 2,
    "INDEXING": 2,
    "VALIDATING": 3,
    "VALIDATED": 4,
}
#: How far it must have come for an event of that way.
_NEEDED: Final = {
    "finish": 1,
    "index": 2,
    "indexed": 2,
    "validate": 2,
    "validated": 3,
    "reject": 3,
    "finalize": 4,
}
#: The one step that may be put in: that computing started is implied by its end.
_IMPLIED: Final = {("CREATED", "finish"): "run"}


def is_early(state: str, name: str) -> bool:
    """Return whether an event that a job did not take comes before one that it needs."""
    return state in _REACHED and name in _NEEDED and _REACHED[state] <= _NEEDED[name]


def implied(state: str, name: str) -> str | None:
    """Return the event that is missing before another one, where it can be put in."""
    return _IMPLIED.get((state, name))


def is_repetition(state: str, name: str) -> bool:
    """Return whether an event would repeat the present state, such as `fail` in FAILED."""
    return any(
        exits.get(name) == state
        for before, exits in PIPELINE.transitions.items()
        if before != state
    )


def allowed(state: str) -> list[str]:
    """Return the events that a job takes in a state."""
    return [name for name in PIPELINE.transitions.get(state, {}) if name != CREATE]

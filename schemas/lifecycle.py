"""
Lifecycles as data: named states, named events, and a table that says which event leads where.

Nothing else in the system knows a state by its name; everybody else relies on categories and
outcomes, so it all works on any lifecycle, also on one that a user has registered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, Literal, get_args

from msgspec import Meta, Struct

from jobwire.schemas.errors import Invalid

Role = Literal["token", "caller", "worker", "reaper"]
"""Who may send events of a job: its own token, an authenticated caller, a worker, the reaper."""

ROLES: Final = get_args(Role)

RoleWord = Annotated[str, Meta(extra_json_schema={"enum": list(ROLES)})]
"""A `Role`, or one of another release: it is read, and may send what a table lets it send."""

Category = Literal["initial", "waiting", "active", "ended"]
JobOutcome = Literal["success", "failure", "cancelled", "lost"]
Condition = Literal["always", "may_retry", "cancel_applied"]

Word = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=r"(?#a letter, then letters, digits, dots, dashes and underscores)"
        r"^[A-Za-z][A-Za-z0-9_.-]*(?!\n)$",
    ),
]
"""A name of a lifecycle, state or event: a letter, then letters, digits, `_`, `.` or `-`."""

Meaning = Annotated[str, Meta(max_length=500)]

#: The event that makes a job; it is written by the service and never accepted from outside.
CREATE = "create"
DELETE = "delete"
ROTATE = "rotate_token"

#: Events that every job knows, whatever its lifecycle; they change the record, not the state.
RESERVED = (DELETE, ROTATE)


class State(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One state: its category, the outcome that waiters see, and whether it is the end."""

    category: Category
    outcome: JobOutcome | None = None
    final: bool = False
    meaning: Meaning = ""


class EventKind(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One event: who may send it, and whether it may lead out of a final state."""

    senders: tuple[RoleWord, ...] = ("token", "caller")
    administrative: bool = False
    meaning: Meaning = ""


class Arrow(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One guarded exit; of several, the first whose condition holds is taken."""

    to: Word
    when: Condition = "always"


Exit = Word | Annotated[tuple[Arrow, ...], Meta(min_length=1, max_length=8)]
"""Where an event leads: a state, or arrows tried in order."""


class Lifecycle(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of states and events. Registered ones are numbered and never changed."""

    name: Word
    initial: Word
    states: Annotated[dict[Word, State], Meta(min_length=1, max_length=100)]
    events: Annotated[dict[Word, EventKind], Meta(min_length=1, max_length=200)]
    transitions: dict[Word, dict[Word, Exit]]
    stale_event: Word | None = None
    """What the reaper sends when a job passes its deadline or misses its heartbeat."""
    meaning: Meaning = ""
    version: Annotated[int, Meta(ge=1)] = 1


class Facts(Struct, frozen=True):
    """What a guarded exit may depend on."""

    may_retry: bool = False
    cancel_applied: bool = False

    def hold(self, condition: Condition) -> bool:
        """Return whether a condition is met."""
        return condition == "always" or bool(getattr(self, condition))


def next_state(lifecycle: Lifecycle, state: str, event: str, facts: Facts) -> str | None:
    """Look up where an event leads from a state; None: the state has no such exit."""
    way = lifecycle.transitions.get(state, {}).get(event)
    if way is None or isinstance(way, str):
        return way
    for arrow in way:
        if facts.hold(arrow.when):
            return arrow.to
    return None


def arrows(lifecycle: Lifecycle) -> Iterator[tuple[str, str, Arrow]]:
    """Yield every exit as (state, event, arrow), in the order of the table."""
    for state, row in lifecycle.transitions.items():
        for event, way in row.items():
            for arrow in (Arrow(way),) if isinstance(way, str) else way:
                yield state, event, arrow


def check(lifecycle: Lifecycle) -> Lifecycle:
    """
    Return the lifecycle back when its table makes sense.

    Raises:
        Invalid: the pointer names the first place that does not, the detail says what was expected.

    """
    for rule in (
        _check_initial,
        _check_names,
        _check_senders,
        _check_states,
        _check_reachable,
        _check_stale_event,
    ):
        rule(lifecycle)
    return lifecycle


def _check_initial(lifecycle: Lifecycle) -> None:
    initial = lifecycle.states.get(lifecycle.initial)
    if initial is None:
        raise Invalid(
            f"initial names the state {lifecycle.initial!r}, which is not in states",
            pointer="/initial",
        )
    if initial.category != "initial":
        detail = (
            f"the state {lifecycle.initial!r} must have "
            f"category 'initial', not {initial.category!r}"
        )
        raise Invalid(detail, pointer=f"/states/{lifecycle.initial}/category")


def _check_names(lifecycle: Lifecycle) -> None:
    for name in RESERVED:
        if name in lifecycle.events:
            raise Invalid(
                f"the event {name!r} is the service's own; choose another name",
                pointer=f"/events/{name}",
            )
    for state in lifecycle.transitions:
        if state not in lifecycle.states:
            raise Invalid(
                f"transitions names the state {state!r}, which is not in states",
                pointer=f"/transitions/{state}",
            )
    for state, event, arrow in arrows(lifecycle):
        pointer = f"/transitions/{state}/{event}"
        if event not in lifecycle.events:
            raise Invalid(
                f"transitions names the event {event!r}, which is not in events", pointer=pointer
            )
        if arrow.to not in lifecycle.states:
            raise Invalid(
                f"{event!r} leads to the state {arrow.to!r}, which is not in states",
                pointer=pointer,
            )


def _check_senders(lifecycle: Lifecycle) -> None:
    for name, kind in lifecycle.events.items():
        for index, role in enumerate(kind.senders):
            if role not in ROLES:
                detail = f"there is no sender {role!r}; expected one of: {', '.join(ROLES)}"
                raise Invalid(detail, pointer=f"/events/{name}/senders/{index}")


def _check_states(lifecycle: Lifecycle) -> None:
    for name, state in lifecycle.states.items():
        if state.category != "ended" and (state.final or state.outcome):
            detail = (
                f"the state {name!r} is {state.category}: only an "
                "'ended' state can be final or have an outcome"
            )
            raise Invalid(detail, pointer=f"/states/{name}")
    for state_name, event, arrow in arrows(lifecycle):
        leaves_the_end = lifecycle.states[state_name].final and arrow.to != state_name
        if leaves_the_end and not lifecycle.events[event].administrative:
            detail = (
                f"{state_name!r} is final, so {event!r} may "
                "lead out of it only when it is administrative"
            )
            raise Invalid(detail, pointer=f"/transitions/{state_name}/{event}")


def _check_reachable(lifecycle: Lifecycle) -> None:
    reached, frontier = {lifecycle.initial}, [lifecycle.initial]
    exits: dict[str, set[str]] = {}
    for state, _, arrow in arrows(lifecycle):
        exits.setdefault(state, set()).add(arrow.to)
    while frontier:
        fresh = exits.get(frontier.pop(), set()) - reached
        reached |= fresh
        frontier.extend(fresh)
    for name in lifecycle.states:
        if name not in reached:
            raise Invalid(f"no event leads to the state {name!r}", pointer=f"/states/{name}")


def _check_stale_event(lifecycle: Lifecycle) -> None:
    stale = lifecycle.stale_event
    if stale is None:
        return
    kind = lifecycle.events.get(stale)
    if kind is None:
        raise Invalid(
            f"stale_event names {stale!r}, which is not in events", pointer="/stale_event"
        )
    if "reaper" not in kind.senders:
        detail = f"the reaper sends {stale!r}, so its senders must name 'reaper'"
        raise Invalid(detail, pointer=f"/events/{stale}/senders")

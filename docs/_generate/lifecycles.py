"""`reference/lifecycles.md`: every built-in lifecycle as a table and as a drawing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from _generate.markdown import note, table
from jobwire.schemas.lifecycle import Arrow, Lifecycle, State, arrows
from jobwire.schemas.lifecycles import BUILT_IN

_SENDERS = {
    "token": "the job's own token",
    "caller": "an API key",
    "worker": "a worker of the service",
    "reaper": "the reaper",
}

_CONDITIONS = {
    "always": "",
    "may_retry": "attempts are left and no cancel was applied",
    "cancel_applied": "a cancel was applied",
}

_PURPOSE = {
    "pipeline": """\
Use it for a job that another platform runs and reports on.
It is the lifecycle of a job that names none.
`FINISHED` and `VALIDATED` are successes that can still be validated, indexed or finalized.
The service never starts, stops or monitors such a job: it relies on what is reported.""",
    "execution": """\
It is the lifecycle of every job with a [`spec`](jobs.md), and of no other.
The service's workers report its states; the job itself may send `run` and `update`.
[Jobs that the service runs](jobs.md#states) explains each state.
An `update` changes no state; `hold`, `release` and `cancel` have routes of their own.""",
}

_INTRODUCTION = """\
# Lifecycles

A lifecycle is a table that says which event leads from which state to which.
Two are built in, and you can [register your own](../how-to/own-lifecycle.md).

How to read the tables:

- A cell names the state to which the event of its column leads.
- `same` means that the event is applied and the state stays.
- `-` means that the event is kept in the history and **not applied** (`wrong_state`).
- A cell with several lines is guarded: the first line whose condition holds is taken.

A state has a category: `initial`, `waiting`, `active` or `ended`.
An ended state may have an outcome: `success`, `failure`, `cancelled` or `lost`.
Only administrative events lead out of a final state.
"""

_LEGEND = """\
Solid arrows are ordinary events, dotted ones administrative.
Events that do not change the state are not drawn.
A box with double sides is a final state."""

#: From so many states on, one arrow to a target stands for all of them.
_MANY = 4


def lifecycles_page() -> str:
    """Write the page."""
    parts = [note("schemas/lifecycles/"), _INTRODUCTION]
    parts += [_section(lifecycle) for lifecycle in BUILT_IN.values()]
    return "\n".join(parts)


def _section(lifecycle: Lifecycle) -> str:
    stale = (
        f"A job that misses its heartbeat or passes its deadline gets the event "
        f"`{lifecycle.stale_event}` from the reaper.\n"
        if lifecycle.stale_event
        else ""
    )
    return f"""\
## `{lifecycle.name}`

{lifecycle.meaning}
{_PURPOSE[lifecycle.name]}
{stale}
### Drawing of `{lifecycle.name}`

{_LEGEND}

```mermaid
{drawing(lifecycle)}```

### States of `{lifecycle.name}`

{_states(lifecycle)}
### Table of `{lifecycle.name}`

{_transitions(lifecycle)}
### Events of `{lifecycle.name}`

{_events(lifecycle)}"""


def _states(lifecycle: Lifecycle) -> str:
    rows = [
        [
            f"`{name}`",
            state.category,
            state.outcome or "",
            "yes" if state.final else "",
            state.meaning,
        ]
        for name, state in lifecycle.states.items()
    ]
    return table(["state", "category", "outcome", "final", "meaning"], rows)


def _transitions(lifecycle: Lifecycle) -> str:
    events = list(lifecycle.events)
    rows = []
    for state in lifecycle.states:
        row = lifecycle.transitions.get(state, {})
        rows.append([f"**{state}**", *(_cell(state, row.get(event)) for event in events)])
    return table(["state", *(f"`{event}`" for event in events)], rows)


def _cell(state: str, way: str | tuple[Arrow, ...] | None) -> str:
    if way is None:
        return "-"
    if isinstance(way, str):
        return "same" if way == state else way
    return "<br>".join(_guarded(arrow) for arrow in way)


def _guarded(arrow: Arrow) -> str:
    condition = _CONDITIONS[arrow.when]
    return f"{arrow.to} if {condition}" if condition else f"else {arrow.to}"


def _events(lifecycle: Lifecycle) -> str:
    rows = [
        [
            f"`{name}`",
            ", ".join(_SENDERS[sender] for sender in kind.senders) or "only the service itself",
            "yes" if kind.administrative else "",
            kind.meaning,
        ]
        for name, kind in lifecycle.events.items()
    ]
    return table(["event", "who may send it", "administrative", "meaning"], rows)


def drawing(lifecycle: Lifecycle) -> str:
    """Draw a lifecycle as Mermaid text: states grouped by category, outcomes named."""
    lines = ["flowchart LR"]
    groups: dict[str, list[str]] = defaultdict(list)
    for name, state in lifecycle.states.items():
        groups[state.category].append(f"    {name}{_box(name, state)}")
    for category, boxes in groups.items():
        lines += [f"  subgraph {category}", *boxes, "  end"]
    lines += [f"  {line}" for line in _drawn_arrows(lifecycle)]
    lines += list(_styles(lifecycle))
    return "\n".join(lines) + "\n"


def _box(name: str, state: State) -> str:
    label = f"{name}<br/>{state.outcome}" if state.outcome else name
    return f'[["{label}"]]' if state.final else f'("{label}")'


def _drawn_arrows(lifecycle: Lifecycle) -> Iterator[str]:
    sources: dict[tuple[str, str], list[str]] = defaultdict(list)
    for state, event, arrow in arrows(lifecycle):
        if arrow.to != state and state not in sources[event, arrow.to]:
            sources[event, arrow.to].append(state)
    labels: dict[tuple[str, str, bool], list[str]] = defaultdict(list)
    for (event, target), states in sources.items():
        administrative = lifecycle.events[event].administrative
        if len(states) >= _MANY:
            box = f"{event}_{target}"
            yield f'{box}{{{{"{_some(states)}"}}}} {_arrow(event, dotted=administrative)} {target}'
        else:
            for state in states:
                labels[state, target, administrative].append(event)
    for (state, target, administrative), events in labels.items():
        yield f"{state} {_arrow(', '.join(events), dotted=administrative)} {target}"


def _some(states: list[str]) -> str:
    return "from " + ",<br/>".join(
        ", ".join(states[index : index + 3]) for index in range(0, len(states), 3)
    )


def _arrow(label: str, *, dotted: bool) -> str:
    return f'-. "{label}" .->' if dotted else f'-- "{label}" -->'


def _styles(lifecycle: Lifecycle) -> Iterator[str]:
    colours = {
        "success": "fill:#d5f5e3,stroke:#1e8449,color:#000",
        "failure": "fill:#fadbd8,stroke:#b03a2e,color:#000",
        "cancelled": "fill:#fdebd0,stroke:#b9770e,color:#000",
        "lost": "fill:#e5e7e9,stroke:#616a6b,color:#000",
    }
    for outcome, style in colours.items():
        members = [name for name, state in lifecycle.states.items() if state.outcome == outcome]
        if members:
            yield f"  classDef {outcome} {style}"
            yield f"  class {','.join(members)} {outcome}"

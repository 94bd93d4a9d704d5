"""Transitions: messages to other systems on the bus that a job has entered another state."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from jobwire.schemas.identifiers import EventId, JobId
from jobwire.schemas.jobs import Entry
from jobwire.schemas.lifecycle import JobOutcome

#: Stands for a dot inside of a name, because dots part the words of a topic; no name contains it.
_DOT = ":"


class Transition(Struct, frozen=True, kw_only=True):
    """
    One entry of a job's history that changed its state; the creation of the job counts as one.

    Every subscriber of the exchange can read it, so it holds nothing private: the `data` of the
    event is only in the history.
    """

    job: JobId
    owner: str
    lifecycle: str
    seq: int
    """Grows with each entry of the job; entries that did not change the state are not published."""
    id: EventId
    """Of the event."""
    name: str
    """Of the event."""
    state: str
    """The state that was entered."""
    outcome: JobOutcome | None
    source: str | None
    received: datetime
    occurred: datetime | None


def transition_of(entry: Entry) -> Transition | None:
    """Return the transition that an entry is; None: the job stayed in its state."""
    if not entry.moved_in:
        return None
    return Transition(
        job=entry.job,
        owner=entry.owner,
        lifecycle=entry.moved_in,
        seq=entry.seq,
        id=entry.id,
        name=entry.name,
        state=entry.state,
        outcome=entry.outcome,
        source=entry.source,
        received=entry.received,
        occurred=entry.occurred,
    )


def topic_of(transition: Transition) -> str:
    """Return `<lifecycle>.<state>.<job id>`, three words also where a name has dots in it."""
    lifecycle, state = transition.lifecycle, transition.state
    return f"{lifecycle.replace('.', _DOT)}.{state.replace('.', _DOT)}.{transition.job}"

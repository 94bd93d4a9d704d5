"""The results of a committed batch, which are still to be published."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import structlog
from msgspec import Struct, field

from jobwire.actors.state_manager.batch_view import BatchView
from jobwire.actors.state_manager.event_result import EventResult, outcome_of
from jobwire.actors.state_manager.identified_batch import IdentifiedBatch
from jobwire.actors.stores.base import EventKey, Positioned
from jobwire.schemas.events import Event
from jobwire.schemas.jobs import Entry, Job
from jobwire.schemas.outcomes import Outcome

_log = structlog.get_logger()


class WrittenEntries(Struct):
    """The entries of a batch that are in the history now."""

    positions: list[Positioned] = field(default_factory=list)
    entries: dict[EventKey, Entry] = field(default_factory=dict)

    def add(self, stored: Sequence[Positioned]) -> None:
        """Remember what a commit has stored."""
        self.positions += stored
        for positioned in stored:
            entry = positioned.entry
            self.entries[EventKey(entry.job, entry.id)] = entry


class CommittedBatch(Struct, frozen=True):
    """The results of a committed batch, which are still to be published."""

    entries: Sequence[Positioned]
    outcomes: Sequence[tuple[Event, Outcome]]
    """For each event that somebody waits for, or that was not a plain first copy."""
    awaiting: Sequence[Job]
    """
    Jobs whose outstanding command was caused, now or in an earlier delivery, by an event of
    this batch, and is not for later.
    """
    conflicts: int


def committed_batch(
    batch: IdentifiedBatch, view: BatchView, written: WrittenEntries
) -> CommittedBatch:
    """Collect the outcomes and the commands of a batch that is written."""
    outcomes = list(_outcomes(batch, view, written))
    conflicts = [event for event, outcome in outcomes if outcome.verdict == "conflict"]
    for event in conflicts:
        _log.warning("event_id_conflict", job_id=event.job, event_id=event.id)
    awaiting = [job for job in view.jobs.values() if _awaits_since_now(job, view, written)]
    return CommittedBatch(written.positions, outcomes, awaiting, len(conflicts))


def _outcomes(
    batch: IdentifiedBatch, view: BatchView, written: WrittenEntries
) -> Iterator[tuple[Event, Outcome]]:
    for index, event in enumerate(batch.events):
        if (refusal := batch.outsiders.get(index)) is not None:
            result = EventResult(None, None, refusal)
            yield event, outcome_of(event, result, None, is_first=True)
            continue
        key = EventKey(event.job, event.id)
        is_first = event is batch.firsts[key]
        if event.reply is None and is_first and key in written.entries:
            continue  # stored, and nobody asked
        result = EventResult(written.entries.get(key), view.known.get(key), view.refused.get(key))
        yield event, outcome_of(event, result, view.jobs.get(event.job), is_first=is_first)


def _awaits_since_now(job: Job, view: BatchView, written: WrittenEntries) -> bool:
    """Return whether an event of the batch has caused the command that a job awaits now."""
    awaited = job.outstanding
    if awaited is None or awaited.since > job.updated:
        return False
    cause = EventKey(job.id, awaited.entry)
    return cause in written.entries or cause in view.known

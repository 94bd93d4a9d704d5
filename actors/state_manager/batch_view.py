"""What the store knows of the jobs and events of a batch, as far as it has been read."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec import Struct, field

from jobwire.actors.stores.base import EventKey, KnownEvent, Loaded
from jobwire.schemas.identifiers import JobId
from jobwire.schemas.jobs import Job, Refusal, advance
from jobwire.schemas.tokens import VerifiedSender


class Projections(Struct):
    """Jobs that are to be written as their entries leave them."""

    jobs: dict[JobId, Job] = field(default_factory=dict)
    created: set[JobId] = field(default_factory=set)
    """Those that are not stored yet."""
    moved: set[JobId] = field(default_factory=set)
    """Those that must be found anew: by state, outcome, deletion, or the command they await."""


class BatchView(Struct):
    """The jobs and events of a batch as the last load found them, and as its plan leaves them."""

    asks_history: bool
    """Whether event ids are looked for in the history; nothing is refused before that."""
    jobs: dict[JobId, Job] = field(default_factory=dict)
    """Each job as its entries leave it, with those that are planned."""
    known: dict[EventKey, KnownEvent] = field(default_factory=dict)
    """Events that were in the history before this batch."""
    refused: dict[EventKey, Refusal] = field(default_factory=dict)
    """Events that are refused, by this batch or an earlier one."""
    conflicted: set[JobId] = field(default_factory=set)
    """Jobs that another writer may have changed since they were read."""
    behind: set[JobId] = field(default_factory=set)
    """Jobs whose stored projection is older than their entries."""
    repairs: Projections = field(default_factory=Projections)
    """Projections that were behind: they are written with the next commit."""

    def take_in(
        self, jobs: Collection[JobId], found: Loaded, senders: Mapping[EventKey, VerifiedSender]
    ) -> None:
        """Replace what is known of these jobs by what a load has found."""
        for job in jobs:
            self.jobs.pop(job, None)
        self.jobs.update(found.jobs)
        self.behind = {job for job in jobs if found.tails.get(job)}
        for job in self.behind:
            self._roll_forward(job, found)
        for key, refusals in found.refused.items():
            own = self._own_refusal(key, refusals, senders[key])
            if own is not None:
                self.refused[key] = own

    def _roll_forward(self, job: JobId, found: Loaded) -> None:
        """Advance a projection that is behind by the entries after it."""
        stored = standing = found.jobs.get(job)
        for entry in found.tails[job]:
            standing = advance(standing, entry)
        assert standing is not None  # there was an entry
        self.jobs[job] = self.repairs.jobs[job] = standing
        self.repairs.moved.add(job)
        if stored is None:
            self.repairs.created.add(job)

    def _own_refusal(
        self, key: EventKey, refusals: Collection[Refusal], sender: VerifiedSender
    ) -> Refusal | None:
        """Of all refusals under an id, return the one that is this sender's."""
        job = self.jobs.get(key.job)
        owners = {job.owner if job else "", "", sender.principal}
        return next((refusal for refusal in refusals if refusal.owner in owners), None)

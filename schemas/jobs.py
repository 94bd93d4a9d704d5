"""
Jobs and their history: the entry is the remembered fact, the job is the fold of its entries.

An entry is self-sufficient: it carries the change that it made, so a job can be rolled forward
from any earlier view of it by `advance`, and from nothing at all by starting at its `create`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import UNSET, Struct, UnsetType, field, structs

from jobwire.schemas.commands import Command, Outstanding
from jobwire.schemas.deliveries import Interest
from jobwire.schemas.identifiers import EventId, JobId
from jobwire.schemas.lifecycle import JobOutcome
from jobwire.schemas.outcomes import ReasonWord
from jobwire.schemas.specs import Spec

#: Commands by which something of a job starts: those that a hold keeps back.
STARTING_COMMANDS = frozenset({"StageIn", "Submit"})
#: How long a command may be awaited before it is published again.
REPUBLISH_S = 10
#: Longest pause between two publications of the same command.
LONGEST_REPUBLISH_S = 600


class Plan(Struct, frozen=True, array_like=True):
    """What the state manager must know of a job that Jobwire runs itself."""

    stage_in: bool = False
    stage_out: bool = False
    tries: int = 1
    retry_on: tuple[str, ...] = ()
    """The causes that are followed by another attempt while tries are left."""
    backoff_s: float = 0.0
    backoff_factor: float = 2.0
    site: str = "local"
    priority: int = 0
    start_after: datetime | None = None
    held: bool = False
    """Whether it is held from the start."""
    clean_when: str = "never"
    clean_after_s: float = 0.0
    cores: int = 1
    start_within_s: float | None = None
    clean_after_problem_s: float | None = None
    """Where something could not be brought out, instead of `clean_after_s`."""


class Ending(Struct, frozen=True, array_like=True):
    """How the newest attempt ended, as its worker saw it."""

    exit_code: int | None = None
    """As shells give it: 128 and the number of the signal, where one ended it."""
    signal: str | None = None
    detail: str | None = None
    stage_out_problem: str | None = None


class JobCreation(Struct, frozen=True, kw_only=True, array_like=True):
    """What `create` fixes for a job's whole life."""

    owner: str
    lifecycle: str
    lifecycle_version: int
    name: str | None = None
    tags: tuple[str, ...] = ()
    parent: JobId | None = None
    deadline_s: float | None = None
    heartbeat_s: float | None = None
    plan: Plan | None = None
    interests: tuple[Interest, ...] = ()
    retry_of: JobId | None = None
    spec: Spec | None = None
    dialect: str = ""
    """The dialect through which it was created, and of its callbacks; empty: the native API."""


class Change(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one entry changed of its job; an unset field stayed as it was."""

    #: Stored under the name that the first releases gave it.
    creation: JobCreation | UnsetType = field(default=UNSET, name="birth")
    cause: str | UnsetType | None = UNSET
    generation: int | UnsetType = UNSET
    previous_token_until: datetime | UnsetType | None = UNSET
    attempt: int | UnsetType = UNSET
    first_attempt: int | UnsetType = UNSET
    outstanding: Outstanding | UnsetType | None = UNSET
    cancel_applied: bool | UnsetType = UNSET
    suspected: int | UnsetType = UNSET
    deleted: bool | UnsetType = UNSET
    held: bool | UnsetType = UNSET
    ending: Ending | UnsetType | None = UNSET
    native: str | UnsetType | None = UNSET


#: The change of an entry that changed nothing: most entries share it.
NO_CHANGE = Change()


class Entry(Struct, frozen=True, kw_only=True, array_like=True):
    """One remembered event: applied, or kept with the reason why not."""

    job: JobId
    owner: str
    seq: int
    id: EventId
    name: str
    state: str
    """The state after this entry."""
    outcome: JobOutcome | None
    applied: bool
    reason: ReasonWord | None
    data: bytes | None
    source: str | None
    received: datetime
    occurred: datetime | None
    digest: bytes
    change: Change
    due: tuple[str, ...] = ()
    """The subscriptions to which it must be delivered."""
    moved_in: str = ""
    """The lifecycle in which the job entered another state by it; empty: it stayed where it was."""


class Job(Struct, frozen=True, kw_only=True, array_like=True):
    """A job as its entries leave it; a deleted one stays as a tombstone without its history."""

    id: JobId
    owner: str
    lifecycle: str
    lifecycle_version: int
    name: str | None
    tags: tuple[str, ...]
    parent: JobId | None
    deadline_s: float | None
    heartbeat_s: float | None
    plan: Plan | None
    state: str
    outcome: JobOutcome | None
    cause: str | None
    seq: int
    born: int
    """The seq of the `create` that this life began with; a re-created job goes on counting."""
    created: datetime
    updated: datetime
    last_event: str
    generation: int
    previous_token_until: datetime | None
    attempt: int
    first_attempt: int
    outstanding: Outstanding | None
    cancel_applied: bool
    suspected: int
    deleted: bool
    held: bool = False
    ending: Ending | None = None
    interests: tuple[Interest, ...] = ()
    retry_of: JobId | None = None
    dialect: str = ""
    native: str | None = None
    """The id that the batch system of its site gave the newest attempt."""

    def command(self) -> Command | None:
        """Return the awaited command as its worker gets it; None: nothing awaited, or held."""
        awaited = self.outstanding
        if awaited is None or self.is_withheld():
            return None
        plan = self.plan or Plan()
        return Command(
            self.id,
            awaited.entry,
            awaited.kind,
            awaited.attempt,
            owner=self.owner,
            site=plan.site,
            priority=plan.priority,
            cores=plan.cores,
            since=awaited.since,
            start_by=_after(self.created, plan.start_within_s),
        )

    def is_withheld(self) -> bool:
        """Return whether a hold keeps back the awaited command, which would start something."""
        awaited = self.outstanding
        return self.held and awaited is not None and awaited.kind in STARTING_COMMANDS

    def awaits(self, command: Command) -> bool:
        """Return whether a command is the one that is awaited; if not, its worker drops it."""
        awaited = self.outstanding
        return (
            awaited is not None
            and not self.is_withheld()
            and (awaited.entry, awaited.attempt) == (command.entry, command.attempt)
        )

    def publish_at(self) -> datetime | None:
        """
        Return the moment when its command is published unless somebody has answered it before.

        A command for later is published when its time has come, one for now again after a while.
        """
        if self.outstanding is None or self.is_withheld():
            return None
        since = self.outstanding.since
        return since if since > self.updated else since + timedelta(seconds=REPUBLISH_S)

    def stale_at(self) -> datetime | None:
        """Return the moment when this job counts as stale unless another event comes first."""
        moments = _after(self.created, self.deadline_s), _after(self.updated, self.heartbeat_s)
        return min((each for each in moments if each is not None), default=None)


class Refusal(Struct, frozen=True, kw_only=True, array_like=True):
    """An accepted event that belongs to no history; its id stays refused for good."""

    job: JobId
    event: EventId
    owner: str
    reason: ReasonWord
    name: str
    data: bytes | None
    source: str | None
    received: datetime
    occurred: datetime | None
    digest: bytes
    position: int = 0
    replayed_as: EventId | None = None


def advance(job: Job | None, entry: Entry) -> Job:
    """
    Roll a job forward by its next entry.

    Raises:
        ValueError: the entry is not the next one; folding it would invent a history.

    """
    before = 0 if job is None else job.seq
    if entry.seq != before + 1:
        message = f"entry {entry.seq} does not follow {before}"
        raise ValueError(message)
    change = entry.change
    if job is None or change.creation is not UNSET:
        return _created(entry)
    changed = (
        {}
        if change == NO_CHANGE
        else {name: value for name in _CHANGING if (value := getattr(change, name)) is not UNSET}
    )
    return structs.replace(
        job,
        seq=entry.seq,
        state=entry.state,
        outcome=entry.outcome,
        updated=entry.received,
        last_event=entry.name if entry.applied else job.last_event,
        **changed,
    )


#: Fields that the creation fixes; the spec stays in the entry of the creation.
_OF_CREATION = tuple(name for name in JobCreation.__struct_fields__ if name != "spec")
#: Fields that an entry may change after the creation.
_CHANGING = tuple(name for name in Change.__struct_fields__ if name != "creation")


def _after(moment: datetime, seconds: float | None) -> datetime | None:
    return None if seconds is None else moment + timedelta(seconds=seconds)


def _created(entry: Entry) -> Job:
    change, creation = entry.change, entry.change.creation
    if creation is UNSET:
        message = f"the history of {entry.job} does not begin with its create"
        raise ValueError(message)
    of_creation = {name: getattr(creation, name) for name in _OF_CREATION}
    return Job(
        id=entry.job,
        state=entry.state,
        outcome=entry.outcome,
        cause=None,
        seq=entry.seq,
        born=entry.seq,
        created=entry.received,
        updated=entry.received,
        last_event=entry.name,
        generation=change.generation or 0,
        previous_token_until=None,
        attempt=change.attempt or 1,
        first_attempt=change.first_attempt or 1,
        outstanding=change.outstanding or None,
        cancel_applied=False,
        suspected=0,
        deleted=False,
        held=creation.plan is not None and creation.plan.held,
        **of_creation,
    )

"""Makes the records that tests speak of; every part has a default and a keyword."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import UNSET, structs
from msgspec.structs import replace

from jobwire.schemas.events import Event, TokenAuthority, payload_digest
from jobwire.schemas.identifiers import EventId, JobId
from jobwire.schemas.jobs import Change, Entry, Job, JobCreation, Plan, Refusal, advance
from jobwire.schemas.lifecycle import CREATE, EventKind, Lifecycle, Role, State
from jobwire.schemas.outcomes import Reason
from jobwire.schemas.tokens import Keyring, ServiceKey, mint_token, sign

#: The moment at which tests begin.
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
KEYRING = Keyring((ServiceKey(id="aa", secret=b"0123456789abcdef0123456789abcdef"),))
OWNER = "alice"
STRANGER = "mallory"


def after(seconds: float) -> datetime:
    """Return the moment so many seconds after the beginning."""
    return NOW + timedelta(seconds=seconds)


def job_id(number: int = 1) -> JobId:
    """Return the job id of a number."""
    return JobId(f"00000000-0000-4000-8000-{number:012x}")


def make_creation(**fields: Any) -> JobCreation:
    """Make a birth of a plain job of the owner."""
    creation = JobCreation(owner=OWNER, lifecycle="pipeline", lifecycle_version=1)
    return replace(creation, **fields)


#: The data of a failure that the plans made here try again.
FAILED_WITH_CODE = b'{"cause":"exit_code","exit_code":3}'


def make_plan(
    *, stage_in: bool = False, stage_out: bool = False, tries: int = 1, **fields: Any
) -> Plan:
    """Make a plan of a job that the service runs itself; what fails is tried again at once."""
    return Plan(stage_in, stage_out, tries, retry_on=("exit_code",), **fields)


def make_event(
    name: str = "run",
    *,
    job: JobId | None = None,
    event_id: str | None = None,
    data: bytes | None = None,
    generation: int = 1,
    attempt: int | None = None,
    **fields: Any,
) -> Event:
    """Make an event that is sent with the job's own token."""
    job = job or job_id()
    return Event(
        id=EventId(event_id or f"{name}-1"),
        job=job,
        name=name,
        authority=fields.pop(
            "authority", TokenAuthority(mint_token(KEYRING, job, generation), attempt)
        ),
        received=fields.pop("received", NOW),
        digest=payload_digest(name, data or b""),
        data=data,
        **fields,
    )


def make_signed(
    name: str,
    *,
    role: Role = "caller",
    principal: str = OWNER,
    attempt: int | None = None,
    job: JobId | None = None,
    event_id: str | None = None,
    **fields: Any,
) -> Event:
    """Make an event that a part of the service, or an authenticated caller, has signed."""
    job, identifier = job or job_id(), EventId(event_id or f"{name}-1")
    authority = sign(KEYRING, job, identifier, role, principal, attempt)
    return make_event(name, job=job, event_id=identifier, authority=authority, **fields)


def make_create(
    *,
    job: JobId | None = None,
    creation: JobCreation | None = None,
    event_id: str = CREATE,
    **fields: Any,
) -> Event:
    """Make the event that makes a job."""
    creation = creation or make_creation()
    return make_signed(
        CREATE, principal=creation.owner, job=job, event_id=event_id, creation=creation, **fields
    )


def make_entry(
    *, job: JobId | None = None, seq: int = 1, name: str = CREATE, **fields: Any
) -> Entry:
    """Make an entry; of seq 1 the birth of a plain job."""
    first = Change(creation=make_creation(), generation=1, attempt=1, first_attempt=1)
    entry = Entry(
        job=job or job_id(),
        owner=OWNER,
        seq=seq,
        id=EventId(f"{name}-{seq}"),
        name=name,
        state="CREATED",
        outcome=None,
        applied=True,
        reason=None,
        data=None,
        source=None,
        received=after(seq),
        occurred=None,
        digest=b"digest of sixteen",
        change=first if name == CREATE else Change(),
    )
    return replace(entry, **fields)


def make_history(
    *names: str, job: JobId | None = None, creation: JobCreation | None = None
) -> list[Entry]:
    """Make the entries of a job: its create, then one for each name, without a change of state."""
    creation = creation or make_creation()
    change = Change(creation=creation, generation=1, attempt=1, first_attempt=1)
    entries = [make_entry(job=job, change=change, owner=creation.owner)]
    for seq, name in enumerate(names, 2):
        entries.append(make_entry(job=job, seq=seq, name=name, owner=creation.owner))
    return entries


def make_job(**fields: Any) -> Job:
    """Make a job as its create leaves it; `creation` and the fields of a job may be named."""
    creation = fields.pop("creation", None) or make_creation()
    identifier = fields.pop("id", job_id())
    (entry,) = make_history(job=identifier, creation=creation)
    return replace(advance(None, entry), **fields)


def fold(entries: list[Entry], job: Job | None = None) -> Job:
    """Fold entries into a job."""
    for entry in entries:
        job = advance(job, entry)
    if job is None:
        message = "there is nothing to fold"
        raise ValueError(message)
    return job


def make_refusal(
    *, job: JobId | None = None, event: str = "late-1", owner: str = OWNER, **fields: Any
) -> Refusal:
    """Make a refused event."""
    refusal = Refusal(
        job=job or job_id(),
        event=EventId(event),
        owner=owner,
        reason=Reason.UNKNOWN_JOB,
        name="run",
        data=b'{"a":1}',
        source=None,
        received=NOW,
        occurred=None,
        digest=payload_digest("run", b'{"a":1}'),
    )
    return replace(refusal, **fields)


def make_lifecycle(**fields: Any) -> Lifecycle:
    """Make a small lifecycle: open, work, done."""
    lifecycle = Lifecycle(
        name="small",
        initial="OPEN",
        states={
            "OPEN": State(category="initial"),
            "WORK": State(category="active"),
            "DONE": State(category="ended", outcome="success", final=True),
        },
        events={
            "begin": EventKind(),
            "end": EventKind(),
            "expire": EventKind(senders=("reaper",)),
        },
        transitions={"OPEN": {"begin": "WORK"}, "WORK": {"end": "DONE", "expire": "DONE"}},
        stale_event="expire",
    )
    return replace(lifecycle, **fields)


def changes(change: Change) -> dict[str, Any]:
    """Return the fields that a change sets."""
    return {name: value for name, value in structs.asdict(change).items() if value is not UNSET}

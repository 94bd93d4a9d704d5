"""Turns what a schedule intends into the events that clients, workers and hooks would send."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import Struct, structs
from ring_script import Again, Intent

from jobwire.schemas.deliveries import Interest
from jobwire.schemas.events import Event, SignedAuthority, TokenAuthority, payload_digest
from jobwire.schemas.identifiers import EventId, JobId
from jobwire.schemas.jobs import Job, JobCreation, Plan
from jobwire.schemas.lifecycle import CREATE, DELETE, ROTATE, Facts, Lifecycle, next_state
from jobwire.schemas.lifecycles import BUILT_IN
from jobwire.schemas.tokens import Keyring, ServiceKey, mint_token, sign

OWNER = "ann"
KEYRING = Keyring((ServiceKey(id="aa", secret=b"a" * 32),))

#: Puts the jobs, two of each lifecycle, into two queues.
_SPREAD = (0, 0, 4, 4)

_NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


class Sent(Struct, frozen=True):
    """One copy of one event as it was put into a queue."""

    number: int
    client: int | None
    """Whose order it keeps; None: a worker's or the reaper's."""
    event: Event


def job_id(index: int) -> JobId:
    """Name a job."""
    return JobId(f"{index:08d}-0000-4000-8000-{_SPREAD[index % 4]:012d}")


def birth_of(index: int, pick: int) -> JobCreation:
    """Return every second job to the lifecycle of jobs that run here."""
    if index % 2:
        plan = Plan(
            bool(pick & 1),
            bool(pick & 2),
            1 + pick % 3,
            retry_on=("exit_code",),
            backoff_s=(0.0, 5.0, 1e6)[pick % 3],
            held=bool(pick & 4),
            clean_when=("always", "on_success", "never")[pick % 3],
            clean_after_s=float(pick & 8),
        )
        return JobCreation(
            owner=OWNER,
            lifecycle="execution",
            lifecycle_version=1,
            plan=plan,
            interests=(Interest("sub_1"), Interest("sub_2", events=("update",))),
        )
    heartbeat = (None, 30.0, 300.0)[pick % 3]
    deadline = 120.0 if pick & 8 else None
    return JobCreation(
        owner=OWNER,
        lifecycle="pipeline",
        lifecycle_version=1,
        name=f"run {pick % 5}",
        tags=(f"tag{pick % 2}",),
        heartbeat_s=heartbeat,
        deadline_s=deadline,
    )


class EventMaker:
    """Makes events; each copy has a time stamp and a reply address of its own."""

    def __init__(self) -> None:
        """Start the clock."""
        self.now = _NOON
        self.sent: list[Sent] = []

    def clock(self) -> datetime:
        """Return the world's time."""
        return self.now

    def make(self, what: Intent | Again, standing: Job | None) -> Event | None:
        """Make an event about a job as it stands; None: there is none to repeat."""
        self.now += timedelta(milliseconds=1)
        if isinstance(what, Again):
            return self._repeat(what)
        event = self._fresh(what, standing)
        client = what.client if event.id.startswith("c") else None
        return self.record(event, client)

    def record(self, event: Event, client: int | None) -> Event:
        """Remember one copy that goes into a queue."""
        number = len(self.sent)
        event = structs.replace(event, reply=f"reply.{number}")
        self.sent.append(Sent(number, client, event))
        return event

    def _repeat(self, what: Again) -> Event | None:
        if not self.sent:
            return None
        first = self.sent[-1 - what.back % len(self.sent)]
        event = structs.replace(first.event, received=self.now)
        if what.is_other:
            data = b'{"other":%d}' % len(self.sent)
            event = structs.replace(event, data=data, digest=payload_digest(event.name, data))
        return self.record(event, first.client)

    def _fresh(self, what: Intent, job: Job | None) -> Event:  # noqa: PLR0911 - a table
        target = job_id(what.job)
        caller = EventId(f"c{what.client}.{len(self.sent)}")
        match what.kind:
            case "create":
                return self._create(what, job)
            case "cancel":
                return self._by_caller(target, "cancel", caller)
            case "rotate":
                data = msgspec.json.encode({"overlap_s": what.pick % 3 * 20})
                return self._by_caller(target, ROTATE, caller, data)
            case "delete":
                force = b'{"force":true}' if what.pick & 1 else None
                return self._by_caller(target, DELETE, caller, force)
            case "foreign":
                return self._by_caller(target, "update", caller, principal="bob")
            case "forged":
                event = self._by_caller(target, "update", caller)
                return structs.replace(event, authority=_forged(event, what.pick))
            case "likely" | "any":
                return self._report(what, job, caller)

    def _create(self, what: Intent, job: Job | None) -> Event:
        again = job is not None and (job.deleted or what.pick % 5 == 0)
        event_id = EventId(f"create.{len(self.sent)}" if again else CREATE)
        event = self._by_caller(job_id(what.job), CREATE, event_id)
        return structs.replace(event, creation=birth_of(what.job, what.pick))

    def _report(self, what: Intent, job: Job | None, caller: EventId) -> Event:
        table = BUILT_IN["execution" if what.job % 2 else "pipeline"]
        likely = _exits(table, job) if what.kind == "likely" and job else []
        names = likely or [*table.events, "nonsense"]
        name = names[what.pick % len(names)]
        kind = table.events.get(name)
        roles: tuple[str, ...] = kind.senders if kind and kind.senders else ("token",)
        if what.kind == "any":
            roles = ("token", "caller", "worker", "reaper")
        role = roles[what.pick // 64 % len(roles)]
        return self._by(role, what, job, name, caller)

    def _by(self, role: str, what: Intent, job: Job | None, name: str, caller: EventId) -> Event:
        target = job_id(what.job)
        generation = max(1, (job.generation if job else 1) - (what.pick // 512 % 4 == 0))
        attempt = max(1, (job.attempt if job else 1) - (what.pick // 2048 % 4 == 0))
        if role == "caller":
            return self._by_caller(target, name, caller)
        if role == "token":
            of_hook = attempt if what.pick & 16 else None
            token = TokenAuthority(mint_token(KEYRING, target, generation), of_hook)
            return self._event(target, name, caller, token)
        event_id = EventId(f"{role}.{attempt}.{name}.{what.pick // 8 % 2}")
        number = attempt if role == "worker" else None
        authority = sign(KEYRING, target, event_id, role, "", number)
        data = b'{"cause":"exit_code","exit_code":3}' if name in ("exit", "fail") else None
        return self._event(target, name, event_id, authority, data)

    def _by_caller(
        self,
        job: JobId,
        name: str,
        event_id: EventId,
        data: bytes | None = None,
        principal: str = OWNER,
    ) -> Event:
        authority = sign(KEYRING, job, event_id, "caller", principal)
        return self._event(job, name, event_id, authority, data)

    def _event(
        self,
        job: JobId,
        name: str,
        event_id: EventId,
        authority: TokenAuthority | SignedAuthority,
        data: bytes | None = None,
    ) -> Event:
        return Event(
            id=event_id,
            job=job,
            name=name,
            authority=authority,
            received=self.now,
            digest=payload_digest(name, data or b""),
            data=data,
        )


def _exits(table: Lifecycle, job: Job) -> list[str]:
    facts = Facts(cancel_applied=job.cancel_applied)
    return [
        name
        for name, kind in table.events.items()
        if kind.senders and next_state(table, job.state, name, facts)
    ]


def _forged(event: Event, pick: int) -> TokenAuthority | SignedAuthority:
    if pick & 1:
        return TokenAuthority(mint_token(KEYRING, job_id(99), 1))
    return sign(KEYRING, event.job, EventId("another"), "caller", OWNER)

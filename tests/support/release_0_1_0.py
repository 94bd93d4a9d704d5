"""
The records of release 0.1.0 as that release reads them: a copy that never changes.

Only what reading depends on is here: fields, their order, closed sets, and what forbids more.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

Kind = Literal["StageIn", "Submit", "Watch", "StageOut", "Cancel", "CleanUp"]
Role = Literal["token", "caller", "worker", "reaper"]
JobOutcome = Literal["success", "failure", "cancelled", "lost"]
Verdict = Literal["applied", "kept", "refused", "conflict"]

Reason = Literal[
    "wrong_state",
    "unknown_event",
    "wrong_sender",
    "stale_attempt",
    "overtaken",
    "invalid_data",
    "held",
    "exists",
    "still_running",
    "unknown_job",
    "deleted",
    "token_revoked",
    "forged",
    "event_limit",
    "poison",
    "unknown_lifecycle",
]
Cause = Literal[
    "exit_code",
    "signal",
    "walltime",
    "memory",
    "could_not_start",
    "staging",
    "interrupted",
    "cancelled",
    "waited",
]


class Outstanding(Struct, array_like=True):
    entry: str
    kind: Kind
    attempt: int
    since: datetime


class Command(Struct, array_like=True):
    job: str
    entry: str
    kind: Kind
    attempt: int
    owner: str = ""
    site: str = "local"
    priority: int = 0
    cores: int = 1
    since: datetime | None = None
    start_by: datetime | None = None


class Secret(Struct, forbid_unknown_fields=True):
    secret: str


class StageIn(
    Struct,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={"source": "from", "target": "to"},
):
    source: str
    target: str | None = None
    sha256: str | None = None


class StageOut(
    Struct,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"source": "from", "target": "to"},
):
    source: str
    target: str
    when: Literal["success", "always"] = "success"
    optional: bool = False


class Resources(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    cores: int = 1
    memory_mb: int | None = None
    walltime_s: float | None = None


class Retries(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    max: int = 0
    backoff_s: float = 10.0
    factor: float = 2.0
    on: tuple[Cause, ...] = ("exit_code", "signal", "could_not_start", "staging")


class CleanUp(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    when: Literal["always", "on_success", "never"] = "always"
    after_s: float = 604_800.0
    after_problem_s: float | None = None
    keep: tuple[str, ...] | None = None


class Spec(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    argv: tuple[str, ...]
    env: dict[str, str | Secret] = {}
    directory: str | None = None
    needs_directory: bool = False
    stage_in: tuple[StageIn, ...] = ()
    stage_out: tuple[StageOut, ...] = ()
    stdout: str = "stdout"
    stderr: str = "stderr"
    resources: Resources = Resources()
    retries: Retries = Retries()
    clean_up: CleanUp = CleanUp()
    site: str = "local"


class Plan(Struct, array_like=True):
    stage_in: bool = False
    stage_out: bool = False
    tries: int = 1
    retry_on: tuple[str, ...] = ()
    backoff_s: float = 0.0
    backoff_factor: float = 2.0
    site: str = "local"
    priority: int = 0
    start_after: datetime | None = None
    held: bool = False
    clean_when: str = "never"
    clean_after_s: float = 0.0
    cores: int = 1
    start_within_s: float | None = None
    clean_after_problem_s: float | None = None


class Ending(Struct, array_like=True):
    exit_code: int | None = None
    signal: str | None = None
    detail: str | None = None
    stage_out_problem: str | None = None


class Interest(Struct, array_like=True):
    subscription: str
    states: tuple[str, ...] = ()
    outcomes: tuple[JobOutcome, ...] = ()
    events: tuple[str, ...] = ()


class Birth(Struct, kw_only=True, array_like=True):
    owner: str
    lifecycle: str
    lifecycle_version: int
    name: str | None = None
    tags: tuple[str, ...] = ()
    parent: str | None = None
    deadline_s: float | None = None
    heartbeat_s: float | None = None
    plan: Plan | None = None
    interests: tuple[Interest, ...] = ()
    retry_of: str | None = None
    spec: Spec | None = None
    dialect: str = ""


class Change(Struct, kw_only=True, omit_defaults=True):
    birth: Birth | UnsetType = UNSET
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


class Entry(Struct, kw_only=True, array_like=True):
    job: str
    owner: str
    seq: int
    id: str
    name: str
    state: str
    outcome: JobOutcome | None
    applied: bool
    reason: Reason | None
    data: bytes | None
    source: str | None
    received: datetime
    occurred: datetime | None
    digest: bytes
    change: Change
    due: tuple[str, ...] = ()
    moved_in: str = ""


class Positioned(Struct, array_like=True):
    position: int
    entry: Entry
    lane: int = 0


class Job(Struct, kw_only=True, array_like=True):
    id: str
    owner: str
    lifecycle: str
    lifecycle_version: int
    name: str | None
    tags: tuple[str, ...]
    parent: str | None
    deadline_s: float | None
    heartbeat_s: float | None
    plan: Plan | None
    state: str
    outcome: JobOutcome | None
    cause: str | None
    seq: int
    born: int
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
    retry_of: str | None = None
    dialect: str = ""


class Refusal(Struct, kw_only=True, array_like=True):
    job: str
    event: str
    owner: str
    reason: Reason
    name: str
    data: bytes | None
    source: str | None
    received: datetime
    occurred: datetime | None
    digest: bytes
    position: int = 0
    replayed_as: str | None = None


class Outcome(Struct, kw_only=True, array_like=True):
    job: str
    event: str
    verdict: Verdict
    reason: Reason | None = None
    seq: int | None = None
    state: str | None = None
    duplicate: bool = False
    generation: int = 0
    outstanding: Outstanding | None = None


class TokenAuthority(Struct, array_like=True, tag="token"):
    token: str
    attempt: int | None = None


class SignedAuthority(Struct, array_like=True, tag="signed"):
    role: Role
    principal: str
    attempt: int | None
    key_id: str
    signature: bytes


class Event(Struct, kw_only=True, array_like=True):
    id: str
    job: str
    name: str
    authority: TokenAuthority | SignedAuthority
    received: datetime
    digest: bytes
    data: bytes | None = None
    occurred: datetime | None = None
    source: str | None = None
    expects: int | None = None
    reply: str | None = None
    birth: Birth | None = None


class Packet(Struct, array_like=True):
    version: int
    events: tuple[Event, ...]
    sender: str = ""
    number: int = 0


#: What is read under each name of a recording.
RECORDS: Final = {
    "Packet": Packet,
    "Entry": Entry,
    "Job": Job,
    "Refusal": Refusal,
    "Outcome": Outcome,
    "Command": Command,
    "Broadcast": list[Positioned],
}


def read(record: str, written: bytes) -> object:
    """Read bytes as release 0.1.0 does; return plain values."""
    return msgspec.json.decode(
        msgspec.json.encode(msgspec.msgpack.decode(written, type=RECORDS[record]))
    )

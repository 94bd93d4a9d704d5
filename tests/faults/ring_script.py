"""Schedules as data: made from a seed, played step by step, cut down when they fail."""

from __future__ import annotations

import random
from typing import Literal

from msgspec import Struct
from ring_faults import FAILPOINTS, PART_PLACES, WHOLE_PLACES, WRITES, Fault, FaultKind

Kind = Literal["create", "likely", "any", "cancel", "rotate", "delete", "foreign", "forged"]


class Intent(Struct, frozen=True):
    """What one client wants to report; the world turns it into an event when it is sent."""

    client: int
    job: int
    kind: Kind
    pick: int
    """Chooses among what is possible then: the event's name, its sender, the age of its token."""


class Again(Struct, frozen=True):
    """The same event once more, counted from the latest; or another payload under its id."""

    back: int
    is_other: bool


class Send(Struct, frozen=True):
    """One packet."""

    events: tuple[Intent | Again, ...]


class Run(Struct, frozen=True):
    """The active process takes packets and settles them, unless a fault strikes."""

    take: int
    fault: Fault | None


class Resume(Struct, frozen=True):
    """A process that stood still goes on."""

    fault: Fault | None


class Takeover(Struct, frozen=True):
    """The broker closes the active process's channel; the other one takes over."""


class Late(Struct, frozen=True):
    """A write that had timed out is done after all."""


class Tick(Struct, frozen=True):
    """Time passes."""

    seconds: int


class Reap(Struct, frozen=True):
    """The reaper looks for stale jobs."""


class Block(Struct, frozen=True):
    """The broker takes no commands and broadcasts for the next batch."""


Step = Send | Run | Resume | Takeover | Late | Tick | Reap | Block


class Profile(Struct, frozen=True, kw_only=True):
    """Which schedules are likely."""

    in_parts: bool = True
    jobs: int = 3
    first_job: int = 0
    """Even ones are reported on by others, odd ones run here."""
    steps: int = 28
    faults: float = 0.45
    again: float = 0.2
    kinds: tuple[FaultKind, ...] = ("crash", "crash", "pause", "lost", "done", "late")
    places: tuple[str, ...] = ()
    """Where faults strike; empty: everywhere."""
    intents: tuple[Kind, ...] = ()
    """What is sent, beside creations; empty: everything."""


_INTENTS: tuple[Kind, ...] = (
    *("likely",) * 8,
    *("any",) * 3,
    *("create",) * 2,
    *("cancel",) * 2,
    *("rotate",) * 2,
    *("delete",) * 2,
    "foreign",
    "forged",
)


class ScriptMaker:
    """Makes one schedule."""

    def __init__(self, seed: int, profile: Profile) -> None:
        """Draw from a seed."""
        self._random = random.Random(seed)
        self._profile = profile
        self._jobs = range(profile.first_job, profile.first_job + profile.jobs)

    def make(self) -> list[Step]:
        """Return the schedule: every job is created early, then anything may happen."""
        profile = self._profile
        first = tuple(
            Intent(job % 2, job, "create", self._random.randrange(1 << 16))
            for job in self._jobs
            if self._random.random() < 0.8
        )
        steps: list[Step] = [Send(first)] if first else []
        while len(steps) < profile.steps:
            steps += self._some()
        return steps

    def _some(self) -> list[Step]:
        draw = self._random.random()
        if draw < 0.42:
            return [self._send()]
        if draw < 0.78:
            return [Run(self._random.choice((1, 1, 2, 4)), self._fault())]
        if draw < 0.85:
            return [Run(2, self._pause()), Takeover(), Run(4, None), Resume(self._fault())]
        return [
            self._random.choice(
                (
                    Takeover(),
                    Resume(self._fault()),
                    Late(),
                    Tick(self._random.choice((1, 5, 40))),
                    Reap(),
                    Block(),
                )
            )
        ]

    def _send(self) -> Send:
        count = self._random.choice((1, 1, 2, 3, 6))
        return Send(tuple(self._event() for _ in range(count)))

    def _event(self) -> Intent | Again:
        rng, profile = self._random, self._profile
        if rng.random() < profile.again:
            return Again(rng.randrange(8), rng.random() < 0.25)
        kinds = profile.intents or _INTENTS
        return Intent(
            rng.randrange(3), rng.choice(self._jobs), rng.choice(kinds), rng.randrange(1 << 16)
        )

    def _fault(self) -> Fault | None:
        if self._random.random() >= self._profile.faults:
            return None
        return self._of_kind(self._random.choice(self._profile.kinds))

    def _pause(self) -> Fault | None:
        return self._of_kind("pause") if "pause" in self._profile.kinds else self._fault()

    def _of_kind(self, kind: FaultKind) -> Fault | None:
        profile = self._profile
        possible = _possible(kind, in_parts=profile.in_parts)
        places = [place for place in profile.places if place in possible] or possible
        if not places:
            return None
        return Fault(kind, self._random.choice(places), self._random.choice((1, 1, 1, 1, 1, 2, 3)))


def _possible(kind: FaultKind, *, in_parts: bool) -> list[str]:
    gates = [*WHOLE_PLACES, *(PART_PLACES if in_parts else ())]
    if kind == "crash":
        return [*FAILPOINTS, *gates]
    if kind == "pause":
        return gates
    return list(WRITES) if in_parts else []

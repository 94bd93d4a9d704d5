"""What a schedule does to a process of the ring: a crash, a pause, a write of unknown fate."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Literal

from msgspec import Struct

from jobwire.actors.runtime import failpoints

FaultKind = Literal["crash", "pause", "lost", "done", "late"]
"""`lost`, `done` and `late` are writes that time out: not written, written, or written later."""

#: Places of the product.
FAILPOINTS = (
    "store.before_insert",
    "store.after_insert",
    "store.after_projection",
    "store.after_commit",
    "state.after_commit",
    "state.before_reply",
    "state.before_ack",
)
#: Places of the store under test; the last row only where its commit comes in parts.
WHOLE_PLACES = ("load.before", "load.between", "load.after", "commit.before", "commit.after")
PART_PLACES = (
    "refuse.between",
    "insert.before",
    "insert.middle",
    "insert.after",
    "project.before",
    "project.middle",
    "project.after",
)
WRITES = ("insert", "project")


class Crash(BaseException):
    """A `kill -9` in miniature: nothing after it runs, and no handler of errors sees it."""


class Fault(Struct, frozen=True):
    """What happens at the n-th pass of a place."""

    kind: FaultKind
    place: str
    passes: int = 1

    def __str__(self) -> str:
        """Describe it in a trace."""
        return f"{self.kind} at {self.place}#{self.passes}"


class Gate:
    """The places of one process; at most one fault at a time is armed."""

    def __init__(self) -> None:
        """Let everything pass."""
        self.paused = asyncio.Event()
        self.struck: Counter[tuple[str, str]] = Counter()
        self._fault: Fault | None = None
        self._left = 0
        self._resumed = asyncio.Event()

    def arm(self, fault: Fault | None) -> None:
        """Strike once; None disarms."""
        failpoints.disarm()
        self._fault, self._left = fault, fault.passes if fault else 0
        if fault is not None and fault.place in FAILPOINTS:
            failpoints.arm(fault.place, self._strike_failpoint)

    def expects(self, place: str) -> bool:
        """Return whether a fault waits at a place."""
        return self._fault is not None and self._fault.place == place

    async def passing(self, place: str) -> None:
        """Pass a place: go on, stand still until resumed, or crash."""
        fault = self._due(place)
        if fault is None:
            return
        if fault.kind == "crash":
            raise Crash(place)
        self.paused.set()
        await self._resumed.wait()
        self._resumed.clear()

    def writing(self, what: str) -> FaultKind | None:
        """Return what becomes of a write."""
        fault = self._due(what)
        return fault.kind if fault else None

    def resume(self) -> None:
        """Let a process that stands still go on."""
        self.paused.clear()
        self._resumed.set()

    def _due(self, place: str) -> Fault | None:
        fault = self._fault
        if fault is None or fault.place != place:
            return None
        self._left -= 1
        if self._left:
            return None
        self._fault = None
        self.struck[place, fault.kind] += 1
        return fault

    def _strike_failpoint(self) -> None:
        fault = self._fault
        if fault is not None and self._due(fault.place):
            raise Crash(fault.place)

"""One trial: clients report while something breaks, and whatever they were told must be so."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Final

from http_load import Load, eventually
from http_witness import Witness

from tests.support.fleet import Fleet

#: Everything is well again so long after the end of a fault.
WELL_S: Final = 15.0
#: Events that clients must have sent during a trial.
EVENTS: Final = 1_000
#: Longest time until somebody is told that a part is away, on a machine that is busy.
ANSWER_S: Final = 5.5
#: Events that are accepted before a fault, and again after it.
_BEFORE, _AFTER = 500, 100


class Trial:
    """Clients, a witness of what is kept, and the moment when the fault ended."""

    def __init__(self, load: Load, witness: Witness, fleet: Fleet) -> None:
        """Watch clients that have begun."""
        self.load = load
        self.witness = witness
        self._fleet = fleet
        self._ended: float | None = None
        #: Longest time in which a refusal may come; longer where the gateway itself stood still.
        self.answer_s = ANSWER_S
        #: The moment from which on nothing may be lost that was begun then.
        self.counts_from = 0.0

    async def begin(self) -> None:
        """Return when all is going well, and something may break."""
        await self.load.until(_BEFORE, 30.0)

    @property
    def refused(self) -> int:
        """How often clients were told that a part is away."""
        return self.load.ledger.answers["503"]

    async def refuses(self, within_s: float = 10.0) -> None:
        """Return when somebody has been told, since now, that a part is away."""
        before = self.refused
        await eventually(lambda: self.refused > before, within_s, "somebody is refused")

    def heal(self) -> None:
        """Count from now on how long it takes until all is well again."""
        self._ended = time.monotonic()

    @property
    def _left_s(self) -> float:
        assert self._ended is not None, "nobody said when the fault ended"
        return self._ended + WELL_S - time.monotonic()

    def _forgive(self) -> None:
        """Let what was begun too early be lost; it may be there all the same."""
        for sent in self.load.ledger.events.values():
            if sent.fate == "accepted" and sent.began < self.counts_from:
                sent.fate = "open"

    async def judge(self) -> None:
        """See that all is well again in time, and that what was accepted is there."""
        await self.load.until(_AFTER, max(self._left_s, 0.1))
        answered_s = WELL_S - self._left_s
        await self._fleet.ready(max(self._left_s, 0.1))
        ledger = self.load.ledger
        if len(ledger.events) < EVENTS:
            await eventually(lambda: len(ledger.events) >= EVENTS, 30.0, f"{EVENTS} events")
            self.heal()  # all was well; the rest of the clients' work takes its time
        await self.load.stop()
        self._forgive()
        found = await self._settled()
        stored_s = WELL_S - self._left_s
        _say(f"answered again after {answered_s:.1f} s, all stored after {stored_s:.1f} s")
        _say(f"answers {dict(ledger.answers)}, slowest {ledger.slowest}")
        assert found == [], found
        assert ledger.answers["hung"] == 0
        assert ledger.slowest.get(503, (0.0,))[0] <= self.answer_s, ledger.slowest[503]

    async def _settled(self) -> list[str]:
        """Read everything; again, while the last events may be on their way and there is time."""
        while True:
            found = await self.witness.complaints(self.load.ledger)
            if self._left_s < 0 or not found:
                return found
            await asyncio.sleep(0.2)


def _say(text: str) -> None:
    sys.stdout.write(f"FIGURE {text}\n")

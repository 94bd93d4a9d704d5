"""One trial: clients report while something breaks, and whatever they were told must be so."""

from __future__ import annotations

import asyncio
import sys
from typing import Final

from http_load import Load, eventually
from http_witness import Witness

from tests.support.deadlines import PATIENCE_S
from tests.support.fleet import Fleet
from tests.support.stopwatch import Stopwatch

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
        self._healed: Stopwatch | None = None
        #: Longest time in which a refusal may come; longer where the gateway itself stood still.
        self.answer_s = ANSWER_S
        #: The moment from which on nothing may be lost that was begun then.
        self.counts_from = 0.0

    async def begin(self) -> None:
        """Return when all is going well, and something may break."""
        await self.load.until(_BEFORE)

    @property
    def refused(self) -> int:
        """How often clients were told that a part is away."""
        return self.load.ledger.answers["503"]

    async def refuses(self) -> None:
        """Return when somebody has been told, since now, that a part is away."""
        before = self.refused
        await eventually(lambda: self.refused > before, PATIENCE_S, "somebody is refused")

    def heal(self) -> None:
        """Count from now on how long it takes until all is well again."""
        self._healed = Stopwatch()

    @property
    def _since(self) -> Stopwatch:
        assert self._healed is not None, "nobody said when the fault ended"
        return self._healed

    def _forgive(self) -> None:
        """Let what was begun too early be lost; it may be there all the same."""
        for sent in self.load.ledger.events.values():
            if sent.fate == "accepted" and sent.began < self.counts_from:
                sent.fate = "open"

    async def judge(self) -> None:
        """See that all is well again in time, and that what was accepted is there."""
        await self.load.until(_AFTER)
        answered_s = self._since.seconds
        await self._fleet.ready()
        ready_s = self._since.seconds
        ledger = self.load.ledger
        if len(ledger.events) < EVENTS:
            await eventually(lambda: len(ledger.events) >= EVENTS, PATIENCE_S, f"{EVENTS} events")
            self.heal()  # all was well; the rest of the clients' work takes its time
        await self.load.stop()
        self._forgive()
        found = await self._settled()
        stored_s = self._since.seconds
        _say(f"answered again after {answered_s:.1f} s, all stored after {stored_s:.1f} s")
        _say(f"answers {dict(ledger.answers)}, slowest {ledger.slowest}")
        assert found == [], found
        assert max(answered_s, ready_s, stored_s) <= WELL_S
        assert ledger.answers["hung"] == 0
        assert ledger.slowest.get(503, (0.0,))[0] <= self.answer_s, ledger.slowest[503]

    async def _settled(self) -> list[str]:
        """Read everything; again, while the last events may be on their way and there is time."""
        while True:
            found = await self.witness.complaints(self.load.ledger)
            if not found or self._since.seconds > WELL_S or self._since.wall_s > 2 * PATIENCE_S:
                return found
            await asyncio.sleep(0.2)


def _say(text: str) -> None:
    sys.stdout.write(f"FIGURE {text}\n")

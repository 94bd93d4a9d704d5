"""
Deliberate mistakes, one at a time: each must be found, or the property test proves nothing.

They are the ablations and bugs of the executable model, made on the real parts.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct, structs
from ring_broker import Line
from ring_script import Profile
from ring_store import RingStore, part
from ring_world import Container

from jobwire.actors.state_manager.actor import StateManager
from jobwire.actors.state_manager.batch import Settler
from jobwire.actors.state_manager.batch_view import Projections
from jobwire.actors.state_manager.commit_publisher import CommitPublisher
from jobwire.actors.state_manager.committed_batch import CommittedBatch
from jobwire.actors.state_manager.decide import Keep, Refuse
from jobwire.actors.stores.base import (
    Commit,
    Committed,
    EventKey,
    Loaded,
    OutstandingJob,
    Positioned,
)
from jobwire.actors.stores.rows import job_key
from jobwire.actors.transports.base import BusMessage
from jobwire.schemas.errors import Unavailable
from jobwire.schemas.events import Event, Packet
from jobwire.schemas.identifiers import JobId
from jobwire.schemas.jobs import Entry, Job
from jobwire.schemas.lifecycle import Lifecycle
from jobwire.schemas.tokens import VerifiedSender


class Mutation(Struct, frozen=True, kw_only=True):
    """One mistake, the schedules that find it, and what must be found."""

    name: str
    parts: Container
    profile: Profile = Profile()
    found: str
    """What the report of the violation begins with."""


class AcksFirst(StateManager):
    """Acknowledges before the commit."""

    async def _take(self, queue: str, messages: Sequence[BusMessage]) -> None:
        held = asyncio.create_task(super()._take(queue, messages))
        held.add_done_callback(_look_away)


def _look_away(held: asyncio.Task[None]) -> None:
    if not held.cancelled():
        held.exception()


class Lingers(Line):
    """Works off what it holds after another one has taken over, as `basic.cancel` would have it."""

    def hand_over(self) -> None:
        self.is_closed = True


class StopsWithTheBus(StateManager):
    """Acknowledges only what it could publish."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self._publisher = _Insists(parts["transport"], parts["telemetry"])


class _Insists(CommitPublisher):
    """Lets the batch fail when it cannot be told."""

    async def tell(self, settled: CommittedBatch, packets: Sequence[Packet]) -> None:
        if settled.entries:
            await self._transport.broadcast("entries", b"")
        await super().tell(settled, packets)


class AsksIdsFirst(RingStore):
    """Asks for ids before it loads the jobs."""

    async def load(
        self,
        jobs: Collection[JobId],
        keys: Collection[EventKey],
        *,
        fold: Collection[JobId],
        known: bool,
    ) -> Loaded:
        ids = await super().load((), keys, fold=(), known=known)
        standing = await super().load(jobs, (), fold=fold, known=False)
        return Loaded(standing.jobs, standing.tails, ids.known, ids.refused)


class NeverAsks(Settler):
    """Refuses without having looked the id up in the history."""

    async def settle(self, events: Sequence[Event], *, redelivered: bool) -> Any:
        del redelivered
        return await super().settle(events, redelivered=False)

    async def _plan(self, undecided: Any, batch: Any, view: Any) -> Any:
        asked, view.asks_history = view.asks_history, True
        try:
            return await super()._plan(undecided, batch, view)
        finally:
            view.asks_history = asked


class IgnoresStale(Settler):
    """Plans again after a conflict, on the same view."""

    async def _commit(self, plan: Any, batch: Any, view: Any, written: Any) -> bool:
        done = await super()._commit(plan, batch, view, written)
        view.conflicted.clear()
        return done


class ForgetsStored(Settler):
    """After a conflict leaves the projections of what was stored as they are."""

    async def _load(self, batch: Any, view: Any, written: Any) -> Any:
        stored = {key.job for key in written.entries}
        view.conflicted -= stored - {key.job for key in batch.firsts if key not in written.entries}
        return await super()._load(batch, view, written)


class NeverRepairs(Settler):
    """Rolls a known event's job forward for its own decisions only."""

    async def _commit(self, plan: Any, batch: Any, view: Any, written: Any) -> bool:
        view.repairs = Projections()
        return await super()._commit(plan, batch, view, written)


class BuriesAlive(Settler):
    """Makes a job again although its tombstone is not written yet."""

    async def _plan(self, undecided: Any, batch: Any, view: Any) -> Any:
        view.behind = set()
        return await super()._plan(undecided, batch, view)


class JudgesByItsClock(Settler):
    """Judges the overlap of tokens by the time of the commit."""

    def _verdict(
        self, job: Job | None, event: Event, sender: VerifiedSender, lifecycle: Lifecycle | None
    ) -> Refuse | Keep:
        late = structs.replace(event, received=event.received + timedelta(seconds=35))
        return super()._verdict(job, late, sender, lifecycle)


class ForgetsCancels(Settler):
    """Lets a job be tried again after its cancel was accepted."""

    def _verdict(
        self, job: Job | None, event: Event, sender: VerifiedSender, lifecycle: Lifecycle | None
    ) -> Refuse | Keep:
        if job is not None:
            job = structs.replace(job, cancel_applied=False)
        return super()._verdict(job, event, sender, lifecycle)


class WritesOver(RingStore):
    """Writes projections without a guard, and inserts what is not there."""

    async def project(self, commit: Commit) -> Committed:
        connection = sqlite3.connect(self.path)
        with connection:
            keys = [(job_key(job.id),) for job in commit.jobs]
            connection.executemany("UPDATE jobs SET seq = -1 WHERE id = ?", keys)
        connection.close()
        everything = {job.id for job in commit.jobs}
        return await super().project(structs.replace(commit, created=everything))


class GoesOn(RingStore):
    """Goes on inserting after a conflict."""

    async def insert(self, commit: Commit) -> Committed:
        stored: list[Positioned] = []
        conflict = None
        for entry in commit.entries:
            committed = await self.write(part(entries=[entry]))
            if committed.conflict is not None:
                conflict = conflict or committed.conflict
            elif conflict is None:
                stored += committed.stored
        return Committed(stored, conflict)


class SwallowsProjections(RingStore):
    """Says that projections are written when nobody knows."""

    async def _timed(self, what: str, commit: Commit) -> Committed:
        try:
            return await super()._timed(what, commit)
        except Unavailable:
            if what == "insert":
                raise
            return Committed([])


class SwallowsInserts(RingStore):
    """Takes an insert whose fate is unknown for done."""

    async def _timed(self, what: str, commit: Commit) -> Committed:
        try:
            return await super()._timed(what, commit)
        except Unavailable:
            return Committed([Positioned(*each) for each in enumerate(commit.entries, 1)])


class ForgetsRefusals(RingStore):
    """Does not know which ids it has refused."""

    async def load(
        self,
        jobs: Collection[JobId],
        keys: Collection[EventKey],
        *,
        fold: Collection[JobId],
        known: bool,
    ) -> Loaded:
        return structs.replace(await super().load(jobs, keys, fold=fold, known=known), refused={})


class RefusesLast(RingStore):
    """Writes refusals after the entries."""

    async def _in_parts(self, commit: Commit) -> Committed:
        committed = await super()._in_parts(structs.replace(commit, refusals=()))
        if committed.conflict is None:
            await super()._in_parts(part(refusals=commit.refusals))
        return committed


class LosesTails(RingStore):
    """Takes a job without a projection for one that is not there."""

    async def load(
        self,
        jobs: Collection[JobId],
        keys: Collection[EventKey],
        *,
        fold: Collection[JobId],
        known: bool,
    ) -> Loaded:
        view = await super().load(jobs, keys, fold=fold, known=known)
        tails: Mapping[JobId, Sequence[Entry]] = {
            job: tail for job, tail in view.tails.items() if job in view.jobs
        }
        return structs.replace(view, tails=tails)


class LosesOutstanding(RingStore):
    """Does not move the columns that the reaper looks at."""

    async def write(self, commit: Commit) -> Committed:
        return await super().write(structs.replace(commit, moved=()))

    async def outstanding(
        self, until: datetime, after: OutstandingJob | None, limit: int
    ) -> list[OutstandingJob]:
        del until, after, limit
        return []


#: Jobs that are deleted and made again, with projections that are late.
REBORN = Profile(
    jobs=1,
    again=0.3,
    faults=0.6,
    kinds=("lost", "late", "crash"),
    places=("project", "insert.after"),
    intents=("create", "delete", "delete", "likely"),
)
#: One of two consumers of a queue stands still between looking and writing.
TWO_CONSUMERS = Profile(kinds=("pause",), places=("load.after", "commit.before"), again=0.0)
_ZOMBIE = Profile(kinds=("pause",), places=("insert.before", "load.after"), faults=0.6)

MUTATIONS = (
    Mutation(
        name="acknowledges before the commit",
        parts=Container(manager=AcksFirst),
        profile=Profile(in_parts=False, kinds=("crash",)),
        found="accepted event lost",
    ),
    Mutation(
        name="stops with the bus",
        parts=Container(manager=StopsWithTheBus),
        profile=Profile(faults=0.1),
        found="stuck",
    ),
    Mutation(
        name="asks ids before it loads the jobs",
        parts=Container(store=AsksIdsFirst),
        profile=Profile(
            jobs=1,
            steps=40,
            kinds=("crash", "pause"),
            places=("load.after",),
            faults=0.9,
            intents=("delete", "likely", "create"),
        ),
        found="in the history and in refused",
    ),
    Mutation(
        name="refuses without looking the id up",
        parts=Container(settler=NeverAsks),
        found="in the history and in refused",
    ),
    Mutation(
        name="plans again on a stale view",
        parts=Container(settler=IgnoresStale),
        found="stuck: process",
    ),
    Mutation(
        name="forgets the projection of a stored prefix",
        parts=Container(settler=ForgetsStored),
        profile=Profile(steps=8, faults=0.0, again=0.5),
        found="the projection is not the fold",
    ),
    Mutation(
        name="does not repair a projection that is behind",
        parts=Container(settler=NeverRepairs),
        profile=Profile(kinds=("crash", "lost"), places=("insert.after", "project"), faults=0.6),
        found="the projection is not the fold",
    ),
    Mutation(
        name="makes a job again before its tombstone is written",
        parts=Container(settler=BuriesAlive),
        profile=REBORN,
        found="a deleted job",
    ),
    Mutation(
        name="judges tokens by its own clock",
        parts=Container(settler=JudgesByItsClock),
        profile=Profile(intents=("rotate", "any", "likely")),
        found="decided on another state",
    ),
    Mutation(
        name="forgets an accepted cancel",
        parts=Container(settler=ForgetsCancels),
        profile=Profile(
            jobs=1, first_job=1, faults=0.0, again=0.0, intents=(*("likely",) * 6, "cancel")
        ),
        found="accepted cancel forgotten",
    ),
    Mutation(
        name="writes projections without a guard",
        parts=Container(store=WritesOver),
        profile=Profile(kinds=("pause",), places=("project.before", "project.middle"), faults=0.6),
        found="the projection is not the fold",
    ),
    Mutation(
        name="goes on after a conflict",
        parts=Container(store=GoesOn),
        profile=_ZOMBIE,
        found="",
    ),
    Mutation(
        name="acknowledges with a projection of unknown fate",
        parts=Container(store=SwallowsProjections),
        profile=Profile(kinds=("lost", "late")),
        found="the projection is not the fold",
    ),
    Mutation(
        name="acknowledges with an insert of unknown fate",
        parts=Container(store=SwallowsInserts),
        profile=Profile(kinds=("lost", "late")),
        found="",
    ),
    Mutation(
        name="forgets what it has refused",
        parts=Container(store=ForgetsRefusals),
        found="in the history and in refused",
    ),
    Mutation(
        name="writes refusals after the entries",
        parts=Container(store=RefusesLast),
        profile=Profile(
            kinds=("crash",),
            places=("insert.after", "refuse.between", "project.before"),
            faults=0.7,
            intents=("create", "likely", "delete"),
        ),
        found="",
    ),
    Mutation(
        name="takes a job without projection for unknown",
        parts=Container(store=LosesTails),
        profile=Profile(kinds=("crash", "lost"), places=("insert.after", "project"), faults=0.7),
        found="",
    ),
    Mutation(
        name="leaves the reaper's columns behind",
        parts=Container(store=LosesOutstanding),
        found="indexed columns are not the projection's",
    ),
    Mutation(
        name="has no unique (job, seq) where two consume one queue",
        parts=Container(line=Lingers, sql=("DROP INDEX entries_by_seq;",)),
        profile=TWO_CONSUMERS,
        found="seq is not 1..n",
    ),
    Mutation(
        name="has no unique (job, id)",
        parts=Container(sql=("DROP INDEX entries_by_id;",)),
        found="an event is in the history twice",
    ),
)

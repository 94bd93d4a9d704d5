"""
The SQLite store with the windows that its one transaction hides.

In parts it commits as a document store does: refusals, then entries up to the first conflict, then
one projection after the other, with room for a crash, a pause or a time-out between any two.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path

from ring_faults import Gate

from jobwire.actors.stores.base import Commit, Committed, EventKey, Loaded
from jobwire.actors.stores.sqlite import SqliteStore
from jobwire.schemas.errors import Unavailable
from jobwire.schemas.identifiers import JobId
from jobwire.schemas.jobs import Entry, Job, Refusal

#: Remembers every entry ever inserted, with what deletion takes away later; atomic with the insert.
_WITNESS = """
CREATE TABLE witness (number INTEGER PRIMARY KEY, job BLOB, seq INTEGER, id TEXT, body BLOB);
CREATE TRIGGER witness_entries AFTER INSERT ON entries
BEGIN INSERT INTO witness (job, seq, id, body) VALUES (new.job, new.seq, new.id, new.body); END;
"""


class RingStore(SqliteStore):
    """A SQLite store that passes a gate between any two steps."""

    def __init__(
        self, path: Path, gate: Gate, late: list[tuple[str, Commit]], *, in_parts: bool
    ) -> None:
        """Commit whole, or in parts; writes that come late are left in `late`."""
        super().__init__(path)
        self.path = path
        self.gate = gate
        self.in_parts = in_parts
        self._late = late

    async def load(
        self,
        jobs: Collection[JobId],
        keys: Collection[EventKey],
        *,
        fold: Collection[JobId],
        known: bool,
    ) -> Loaded:
        """Load jobs, then ask for ids, with a gap between."""
        await self.gate.passing("load.before")
        standing = await super().load(jobs, (), fold=fold, known=False)
        await self.gate.passing("load.between")
        ids = await super().load((), keys, fold=(), known=known)
        await self.gate.passing("load.after")
        return Loaded(standing.jobs, standing.tails, ids.known, ids.refused)

    async def commit(self, commit: Commit) -> Committed:
        """Commit whole or in parts."""
        await self.gate.passing("commit.before")
        committed = await (self._in_parts(commit) if self.in_parts else self.write(commit))
        await self.gate.passing("commit.after")
        return committed

    async def write(self, commit: Commit) -> Committed:
        """Write in one transaction."""
        return await super().commit(commit)

    async def _in_parts(self, commit: Commit) -> Committed:
        for refusal in commit.refusals:
            await self.write(part(refusals=[refusal]))
            await self.gate.passing("refuse.between")
        await self.gate.passing("insert.before")
        committed = await self._timed("insert", commit)
        if committed.conflict is not None:
            return committed
        await self.gate.passing("insert.after")
        await self.gate.passing("project.before")
        await self._timed("project", commit)
        await self.gate.passing("project.after")
        return committed

    async def insert(self, commit: Commit) -> Committed:
        """Insert entries in order, up to the first conflict."""
        entries = commit.entries
        half = len(entries) // 2 if self.gate.expects("insert.middle") else 0
        first = await self._prefix(entries[:half])
        if first.conflict is not None:
            return first
        await self.gate.passing("insert.middle")
        rest = await self._prefix(entries[half:])
        return Committed([*first.stored, *rest.stored], rest.conflict)

    async def project(self, commit: Commit) -> Committed:
        """Write one projection after the other."""
        for job in commit.jobs:
            await self.write(part(jobs=[job], created=commit.created, moved=commit.moved))
            await self.gate.passing("project.middle")
        return Committed([])

    async def _prefix(self, entries: Sequence[Entry]) -> Committed:
        if not entries:
            return Committed([])
        committed = await self.write(part(entries=entries))
        if committed.conflict is None:
            return committed
        ids = [EventKey(entry.job, entry.id) for entry in entries]
        before = await self._prefix(entries[: ids.index(committed.conflict)])
        return Committed(before.stored, committed.conflict)

    async def _timed(self, what: str, commit: Commit) -> Committed:
        fate = self.gate.writing(what)
        if fate is None or fate == "done":
            committed = await (self.insert(commit) if what == "insert" else self.project(commit))
            if fate is None:
                return committed
        elif fate == "late":
            self._late.append((what, commit))
        raise Unavailable(f"the {what} timed out: {fate}")


def part(
    *,
    refusals: Sequence[Refusal] = (),
    entries: Sequence[Entry] = (),
    jobs: Sequence[Job] = (),
    created: Collection[JobId] = (),
    moved: Collection[JobId] = (),
) -> Commit:
    """Make a commit of one kind of rows."""
    return Commit(refusals=refusals, entries=entries, jobs=jobs, created=created, moved=moved)


def add_witness(path: Path, *more: str) -> None:
    """Let a database remember what was ever inserted; run `more` on it."""
    connection = sqlite3.connect(path)
    connection.executescript(_WITNESS + "".join(more))
    connection.close()

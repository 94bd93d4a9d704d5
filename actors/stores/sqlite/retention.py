"""The end of old jobs, in SQL."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import Final

from jobwire.actors.stores.rows import decode_job, microseconds, terms

#: Entries that one transaction removes, for other writers wait meanwhile; at least one whole job.
_MOST_ENTRIES: Final = 20_000

_ENDED: Final = (
    "SELECT id, seq, created, body FROM jobs INDEXED BY jobs_ended WHERE ended < ?"
    " AND NOT EXISTS (SELECT 1 FROM entries INDEXED BY entries_due_of_job"
    " WHERE entries.job = jobs.id AND due = 1)"
    " AND NOT EXISTS (SELECT 1 FROM deliveries INDEXED BY deliveries_to_come"
    " WHERE deliveries.job = jobs.id AND next_at IS NOT NULL)"
    " ORDER BY ended LIMIT ?"
)


def forget(connection: sqlite3.Connection, before: datetime, limit: int) -> int:
    """Remove whole jobs that ended before a moment and that nobody waits for."""
    rows = connection.execute(_ENDED, (microseconds(before), limit)).fetchall()
    removed = entries = 0
    for key, seq, created, body in rows:
        entries += seq
        if removed and entries > _MOST_ENTRIES:
            break
        job = decode_job(body)
        connection.executemany(
            "DELETE FROM terms WHERE owner = ? AND term = ? AND created = ? AND job = ?",
            [(job.owner, term, created, key) for term in terms(job)],
        )
        connection.execute("DELETE FROM entries WHERE job = ?", (key,))
        connection.execute("DELETE FROM jobs WHERE id = ?", (key,))
        removed += 1
    return removed

"""The main path in SQL: load, then write a batch; both on the writer's connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from jobwire.actors.runtime.failpoints import failpoint
from jobwire.actors.stores.base import Commit, EventKey, KnownEvent, Loaded, Positioned
from jobwire.actors.stores.rows import (
    decode_entry,
    decode_job,
    decode_refusal,
    encode,
    indexed_times,
    job_key,
    microseconds,
    terms,
)
from jobwire.actors.stores.sqlite import reading
from jobwire.schemas.identifiers import EventId, JobId
from jobwire.schemas.jobs import Entry, Job, Refusal

_INSERT_ENTRIES: Final = (
    "INSERT INTO entries (job, seq, id, owner, digest, body, due) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_REFUSALS: Final = "INSERT OR IGNORE INTO refused (job, id, owner, body) VALUES (?, ?, ?, ?)"
_INSERT_JOB: Final = (
    "INSERT OR IGNORE INTO jobs (owner, created, parent, lifecycle, state, outcome, deleted,"
    " publish_at, watch_at, ended, seq, body, id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_TERMS: Final = (
    "INSERT OR IGNORE INTO terms (owner, term, created, job, state) VALUES (?, ?, ?, ?, ?)"
)
_TOUCH_JOB: Final = "UPDATE jobs SET seq = ?, body = ? WHERE id = ? AND seq < ?"
_MOVE_JOB: Final = (
    "UPDATE jobs SET owner = ?, created = ?, parent = ?, lifecycle = ?, state = ?, outcome = ?,"
    " deleted = ?, publish_at = ?, watch_at = coalesce(watch_at, ?), ended = ?, seq = ?, body = ?"
    " WHERE id = ? AND seq < ?"
)


def load(
    connection: sqlite3.Connection,
    jobs: Collection[JobId],
    keys: Collection[EventKey],
    *,
    fold: Collection[JobId],
    known: bool,
) -> Loaded:
    """Load jobs, then ask for the events."""
    loaded = _load_jobs(connection, jobs)
    behind = {*fold, *(job for job in jobs if job not in loaded)}
    tails = {
        job: _tail(connection, job, loaded[job].seq) if job in loaded else _all(connection, job)
        for job in behind
    }
    refused = _refused(connection, keys)
    return Loaded(loaded, tails, _known(connection, keys) if known else {}, refused)


def _load_jobs(connection: sqlite3.Connection, jobs: Collection[JobId]) -> dict[JobId, Job]:
    loaded = {}
    for job in jobs:
        row = connection.execute("SELECT body FROM jobs WHERE id = ?", (job_key(job),)).fetchone()
        if row is not None:
            loaded[job] = decode_job(row[0])
    return loaded


def _tail(connection: sqlite3.Connection, job: JobId, seq: int) -> list[Entry]:
    rows = connection.execute(
        "SELECT body FROM entries WHERE job = ? AND seq > ? AND body IS NOT NULL ORDER BY seq",
        (job_key(job), seq),
    )
    return [decode_entry(body) for (body,) in rows]


def _all(connection: sqlite3.Connection, job: JobId) -> list[Entry]:
    """Return all entries of a job that has no projection."""
    key = job_key(job)
    (first,) = connection.execute("SELECT min(seq) FROM entries WHERE job = ?", (key,)).fetchone()
    if first is not None and first > 1:
        # Written by somebody who had looked before the job was forgotten.
        connection.execute("DELETE FROM entries WHERE job = ?", (key,))
    return _tail(connection, job, 0)


def _refused(
    connection: sqlite3.Connection, keys: Collection[EventKey]
) -> dict[EventKey, list[Refusal]]:
    if connection.execute("SELECT 1 FROM refused LIMIT 1").fetchone() is None:
        return {}
    found = {}
    for key in keys:
        rows = connection.execute(
            "SELECT body FROM refused WHERE job = ? AND id = ?", (job_key(key.job), key.event)
        ).fetchall()
        if rows:
            found[key] = [decode_refusal(body) for (body,) in rows]
    return found


def _known(
    connection: sqlite3.Connection, keys: Collection[EventKey]
) -> dict[EventKey, KnownEvent]:
    found = {}
    for key in keys:
        row = connection.execute(
            "SELECT seq, digest, body FROM entries WHERE job = ? AND id = ?",
            (job_key(key.job), key.event),
        ).fetchone()
        if row is not None:
            seq, digest, body = row
            found[key] = KnownEvent(seq, digest, decode_entry(body) if body else None)
    return found


def write(connection: sqlite3.Connection, work: Commit) -> list[Positioned]:
    """
    Write a batch inside the writer's transaction; return its entries with their positions.

    Raises:
        sqlite3.IntegrityError: an id or a seq is taken; `conflict` finds out which.

    """
    rows = [(job_key(r.job), r.event, r.owner, encode(r)) for r in work.refusals]
    connection.executemany(_INSERT_REFUSALS, rows)
    failpoint("store.before_insert")
    stored = _insert(connection, work.entries)
    failpoint("store.after_insert")
    _project(connection, work)
    failpoint("store.after_projection")
    return stored


def _insert(connection: sqlite3.Connection, entries: Sequence[Entry]) -> list[Positioned]:
    rows = [
        (job_key(e.job), e.seq, e.id, e.owner, e.digest, encode(e), int(bool(e.due)))
        for e in entries
    ]
    connection.executemany(_INSERT_ENTRIES, rows)
    (last,) = connection.execute("SELECT last_insert_rowid()").fetchone()
    # One writer: the positions of a batch follow each other.
    return [Positioned(place, entry) for place, entry in enumerate(entries, last - len(rows) + 1)]


def conflict(connection: sqlite3.Connection, entries: Sequence[Entry]) -> EventKey:
    """Find the first entry whose id or seq is taken."""
    for entry in entries:
        taken = connection.execute(
            "SELECT 1 FROM entries WHERE job = ?1 AND (id = ?2 OR seq = ?3)",
            (job_key(entry.job), entry.id, entry.seq),
        ).fetchone()
        if taken:
            return EventKey(entry.job, entry.id)
    # Two entries of one batch clash with each other: a mistake in the plan, not in the store.
    message = "a batch holds two entries with the same id or seq"
    raise ValueError(message)


def _project(connection: sqlite3.Connection, work: Commit) -> None:
    touched = []
    for job in work.jobs:
        if job.id in work.created and _create(connection, job):
            continue
        if job.id in work.moved or job.id in work.created:
            _move(connection, job)
        else:
            touched.append((job.seq, encode(job), job_key(job.id), job.seq))
    connection.executemany(_TOUCH_JOB, touched)


def _create(connection: sqlite3.Connection, job: Job) -> bool:
    values = (*_indexed(job), job.seq, encode(job), job_key(job.id))
    inserted = connection.execute(_INSERT_JOB, values).rowcount
    if inserted and job.deleted:
        _strip(connection, job)
    elif inserted:
        _add_terms(connection, job)
    return bool(inserted)


def _move(connection: sqlite3.Connection, job: Job) -> None:
    key = job_key(job.id)
    values = (*_indexed(job), job.seq, encode(job), key, job.seq)
    if not connection.execute(_MOVE_JOB, values).rowcount:
        return  # a newer projection is there already
    created = microseconds(job.created)
    for term in terms(job):
        connection.execute(
            "UPDATE terms SET state = ? WHERE owner = ? AND term = ? AND created = ? AND job = ?",
            (job.state, job.owner, term, created, key),
        )
    if job.deleted:
        _strip(connection, job)
    elif job.seq == job.born or job.born > 1:
        _add_terms(connection, job)


def _strip(connection: sqlite3.Connection, job: Job) -> None:
    """Leave of a deleted job only the ids, seqs and digests of its entries."""
    key, created = job_key(job.id), microseconds(job.created)
    connection.execute(
        # An entry with deliveries still to be planned keeps its body until then.
        "UPDATE entries SET body = NULL WHERE job = ? AND seq <= ? AND due = 0",
        (key, job.seq),
    )
    connection.execute("UPDATE jobs SET watch_at = NULL WHERE id = ?", (key,))
    for term in terms(job):
        connection.execute(
            "DELETE FROM terms WHERE owner = ? AND term = ? AND created = ? AND job = ?",
            (job.owner, term, created, key),
        )


def _add_terms(connection: sqlite3.Connection, job: Job) -> None:
    key, created = job_key(job.id), microseconds(job.created)
    rows = [(job.owner, term, created, key, job.state) for term in terms(job)]
    connection.executemany(_INSERT_TERMS, rows)


def mark_replayed(
    connection: sqlite3.Connection, owner: str, key: EventKey, replayed_as: EventId
) -> None:
    """Remember under which id a refused event was sent again."""
    found = reading.refusal(connection, owner, key)
    if found is not None:
        body = encode(replace(found, replayed_as=replayed_as))
        connection.execute("UPDATE refused SET body = ? WHERE position = ?", (body, found.position))


def watch(connection: sqlite3.Connection, job: Job, until: datetime | None) -> None:
    """Look at a job again at that moment, unless it has moved on since."""
    moment = microseconds(until) if until else None
    connection.execute(
        "UPDATE jobs SET watch_at = ? WHERE id = ? AND seq = ?", (moment, job_key(job.id), job.seq)
    )


def postpone(connection: sqlite3.Connection, jobs: Sequence[tuple[Job, datetime]]) -> None:
    """Publish the command of each job again at that moment, unless it has moved on since."""
    connection.executemany(
        "UPDATE jobs SET publish_at = ? WHERE id = ? AND seq = ? AND publish_at IS NOT NULL",
        [(microseconds(until), job_key(job.id), job.seq) for job, until in jobs],
    )


def _indexed(job: Job) -> tuple[object, ...]:
    """Return the columns of a job that indexes are made of, in the order of the table."""
    times = indexed_times(job)
    return (
        job.owner,
        microseconds(job.created),
        job_key(job.parent) if job.parent else None,
        job.lifecycle,
        job.state,
        job.outcome,
        int(job.deleted),
        times.publish_at,
        times.watch_at,
        times.ended,
    )

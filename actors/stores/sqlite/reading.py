"""
What callers and the reaper read, in SQL.

Every caller's query names the owner.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from jobwire.actors.stores.base import (
    Count,
    EventKey,
    JobCursor,
    JobFilter,
    OutstandingJob,
    Place,
    Positioned,
)
from jobwire.actors.stores.rows import (
    JobKind,
    counts,
    decode_entry,
    decode_job,
    decode_refusal,
    job_key,
    microseconds,
    moment,
    words,
)
from jobwire.schemas.identifiers import JobId
from jobwire.schemas.jobs import Entry, Job, Refusal

#: Entries of all owners that one page of a stream looks at: bounds the work for an owner with few.
_STREAM_SPAN = 20_000
#: A moment before all moments.
_FIRST = -(2**62)


def get(connection: sqlite3.Connection, owner: str, job: JobId) -> Job | None:
    """Return a job of this owner."""
    row = connection.execute(
        "SELECT body FROM jobs WHERE id = ? AND owner = ? AND deleted = 0", (job_key(job), owner)
    ).fetchone()
    return decode_job(row[0]) if row else None


def find(
    connection: sqlite3.Connection,
    owner: str,
    which: JobFilter,
    after: JobCursor | None,
    limit: int,
) -> list[Job]:
    """Return a page of an owner's jobs, newest first."""
    if which.words and not words(*which.words):
        return []  # a search that names no word finds nothing, not everything
    looked_up = ([f"#{which.tag}"] if which.tag else []) + [
        f"~{word}" for word in words(*which.words)
    ]
    if looked_up:
        source, at, values = _by_terms(owner, looked_up, which.state)
    else:
        source, at, values = _by_columns(owner, which)
    conditions = []
    for column, value in (("outcome", which.outcome), ("lifecycle", which.lifecycle)):
        if value is not None:
            conditions.append(f"jobs.{column} = ?")
            values.append(value)
    if which.is_live:
        conditions.append("jobs.outcome IS NULL")
    if which.parent is not None and looked_up:
        conditions.append("jobs.parent = ?")
        values.append(job_key(which.parent))
    for sign, bound in ((">=", which.since), ("<", which.until)):
        if bound is not None:
            conditions.append(f"{at}.created {sign} ?")
            values.append(microseconds(bound))
    key = "terms.job" if looked_up else "jobs.id"
    if after is not None:
        conditions.append(f"({at}.created, {key}) < (?, ?)")
        values += [microseconds(after.created), job_key(after.id)]
    more = "".join(f" AND {condition}" for condition in conditions)
    order = f" ORDER BY {at}.created DESC, {key} DESC LIMIT ?"
    rows = connection.execute(  # fixed fragments; every value is a parameter
        f"SELECT jobs.body FROM {source}{more}{order}",  # noqa: S608
        [*values, limit],
    )
    return [decode_job(body) for (body,) in rows]


def _by_terms(owner: str, looked_up: list[str], state: str | None) -> tuple[str, str, list[Any]]:
    """Walk the first term in the order of time; the others, and the state, are asked of each."""
    first, *others = looked_up
    source = (
        "terms CROSS JOIN jobs ON jobs.id = terms.job WHERE "
        "terms.owner = ? AND terms.term = ? AND jobs.deleted = 0"
    )
    values: list[Any] = [owner, first]
    if state is not None:
        source += " AND terms.state = ?"
        values.append(state)
    for term in others:
        source += (
            " AND EXISTS (SELECT 1 FROM terms AS other WHERE "
            "other.owner = terms.owner AND other.term = ?"
            " AND other.created = terms.created AND other.job = terms.job)"
        )
        values.append(term)
    return source, "terms", values


def _by_columns(owner: str, which: JobFilter) -> tuple[str, str, list[Any]]:
    if which.parent is not None:
        source = (
            "jobs INDEXED BY jobs_by_parent WHERE jobs.parent "
            "= ? AND jobs.owner = ? AND jobs.deleted = 0"
        )
        values: list[Any] = [job_key(which.parent), owner]
        if which.state is not None:
            source += " AND jobs.state = ?"
            values.append(which.state)
        return source, "jobs", values
    if which.state is not None:
        source = (
            "jobs INDEXED BY jobs_by_state WHERE jobs.owner "
            "= ? AND jobs.state = ? AND jobs.deleted = 0"
        )
        return source, "jobs", [owner, which.state]
    return (
        "jobs INDEXED BY jobs_by_owner WHERE jobs.owner = ? AND jobs.deleted = 0",
        "jobs",
        [owner],
    )


def history(
    connection: sqlite3.Connection, owner: str, job: JobId, after: int, limit: int
) -> list[Entry]:
    """Return a page of a job's entries."""
    rows = connection.execute(
        "SELECT body FROM entries WHERE job = ? AND seq > ? AND "
        "owner = ? AND body IS NOT NULL ORDER BY seq LIMIT ?",
        (job_key(job), after, owner, limit),
    )
    return [decode_entry(body) for (body,) in rows]


def entry(connection: sqlite3.Connection, owner: str, job: JobId, seq: int) -> Entry | None:
    """Return one entry of a job."""
    found = history(connection, owner, job, seq - 1, 1)
    return found[0] if found and found[0].seq == seq else None


def since(
    connection: sqlite3.Connection, owner: str, place: Place, limit: int
) -> tuple[list[Positioned], Place]:
    """Return a page of an owner's entries in the order of all, and where to go on."""
    (start,) = place[:1] or (0,)
    end = min(start + _STREAM_SPAN, _last_position(connection))
    rows = connection.execute(
        "SELECT position, body FROM entries WHERE position > ? "
        "AND position <= ? AND owner = ? AND body IS NOT NULL"
        " ORDER BY position LIMIT ?",
        (start, end, owner, limit),
    )
    page = [Positioned(position, decode_entry(body)) for position, body in rows]
    reached = page[-1].position if len(page) == limit else max(end, start)
    return page, place if reached == start else (reached,)


def newest(connection: sqlite3.Connection, owner: str) -> Place:
    """Return the position of the newest entry of all owners."""
    del owner  # they share one lane
    position = _last_position(connection)
    return (position,) if position else ()


def _last_position(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone()
    return int(row[0]) if row else 0


def count(connection: sqlite3.Connection, owner: str, most: int) -> list[Count]:
    """Count an owner's jobs, up to a limit for each state."""
    counted: dict[JobKind, int] = {}
    # Each state is one step in the index; to group by it would be a step for every job.
    next_state = (
        "SELECT min(state) FROM jobs INDEXED BY jobs_by_state"
        " WHERE owner = ? AND state > ? AND deleted = 0"
    )
    state = ""
    while state := connection.execute(next_state, (owner, state)).fetchone()[0]:
        rows = connection.execute(
            "SELECT lifecycle, state, outcome, count(*) FROM"
            " (SELECT lifecycle, state, outcome FROM jobs INDEXED BY jobs_by_state"
            " WHERE owner = ? AND state = ? AND deleted = 0 ORDER BY created DESC, id DESC LIMIT ?)"
            " GROUP BY lifecycle, outcome",
            (owner, state, most),
        )
        counted |= {(lifecycle, in_, outcome): jobs for lifecycle, in_, outcome, jobs in rows}
    return counts(counted, most)


def refusals(connection: sqlite3.Connection, owner: str, after: int, limit: int) -> list[Refusal]:
    """Return a page of an owner's refused events."""
    rows = connection.execute(
        "SELECT position, body FROM refused WHERE owner "
        "= ? AND position > ? ORDER BY position LIMIT ?",
        (owner, after, limit),
    )
    return [_at(decode_refusal(body), position) for position, body in rows]


def refusal(connection: sqlite3.Connection, owner: str, key: EventKey) -> Refusal | None:
    """Return one refused event."""
    row = connection.execute(
        "SELECT position, body FROM refused WHERE job = ? AND id = ? AND owner = ?",
        (job_key(key.job), key.event, owner),
    ).fetchone()
    return _at(decode_refusal(row[1]), row[0]) if row else None


def _at(refused: Refusal, position: int) -> Refusal:
    return replace(refused, position=position)


def outstanding(
    connection: sqlite3.Connection, until: datetime, after: OutstandingJob | None, limit: int
) -> list[OutstandingJob]:
    """Return jobs whose command is to be published by a moment."""
    place = (microseconds(after.at), job_key(after.job.id)) if after else (_FIRST, b"")
    rows = connection.execute(
        "SELECT publish_at, body FROM jobs WHERE publish_at IS NOT NULL AND publish_at <= ?"
        " AND (publish_at, id) > (?, ?) ORDER BY publish_at, id LIMIT ?",
        (microseconds(until), *place, limit),
    )
    return [OutstandingJob(moment(at), decode_job(body)) for at, body in rows]


def stale(connection: sqlite3.Connection, now: datetime, limit: int) -> list[Job]:
    """Return jobs whose watch has run out."""
    rows = connection.execute(
        "SELECT body FROM jobs WHERE watch_at <= ? ORDER BY watch_at LIMIT ?",
        (microseconds(now), limit),
    )
    return [decode_job(body) for (body,) in rows]

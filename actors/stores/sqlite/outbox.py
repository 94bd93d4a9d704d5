"""
What must be told, in SQL: due entries and deliveries.

Every query names its index: the planner would take the wrong one while a table is small.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

from jobwire.actors.stores.base import DeliveryCursor, DeliveryFilter, EventKey
from jobwire.actors.stores.rows import (
    decode_delivery,
    decode_entry,
    encode,
    job_key,
    microseconds,
    moment,
)
from jobwire.schemas.deliveries import Delivery
from jobwire.schemas.jobs import Entry

_INSERT: Final = (
    "INSERT OR IGNORE INTO deliveries (id, owner, job, subscription, endpoint, created, status,"
    " next_at, ended, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_UPDATE: Final = "UPDATE deliveries SET status = ?, next_at = ?, ended = ?, body = ? WHERE id = ?"
#: Only an entry of a job that was deleted since loses its text with the telling.
_TOLD: Final = (
    "UPDATE entries SET due = 0, body = CASE WHEN EXISTS (SELECT 1 FROM jobs WHERE jobs.id ="
    " entries.job AND jobs.deleted = 1 AND jobs.seq >= entries.seq) THEN NULL ELSE body END"
    " WHERE job = ? AND id = ?"
)


#: The endpoints that wait: one step in the index for each, however many deliveries wait there.
_ENDPOINTS: Final = (
    "WITH RECURSIVE waiting (endpoint) AS ("
    " SELECT min(endpoint) FROM deliveries INDEXED BY deliveries_due WHERE next_at IS NOT NULL"
    " UNION ALL"
    " SELECT (SELECT min(endpoint) FROM deliveries INDEXED BY deliveries_due"
    " WHERE next_at IS NOT NULL AND endpoint > waiting.endpoint)"
    " FROM waiting WHERE waiting.endpoint IS NOT NULL)"
    " SELECT endpoint, (SELECT min(next_at) FROM deliveries INDEXED BY deliveries_due"
    " WHERE next_at IS NOT NULL AND deliveries.endpoint = waiting.endpoint"
)
_OVERDUE: Final = (
    f"{_ENDPOINTS}) AS first FROM waiting WHERE endpoint IS NOT NULL AND first <= ? ORDER BY first"
)
_TO_COME: Final = (
    f"{_ENDPOINTS} AND next_at > ?) AS first FROM waiting"
    " WHERE endpoint IS NOT NULL AND first IS NOT NULL ORDER BY first"
)
_OF_ENDPOINT: Final = (
    "SELECT body FROM deliveries INDEXED BY deliveries_due"
    " WHERE endpoint = ? AND next_at IS NOT NULL AND next_at <= ? ORDER BY next_at LIMIT ?"
)
_GAVE_UP: Final = (
    "SELECT body FROM deliveries INDEXED BY deliveries_by_status"
    " WHERE owner = ? AND status = 'gave_up' AND created >= ? ORDER BY created, id"
)
_DROP: Final = (
    "DELETE FROM deliveries WHERE rowid IN (SELECT rowid FROM deliveries"
    " INDEXED BY deliveries_ended WHERE ended IS NOT NULL AND ended < ? ORDER BY ended LIMIT ?)"
)


def due(connection: sqlite3.Connection, limit: int) -> list[Entry]:
    """Return the oldest entries whose deliveries are still to be planned."""
    rows = connection.execute(
        "SELECT body FROM entries INDEXED BY entries_due WHERE due = 1 ORDER BY position LIMIT ?",
        (limit,),
    )
    return [decode_entry(body) for (body,) in rows]


def plan_deliveries(
    connection: sqlite3.Connection, deliveries: Sequence[Delivery], told: Sequence[EventKey]
) -> list[Delivery]:
    """Write deliveries and mark their entries as told; return those that are new."""
    fresh = [each for each in deliveries if connection.execute(_INSERT, _row(each)).rowcount]
    connection.executemany(_TOLD, [(job_key(key.job), key.event) for key in told])
    return fresh


def deliverable(
    connection: sqlite3.Connection, now: datetime, busy: Container[str], each: int, limit: int
) -> list[Delivery]:
    """Return deliveries whose next try is due, some of each endpoint."""
    latest = microseconds(now)
    found: list[Delivery] = []
    for endpoint, _ in connection.execute(_OVERDUE, (latest,)):
        if len(found) >= limit:
            break
        if endpoint in busy:
            continue
        most = min(each, limit - len(found))
        rows = connection.execute(_OF_ENDPOINT, (endpoint, latest, most))
        found += [decode_delivery(body) for (body,) in rows]
    return found


def next_delivery(
    connection: sqlite3.Connection, now: datetime, busy: Container[str]
) -> datetime | None:
    """Return the moment of the earliest try to come."""
    for endpoint, first in connection.execute(_TO_COME, (microseconds(now),)):
        if endpoint not in busy:
            return moment(first)
    return None


def save_deliveries(connection: sqlite3.Connection, deliveries: Sequence[Delivery]) -> None:
    """Write down what became of tries."""
    for each in deliveries:
        stored = delivery(connection, each.owner, each.id)
        if stored is not None:
            connection.execute(_UPDATE, (*_became(each.onto(stored)), each.id))


def redeliver(
    connection: sqlite3.Connection, owner: str, key: str, now: datetime
) -> Delivery | None:
    """Make one delivery due again."""
    found = delivery(connection, owner, key)
    if found is None:
        return None
    asked = found.asked_again(now)
    save_deliveries(connection, [asked])
    return asked


def recover(
    connection: sqlite3.Connection, owner: str, since: datetime, now: datetime, limit: int
) -> int:
    """Make deliveries due again that gave up."""
    rows = connection.execute(_GAVE_UP, (owner, microseconds(since)))
    given_up = (decode_delivery(body) for (body,) in rows)
    recovered = list(islice((each for each in given_up if each.is_worth_another_try), limit))
    rows.close()
    save_deliveries(connection, [each.asked_again(now) for each in recovered])
    return len(recovered)


def deliveries(
    connection: sqlite3.Connection,
    owner: str,
    which: DeliveryFilter,
    after: DeliveryCursor | None,
    limit: int,
) -> list[Delivery]:
    """Return an owner's deliveries, newest first."""
    index = "deliveries_by_owner"
    conditions = ["owner = ?"]
    values: list[Any] = [owner]
    if which.subscription is not None:
        conditions.append("subscription = ?")
        values.append(which.subscription)
    if which.status is not None:
        index = "deliveries_by_status"
        conditions.append("status = ?")
        values.append(which.status)
    if which.job is not None:
        index = "deliveries_by_job"
        conditions.append("job = ?")
        values.append(job_key(which.job))
    if which.since is not None:
        conditions.append("created >= ?")
        values.append(microseconds(which.since))
    if after is not None:
        conditions.append("(created, id) < (?, ?)")
        values += [microseconds(after.created), after.id]
    rows = connection.execute(  # fixed fragments; every value is a parameter
        f"SELECT body FROM deliveries INDEXED BY {index} WHERE {' AND '.join(conditions)}"  # noqa: S608
        " ORDER BY created DESC, id DESC LIMIT ?",
        [*values, limit],
    )
    return [decode_delivery(body) for (body,) in rows]


def delivery(connection: sqlite3.Connection, owner: str, key: str) -> Delivery | None:
    """Return one delivery of this owner."""
    row = connection.execute(
        "SELECT body FROM deliveries WHERE id = ? AND owner = ?", (key, owner)
    ).fetchone()
    return decode_delivery(row[0]) if row else None


def drop_deliveries(connection: sqlite3.Connection, before: datetime, limit: int) -> int:
    """Remove deliveries that ended long ago."""
    return connection.execute(_DROP, (microseconds(before), limit)).rowcount


def _row(each: Delivery) -> tuple[object, ...]:
    return (
        each.id,
        each.owner,
        job_key(each.job),
        each.subscription,
        each.endpoint,
        microseconds(each.created),
        *_became(each),
    )


def _became(each: Delivery) -> tuple[object, ...]:
    """Return what a try may change of a row, in the order of both statements."""
    return (each.status, _at(each.next_at), _at(each.ended_at()), encode(each))


def _at(when: datetime | None) -> int | None:
    return microseconds(when) if when else None

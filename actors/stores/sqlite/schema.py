"""
Tables, indexes and their versions.

A database of an older version is brought up to date at open.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from jobwire.schemas.errors import Misconfigured

#: One script for each version; a database at version n runs those after n.
UPGRADES: Final = (
    """
    -- The history. position is the order of commits; (job, id) makes an event count once,
    -- (job, seq) keeps a stale view from writing over a newer one. body is empty when the job
    -- was deleted.
    CREATE TABLE entries (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        job BLOB NOT NULL, seq INTEGER NOT NULL, id TEXT NOT NULL,
        owner TEXT NOT NULL, digest BLOB NOT NULL, body BLOB
    );
    CREATE UNIQUE INDEX entries_by_id ON entries (job, id);
    CREATE UNIQUE INDEX entries_by_seq ON entries (job, seq);

    -- The projection. No index names a column that every event rewrites.
    CREATE TABLE jobs (
        id BLOB PRIMARY KEY, owner TEXT NOT NULL, created INTEGER NOT NULL, parent BLOB,
        lifecycle TEXT NOT NULL, state TEXT NOT NULL, outcome TEXT, deleted INTEGER NOT NULL,
        outstanding_since INTEGER, watch_at INTEGER, seq INTEGER NOT NULL, body BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX jobs_by_owner ON jobs (owner, created) WHERE deleted = 0;
    CREATE INDEX jobs_by_state ON jobs (owner, state, created) WHERE deleted = 0;
    CREATE INDEX jobs_by_parent ON jobs (parent, created) WHERE parent IS NOT NULL;
    CREATE INDEX jobs_outstanding ON jobs (outstanding_since) WHERE outstanding_since IS NOT NULL;
    CREATE INDEX jobs_watched ON jobs (watch_at) WHERE watch_at IS NOT NULL;

    -- What a job can be found by: '#' and a tag, '~' and a word of its name or tags.
    CREATE TABLE terms (
        owner TEXT NOT NULL, term TEXT NOT NULL, created INTEGER NOT NULL, job BLOB NOT NULL,
        state TEXT NOT NULL, PRIMARY KEY (owner, term, created, job)
    ) WITHOUT ROWID;

    CREATE TABLE refused (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        job BLOB NOT NULL, id TEXT NOT NULL, owner TEXT NOT NULL, body BLOB NOT NULL
    );
    CREATE UNIQUE INDEX refused_by_id ON refused (job, id, owner);
    CREATE INDEX refused_by_owner ON refused (owner, position);

    CREATE TABLE records (
        kind TEXT NOT NULL, owner TEXT NOT NULL, key TEXT NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (kind, owner, key)
    ) WITHOUT ROWID;
    CREATE INDEX records_by_key ON records (kind, key);
    """,
    """
    -- Entries of which somebody must still be told.
    ALTER TABLE entries ADD COLUMN due INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX entries_due ON entries (position) WHERE due = 1;

    -- When an awaited command is published, for the first time or again.
    DROP INDEX jobs_outstanding;
    ALTER TABLE jobs RENAME COLUMN outstanding_since TO publish_at;
    CREATE INDEX jobs_outstanding ON jobs (publish_at, id) WHERE publish_at IS NOT NULL;

    -- What must be told, and what was. A try is due at next_at; NULL: there is none to come.
    CREATE TABLE deliveries (
        id TEXT PRIMARY KEY, owner TEXT NOT NULL, job BLOB NOT NULL, subscription TEXT NOT NULL,
        endpoint TEXT NOT NULL, status TEXT NOT NULL, created INTEGER NOT NULL, next_at INTEGER,
        ended INTEGER, body BLOB NOT NULL
    );
    CREATE INDEX deliveries_due ON deliveries (endpoint, next_at) WHERE next_at IS NOT NULL;
    CREATE INDEX deliveries_by_owner ON deliveries (owner, created, id);
    CREATE INDEX deliveries_by_job ON deliveries (job, created, id);
    CREATE INDEX deliveries_by_status ON deliveries (owner, status, created, id);
    CREATE INDEX deliveries_ended ON deliveries (ended) WHERE ended IS NOT NULL;
    """,
    """
    -- Since when nothing is to be done for a job that ended or was deleted. For those that ended
    -- before there was this column it is the moment of the upgrade, so none goes too early.
    ALTER TABLE jobs ADD COLUMN ended INTEGER;
    UPDATE jobs SET ended = CAST(strftime('%s', 'now') AS INTEGER) * 1000000
        WHERE (outcome IS NOT NULL OR deleted = 1) AND publish_at IS NULL;
    CREATE INDEX jobs_ended ON jobs (ended) WHERE ended IS NOT NULL;
    CREATE INDEX entries_due_of_job ON entries (job) WHERE due = 1;
    CREATE INDEX deliveries_to_come ON deliveries (job) WHERE next_at IS NOT NULL;

    -- Who holds a role, until when (microseconds since 1970), and how often it changed hands.
    CREATE TABLE leases (
        role TEXT PRIMARY KEY, holder TEXT NOT NULL, fence INTEGER NOT NULL, until INTEGER NOT NULL
    ) WITHOUT ROWID;
    """,
)

VERSION: Final = len(UPGRADES)

#: SQLite's default, said here because the limit of the file is counted in pages.
PAGE_BYTES: Final = 4096

#: WAL with FULL: a commit that returned survives a power cut. The checkpoint is the
#: checkpointer's; the writer's own limit only catches what it left.
PRAGMAS: Final = (
    f"PRAGMA page_size = {PAGE_BYTES}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA secure_delete = OFF",
    "PRAGMA wal_autocheckpoint = 4000",
)


def upgrade(connection: sqlite3.Connection) -> None:
    """
    Bring a database to this release's version, all steps in one transaction.

    Raises:
        Misconfigured: it was written by a newer release.

    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        detail = (
            f"the data folder has schema version {version}, this release reads up to {VERSION}: "
            "start the newer release, or restore a backup made by this one"
        )
        raise Misconfigured(detail)
    for number in range(version, VERSION):
        connection.executescript(
            f"BEGIN IMMEDIATE; {UPGRADES[number]} PRAGMA user_version = {number + 1}; COMMIT;"
        )

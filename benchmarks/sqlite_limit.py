"""The bare limit of the store: the same rows in the same tables, group commits and nothing else."""

from __future__ import annotations

import json
import secrets
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from jobwire.actors.stores.sqlite.schema import upgrade
from jobwire.actors.stores.sqlite.threads import connect

#: Rows of one commit: as many as fill a packet, which is what the service commits under this load.
_BATCH = 500
_JOBS = 200
#: Bytes of an encoded entry and of an encoded job in the load.
_ENTRY = 260
_JOB = 210


def commit_for(connection: sqlite3.Connection, seconds: float) -> float:
    """Commit batch after batch; give the rows a second."""
    jobs = [secrets.token_bytes(16) for _ in range(_JOBS)]
    entry, job, digest = bytes(_ENTRY), bytes(_JOB), bytes(16)
    insert_job = (
        "INSERT INTO jobs (id, owner, created, lifecycle, state, deleted, seq, body)"
        " VALUES (?, 'bench', 0, 'pipeline', 'RUNNING', 0, 0, ?)"
    )
    connection.executemany(insert_job, [(key, job) for key in jobs])
    seqs = [0] * _JOBS
    rows = 0
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        batch = []
        for _ in range(_BATCH):
            which = rows % _JOBS
            seqs[which] += 1
            batch.append((jobs[which], seqs[which], f"e-{rows}", "bench", digest, entry))
            rows += 1
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO entries (job, seq, id, owner, digest, body) VALUES (?, ?, ?, ?, ?, ?)",
            batch,
        )
        connection.executemany(
            "UPDATE jobs SET seq = ?1, body = ?2 WHERE id = ?3 AND seq < ?1",
            [(seq, job, key) for seq, key in zip(seqs, jobs, strict=True)],
        )
        connection.commit()
    return rows / (time.perf_counter() - start)


def main() -> None:
    """Print the rows a second."""
    with tempfile.TemporaryDirectory() as folder:
        connection = connect(Path(folder) / "limit.db", cache_kib=32_768)
        upgrade(connection)
        print(json.dumps(commit_for(connection, float(sys.argv[1]))))
        connection.close()


if __name__ == "__main__":
    main()

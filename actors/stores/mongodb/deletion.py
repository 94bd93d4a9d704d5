"""Removes the bodies of a deleted job's entries, the last step of a deletion."""

from __future__ import annotations

from collections.abc import Sequence

from jobwire.actors.stores.mongodb.client import update
from jobwire.actors.stores.mongodb.documents import unchanged
from jobwire.actors.stores.mongodb.job_database import JobDatabase
from jobwire.actors.stores.rows import job_key
from jobwire.schemas.identifiers import shard_of
from jobwire.schemas.jobs import Job


async def remove_entry_bodies(database: JobDatabase, jobs: Sequence[Job]) -> None:
    """Leave of deleted jobs only the ids, seqs and digests of their entries."""
    # An entry with deliveries still to be planned keeps its body until then.
    await update(
        database.entries,
        [
            {
                "q": {
                    "lane": shard_of(job.id, database.shards),
                    "job": job_key(job.id),
                    "seq": {"$lte": job.seq},
                    "due": {"$exists": False},
                    "body": {"$exists": True},
                },
                "u": {"$unset": {"body": ""}},
                "multi": True,
                "hint": "by_seq",
            }
            for job in jobs
        ],
    )
    done = {"$unset": {"unstripped": ""}}
    await update(database.jobs, [{"q": unchanged(job), "u": done} for job in jobs])

"""Records as documents and back: index fields as values, the record itself as bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from jobwire.actors.stores.base import EventKey
from jobwire.actors.stores.mongodb.client import Document
from jobwire.actors.stores.rows import encode, indexed_times, job_key, microseconds, terms
from jobwire.schemas.deliveries import Delivery
from jobwire.schemas.identifiers import JobId, shard_of
from jobwire.schemas.jobs import Entry, Job, Refusal

#: Fields of a job that are there only when they say something: their indexes leave the others out.
_OPTIONAL: Final = ("parent", "publish_at", "watch_at", "ended", "terms", "unstripped")
#: Stands for no outcome yet: to look for a null costs a look into each document.
NO_OUTCOME: Final = ""
#: Between the parts of a key that are texts: no id and no owner contains it.
_SEPARATOR: Final = b"\0"


def event_key(key: EventKey) -> bytes:
    """Return what makes an event the same event: the 16 bytes of its job, then its id."""
    return job_key(key.job) + key.event.encode()


def entry_document(entry: Entry, lane: int) -> Document:
    """Return an entry as it is inserted; its position is put in later."""
    key = job_key(entry.job)
    document: Document = {
        "_id": key + entry.id.encode(),
        "job": key,
        "seq": entry.seq,
        "owner": entry.owner,
        "lane": lane,
        "position": 0,
        "digest": entry.digest,
        "body": encode(entry),
    }
    if entry.due:
        document["due"] = True
    return document


def in_lanes(jobs: Iterable[JobId], shards: int) -> list[Document]:
    """Return a filter for all entries of jobs: one condition a lane, as their indexes begin."""
    keys: dict[int, list[bytes]] = {}
    for job in jobs:
        keys.setdefault(shard_of(job, shards), []).append(job_key(job))
    return [{"lane": lane, "job": {"$in": keys[lane]}} for lane in sorted(keys)]


def refusal_document(refusal: Refusal) -> Document:
    """Return a refusal as it is inserted; its position is put in later."""
    event = event_key(EventKey(refusal.job, refusal.event))
    return {
        "_id": refusal_key(event, refusal.owner),
        "event": event,
        "owner": refusal.owner,
        "position": 0,
        "body": encode(refusal),
    }


def refusal_key(event: bytes, owner: str) -> bytes:
    """Return the id of a refusal: the same event may be refused to several owners."""
    return event + _SEPARATOR + owner.encode()


def job_document(job: Job) -> Document:
    """Return a job with all that it is found by."""
    times = indexed_times(job)
    fields: Document = {
        "owner": job.owner,
        "created": microseconds(job.created),
        "lifecycle": job.lifecycle,
        "state": job.state,
        "outcome": job.outcome or NO_OUTCOME,
        "deleted": job.deleted,
        "projection": projection(job),
        "parent": job_key(job.parent) if job.parent else None,
        "publish_at": times.publish_at,
        "watch_at": times.watch_at,
        "ended": times.ended,
        "terms": None if job.deleted else terms(job) or None,
        # Until the texts of its entries are taken away.
        "unstripped": True if job.deleted else None,
    }
    absent = [name for name in _OPTIONAL if fields[name] is None]
    for name in absent:
        del fields[name]
    return fields


def projection(job: Job) -> Document:
    """Return the part that every event rewrites; it compares by seq."""
    return {"seq": job.seq, "body": encode(job)}


def unchanged(job: Job) -> Document:
    """Return a filter that finds a job unless it has moved on since."""
    return {"_id": job_key(job.id), "projection.seq": job.seq}


def delivery_document(each: Delivery) -> Document:
    """Return a delivery as it is inserted."""
    return {
        "_id": each.id,
        "owner": each.owner,
        "job": job_key(each.job),
        "subscription": each.subscription,
        "created": microseconds(each.created),
        **became(each)["$set"],
    }


def became(each: Delivery) -> Document:
    """Return the update of what a try may change of a delivery."""
    ended = each.ended_at()
    optional = {
        "next_at": microseconds(each.next_at) if each.next_at else None,
        # The endpoint, as long as a try is to come.
        "waiting": each.endpoint if each.next_at else None,
        "ended": microseconds(ended) if ended else None,
    }
    fields: Document = {"status": each.status, "asked": each.asked, "body": encode(each)}
    fields |= {name: value for name, value in optional.items() if value is not None}
    absent = {name: "" for name, value in optional.items() if value is None}
    return {"$set": fields, "$unset": absent}

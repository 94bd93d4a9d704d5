"""A job and its history as clients of this language know them (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID, uuid5

import msgspec
from msgspec import Raw, Struct

from jobwire.actors.dialects.pipelinejobs.messages import CreateMessage
from jobwire.schemas.identifiers import JobId
from jobwire.schemas.jobs import Entry, Job
from jobwire.schemas.lifecycle import CREATE, RESERVED

_JOB_HEAD: Final = "107"
_EVENT_HEAD: Final = "108"
#: Of a UUID: where its version stands, and the version of one that is made of a name.
_VERSION_AT, _OF_NAME = 14, "5"


class StoredRecord(Struct, frozen=True, kw_only=True):
    """What a job was made with, as it is kept as the data of its `create`."""

    pipeline_uuid: str | None = None
    archive_path: str | None = None
    archive_system: str | None = None
    archive_patterns: tuple[Any, ...] = ()  # any JSON
    product_patterns: tuple[Any, ...] = ()  # any JSON
    data: Raw = Raw(b"{}")
    session: str | None = None
    agent: str | None = None
    task: str | None = None
    generated_by: tuple[str, ...] = ()
    child_of: tuple[str, ...] = ()
    acted_on: tuple[str, ...] = ()
    acted_using: tuple[str, ...] = ()


_decoder = msgspec.json.Decoder(StoredRecord)
_FIELDS: Final = tuple(name for name in StoredRecord.__struct_fields__ if name != "data")


def job_uuid(job: JobId) -> JobId:
    """Return a job id the form by which these clients know that it is a job's."""
    return JobId(_typed(_JOB_HEAD, job))


def record_of(message: CreateMessage) -> StoredRecord:
    """Return what is kept of a create message."""
    fields = {name: getattr(message, name) for name in _FIELDS}
    return StoredRecord(data=Raw(msgspec.json.encode(message.data)), **fields)


def stored_record(data: bytes | None) -> StoredRecord:
    """Read what a job was made with; of one that was made in another language only its data."""
    if data is None:
        return StoredRecord()
    try:
        record = _decoder.decode(data)
    except msgspec.DecodeError:
        return StoredRecord(data=Raw(data))
    return record if record.pipeline_uuid else StoredRecord(data=Raw(data))


def is_shown(entry: Entry) -> bool:
    """Return whether an entry belongs to the history: it was applied to the job, not its record."""
    return entry.applied and entry.name not in RESERVED


def history_entry(entry: Entry) -> dict[str, Any]:
    """Show an entry; the first one with the data of the job."""
    data = entry.data
    if entry.name == CREATE:
        data = bytes(stored_record(data).data)
    return {
        "uuid": _typed(_EVENT_HEAD, str(uuid5(UUID(entry.job), entry.id))),
        "name": entry.name,
        "date": entry.received,
        "data": None if data is None else Raw(data),
        "state": entry.state,
    }


def job_document(
    job: Job,
    record: StoredRecord,
    history: Sequence[Entry],
    *,
    tenant: str,
    is_visible: bool,
    is_complete: bool,
) -> dict[str, Any]:
    """
    Show a job with the beginning of its history.

    Where that is not complete the last event and their number are those of the record, which
    counts what was refused too.
    """
    updated = history[-1].received if history and is_complete else job.updated
    return {
        "uuid": job.id,
        **{name: getattr(record, name) for name in _FIELDS},
        "data": record.data,
        "state": job.state,
        "last_event": job.last_event,
        "updated": updated,
        "history": [history_entry(entry) for entry in history],
        "_visible": is_visible,
        "_admin": {"owner": job.owner, "project": None, "tenant": tenant},
        "_properties": {
            "created_date": job.created,
            "modified_date": updated,
            "revision": len(history) if is_complete else job.seq - job.born + 1,
            "source": job.dialect or "native",
        },
    }


def short_document(job: Job) -> dict[str, Any]:
    """Show a job in a list."""
    return {
        "uuid": job.id,
        "session": job.name,
        "state": job.state,
        "last_event": job.last_event,
        "updated": job.updated,
        "created": job.created,
    }


def _typed(head: str, uuid: str) -> str:
    return head + uuid[len(head) : _VERSION_AT] + _OF_NAME + uuid[_VERSION_AT + 1 :]

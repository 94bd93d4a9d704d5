"""Fills a data folder with jobs through the state manager itself, before a service uses it."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

from jobwire.actors.lifecycle_registry import LifecycleRegistry
from jobwire.actors.runtime.folder import DataFolder
from jobwire.actors.state_manager.batch import Settler
from jobwire.actors.stores.sqlite import SqliteStore
from jobwire.schemas.events import Event, payload_digest
from jobwire.schemas.identifiers import EventId, JobId, random_job_id
from jobwire.schemas.jobs import JobCreation
from jobwire.schemas.tokens import Keyring, sign

_BATCH = 500
_STATES = ("run", "run finish", "run fail", "")


def fill(path: Path, count: int) -> None:
    """Make `count` jobs of the first principal, a quarter in each of four states, ten tags."""
    folder = DataFolder(path)
    folder.claim()
    keyring = folder.secrets().keyring
    asyncio.run(_fill(folder, keyring, count))
    folder.release()


async def _fill(folder: DataFolder, keyring: Keyring, count: int) -> None:
    store = SqliteStore(folder.database)
    await store.open()
    settler = Settler(store, keyring, LifecycleRegistry(store), 100_000)
    start = datetime.now(UTC) - timedelta(days=30)
    events: list[Event] = []
    for number in range(count):
        job = random_job_id(secrets.token_bytes(16))
        moment = start + timedelta(seconds=number)
        creation = JobCreation(
            owner="admin",
            lifecycle="pipeline",
            lifecycle_version=1,
            name=f"sample {number}",
            tags=(f"batch-{number % 10}",),
        )
        events.append(_event(keyring, job, "create", moment, creation))
        names = _STATES[number // 10 % 4].split()
        events += [_event(keyring, job, name, moment) for name in names]
        if len(events) >= _BATCH:
            await settler.settle(events, redelivered=False)
            events = []
    if events:
        await settler.settle(events, redelivered=False)
    await store.close()


def _event(
    keyring: Keyring, job: JobId, name: str, moment: datetime, creation: JobCreation | None = None
) -> Event:
    event_id = EventId(name)
    return Event(
        id=event_id,
        job=job,
        name=name,
        authority=sign(keyring, job, event_id, "caller", "admin"),
        received=moment,
        digest=payload_digest(name, b""),
        creation=creation,
    )

"""
Only type-checked, never run: pins the signatures of the contracts.

A change here is a change for whoever has written a store, a transport or a dialect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import assert_type

from aiohttp import web

from jobwire.actors.dialects.base import Dialect
from jobwire.actors.dialects.native.dialect import NativeDialect
from jobwire.actors.gateway.actor import Gateway
from jobwire.actors.operations.events import Events
from jobwire.actors.runtime.actor import Actor
from jobwire.actors.runtime.settings import Settings
from jobwire.actors.state_manager.actor import StateManager
from jobwire.actors.state_manager.decide import Keep, Refuse, decide
from jobwire.actors.state_manager.reaper import Reaper
from jobwire.actors.stores.base import (
    Commit,
    Committed,
    Count,
    EventKey,
    JobCursor,
    JobFilter,
    KnownEvent,
    Loaded,
    OutstandingJob,
    Place,
    Positioned,
    Record,
    Store,
)
from jobwire.actors.stores.mongodb import MongoStore
from jobwire.actors.stores.mongodb.importer import MongoImporter
from jobwire.actors.stores.plugins import Backups, StoreExporter, StoreImporter, StorePlugin
from jobwire.actors.stores.sqlite import SqliteStore, backup
from jobwire.actors.stores.sqlite.export import SqliteExporter
from jobwire.actors.transports.base import BusMessage, ConsumerHandle, Transport, TransportPlugin
from jobwire.actors.transports.embedded import EmbeddedTransport
from jobwire.actors.transports.rabbitmq import RabbitTransport
from jobwire.schemas.codec import canonical, check_json, decode_packet, encode_packet
from jobwire.schemas.errors import JobwireError
from jobwire.schemas.events import Event, Packet
from jobwire.schemas.identifiers import EventId, JobId
from jobwire.schemas.jobs import Entry, Job, Refusal, advance
from jobwire.schemas.lifecycle import Facts, Lifecycle, check, next_state
from jobwire.schemas.outcomes import Outcome
from jobwire.schemas.tokens import Keyring, VerifiedSender, identify, mint_token

store: Store = SqliteStore(Path("jobwire.db"), max_bytes=0)
shared_store: Store = MongoStore("mongodb://localhost/jobwire", shards=1)
store_plugins: tuple[StorePlugin, ...] = (SqliteStore, MongoStore)
backups: Backups = backup
exporter: StoreExporter = SqliteExporter(Path("jobwire.db"))
importer: StoreImporter = MongoImporter("mongodb://localhost/jobwire", Settings())
transport_plugins: tuple[TransportPlugin, ...] = (EmbeddedTransport, RabbitTransport)
transport: Transport = EmbeddedTransport()


def implementations(
    gateway: Gateway, manager: StateManager, reaper: Reaper, native: NativeDialect
) -> None:
    """Take every actor as an `Actor`, every dialect as a `Dialect`."""
    actors: tuple[Actor, ...] = (gateway, manager, reaper)
    dialect: Dialect = native
    assert_type(actors[0].not_ready(), str | None)
    assert_type(dialect.routes(), Iterable[web.RouteDef])
    assert_type(dialect.problem(JobwireError()), web.Response)


async def stores(job: JobId, key: EventKey, moment: datetime, commit: Commit) -> None:
    """Pin the verbs of a store."""
    assert_type(await store.open(), None)
    assert_type(await store.close(), None)
    assert_type(await store.check(), None)
    view = await store.load([job], [key], fold=(), known=True)
    assert_type(view, Loaded)
    assert_type(view.jobs, Mapping[JobId, Job])
    assert_type(view.tails, Mapping[JobId, Sequence[Entry]])
    assert_type(view.known, Mapping[EventKey, KnownEvent])
    assert_type(view.refused, Mapping[EventKey, Sequence[Refusal]])
    assert_type(await store.commit(commit), Committed)
    assert_type(await store.get("owner", job), Job | None)
    after = JobCursor(moment, job)
    assert_type(await store.find("owner", JobFilter(state="A"), after, 10), list[Job])
    assert_type(await store.history("owner", job, 0, 10), list[Entry])
    assert_type(await store.since("owner", (), 10), tuple[list[Positioned], Place])
    assert_type(await store.newest("owner"), Place)
    assert_type(await store.claim("role", "holder", 6.0), int | None)
    assert_type(await store.holders("role."), dict[str, str])
    assert_type(await store.forget(moment, 10), int)
    assert_type(await store.count("owner", 10), list[Count])
    assert_type(await store.refusals("owner", 0, 10), list[Refusal])
    assert_type(await store.refusal("owner", key), Refusal | None)
    assert_type(await store.mark_replayed("owner", key, EventId("x")), None)
    assert_type(await store.outstanding(moment, None, 10), list[OutstandingJob])
    assert_type(await store.stale(moment, 10), list[Job])
    assert_type(await store.put("kind", Record("owner", "key", b""), fresh=True), bool)
    assert_type(await store.fetch("kind", None, "key"), Record | None)
    assert_type(await store.select("kind", None, "", 10), list[Record])
    assert_type(await store.drop("kind", "owner", "key"), bool)


async def watching(job: Job, moment: datetime) -> None:
    """Set a watch to a moment, or end it."""
    assert_type(await store.watch(job, moment), None)
    assert_type(await store.watch(job, None), None)


async def transports() -> None:
    """Pin the verbs of a transport."""

    async def handle(deliveries: Sequence[BusMessage]) -> None:
        assert_type(deliveries[0].body, bytes)
        assert_type(deliveries[0].redelivered, bool)

    def hear(topic: str, message: bytes) -> None:
        assert_type((topic, message), tuple[str, bytes])

    assert_type(await transport.open(), None)
    assert_type(await transport.send("events.0", [b""]), None)
    assert_type(await transport.consume("events.0", handle), ConsumerHandle)
    assert_type(await transport.dead_letter("events.0", BusMessage(b""), "reason"), None)
    assert_type(await transport.announce("topic", b""), None)
    assert_type(transport.not_ready(), str | None)
    assert_type(await transport.broadcast("entries", b""), None)
    assert_type(await transport.listen("jobs.*", hear), ConsumerHandle)
    assert_type(await transport.reply("address", b""), None)
    assert_type(await transport.close(), None)


async def operations(events: Events, event: Event) -> None:
    """Post, and wait for an outcome only where that is asked for."""
    assert_type(await events.post(event), Outcome | None)
    assert_type(await events.post(event, 5.0), Outcome | None)


def core(
    job: Job,
    entry: Entry,
    event: Event,
    sender: VerifiedSender,
    lifecycle: Lifecycle,
    keyring: Keyring,
) -> None:
    """Pin the pure rules."""
    assert_type(advance(None, entry), Job)
    assert_type(decide(job, event, sender, lifecycle, 10), Refuse | Keep)
    assert_type(next_state(lifecycle, "A", "go", Facts(may_retry=True)), str | None)
    assert_type(check(lifecycle), Lifecycle)
    assert_type(mint_token(keyring, job.id, 1), str)
    assert_type(identify(keyring, event), VerifiedSender | None)
    assert_type(check_json(b""), None)
    assert_type(canonical(b"{}"), bytes)
    assert_type(decode_packet(encode_packet(Packet(1, (event,)))), Packet)

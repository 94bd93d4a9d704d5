"""The actor: takes what its queues hold, has it settled, and tells what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import perf_counter
from typing import NamedTuple

import msgspec
import structlog

from actors.operations.streams import ENTRIES_TOPIC
from actors.runtime.failpoints import failpoint
from actors.runtime.tasks import Loop
from actors.runtime.telemetry import Telemetry
from actors.state_manager.batch import Settled, Settler
from actors.stores.base import Positioned
from actors.transports.base import Delivery, Transport
from schemas.codec import decode_packet
from schemas.errors import JobwireError, Malformed, Unavailable
from schemas.events import Event
from schemas.jobs import Job

_log = structlog.get_logger()
_encode = msgspec.msgpack.Encoder().encode

#: Events from which on a batch takes no further packet.
BATCH_EVENTS = 1_000


class _Taken(NamedTuple):
    """Deliveries in hand, and the future that acknowledges them."""

    deliveries: Sequence[Delivery]
    committed: asyncio.Future[None]


class _Decoded(NamedTuple):
    """The same with their events."""

    deliveries: Sequence[Delivery]
    events: list[Event]
    committed: asyncio.Future[None]


class StateManager:
    """The only writer of jobs: one loop settles the events of all shards, batch after batch."""

    name = "state_manager"

    def __init__(
        self, transport: Transport, settler: Settler, telemetry: Telemetry, shards: int
    ) -> None:
        """Consume `shards` event queues of a transport."""
        self._transport = transport
        self._settler = settler
        self._telemetry = telemetry
        self._shards = shards
        self._inbox: list[_Taken] = []
        self._filled = asyncio.Event()
        self._loop = Loop(self.name, self._run)
        self._started = False

    async def start(self) -> None:
        """Start the loop, then take from the queues."""
        self._loop.start()
        for shard in range(self._shards):
            await self._transport.consume(f"events.{shard}", self._take)
        self._started = True

    async def stop(self) -> None:
        """Stop the loop; the transport was stopped before, so nothing is in hand."""
        await self._loop.stop()
        self._started = False

    def missing(self) -> str | None:
        """Name what is missing."""
        return None if self._started and not self._loop.failing else "state manager"

    async def _take(self, deliveries: Sequence[Delivery]) -> None:
        """Hold deliveries until they are committed."""
        committed = asyncio.get_running_loop().create_future()
        self._inbox.append(_Taken(deliveries, committed))
        self._filled.set()
        await committed

    async def _run(self) -> None:
        while True:
            await self._filled.wait()
            taken, self._inbox = self._inbox, []
            self._filled.clear()
            in_hand = taken
            try:
                while taken:
                    batch, taken = _cut(taken)
                    await self._settle(batch)
            finally:
                _give_back(in_hand)

    async def _settle(self, batch: Sequence[_Decoded]) -> None:
        started = perf_counter()
        events = [event for taken in batch for event in taken.events]
        redelivered = any(each.redelivered for taken in batch for each in taken.deliveries)
        try:
            settled = await self._settle_or_isolate(events, redelivered=redelivered)
        except JobwireError as error:
            # Not acknowledged: the transport tells the senders, or delivers again.
            _log.warning("batch_not_committed", events=len(events), error=error.detail)
            for taken in batch:
                taken.committed.set_exception(error)
            return
        failpoint("state.after_commit")
        await self._tell(settled)
        failpoint("state.before_ack")
        for taken in batch:
            taken.committed.set_result(None)
        self._count(events, settled, perf_counter() - started)

    async def _settle_or_isolate(self, events: Sequence[Event], *, redelivered: bool) -> Settled:
        """
        Settle a batch.

        One whose handling fails is taken apart, and the event at fault is set aside.
        """
        try:
            return await self._settler.settle(events, redelivered=redelivered)
        except JobwireError:
            raise
        except Exception:  # noqa: BLE001 - logged; the event at fault is set aside
            _log.exception("batch_failed", events=len(events))
        parts = [await self._settle_alone(event) for event in events]
        return Settled(
            [entry for part in parts for entry in part.entries],
            [outcome for part in parts for outcome in part.outcomes],
            [job for part in parts for job in part.awaiting],
            sum(part.conflicts for part in parts),
        )

    async def _settle_alone(self, event: Event) -> Settled:
        try:
            return await self._settler.settle([event], redelivered=True)
        except JobwireError:
            raise
        except Exception:  # noqa: BLE001 - logged; the event at fault is set aside
            _log.exception("event_is_poison", job_id=event.job, event_id=event.id)
            await self._settler.set_aside(event)
            return await self._settler.settle([event], redelivered=True)

    async def _tell(self, settled: Settled) -> None:
        """
        Publish what was committed. Best effort: a blocked bus never stops commits.

        Whatever is lost here is found again in the store.
        """
        try:
            if settled.entries:
                await self._transport.broadcast(ENTRIES_TOPIC, _encode(settled.entries))
            for job in settled.awaiting:
                await publish_awaited(self._transport, self._telemetry, job)
        except Unavailable as error:
            _log.warning("not_published", entries=len(settled.entries), error=error.detail)
        failpoint("state.before_reply")
        for event, outcome in settled.outcomes:
            if event.reply is not None:
                await self._transport.reply(event.reply, _encode(outcome))

    def _count(self, events: Sequence[Event], settled: Settled, seconds: float) -> None:
        telemetry = self._telemetry
        applied = sum(positioned.entry.applied for positioned in settled.entries)
        telemetry.events_stored.labels("true").inc(applied)
        telemetry.events_stored.labels("false").inc(len(settled.entries) - applied)
        telemetry.events_conflict.inc(settled.conflicts)
        for _, outcome in settled.outcomes:
            if outcome.duplicate:
                telemetry.events_duplicate.inc()
            elif outcome.verdict == "refused":
                telemetry.events_refused.labels(outcome.reason).inc()
        telemetry.batch_events.observe(len(events))
        telemetry.batch_seconds.observe(seconds)
        _log_transitions(settled.entries)


async def publish_awaited(transport: Transport, telemetry: Telemetry, job: Job) -> None:
    """Publish the command that a job awaits; its worker drops what is not awaited any more."""
    command = job.command()
    if command is not None:
        await transport.send(command.queue, [_encode(command)])
        telemetry.commands_sent.labels(command.kind).inc()


def _cut(taken: Sequence[_Taken]) -> tuple[list[_Decoded], list[_Taken]]:
    """Decode as many deliveries as make a batch; give the rest back."""
    batch: list[_Decoded] = []
    count = 0
    for index, (deliveries, committed) in enumerate(taken):
        if count >= BATCH_EVENTS:
            return batch, list(taken[index:])
        try:
            events = [event for each in deliveries for event in decode_packet(each.body).events]
        except Malformed as error:
            # Not acknowledged: it stays with the transport, and its neighbours go on.
            _log.error("packet_not_read", error=error.detail)
            committed.set_exception(Unavailable(error.detail, retry_after_s=5))
            continue
        count += len(events)
        batch.append(_Decoded(deliveries, events, committed))
    return batch, []


def _give_back(taken: Sequence[_Taken]) -> None:
    """Tell the senders of what is still in hand, when the loop fails, to send it again."""
    for each in taken:
        if not each.committed.done():
            each.committed.set_exception(Unavailable("the batch was not handled", retry_after_s=1))


def _log_transitions(entries: Sequence[Positioned]) -> None:
    for positioned in entries:
        entry = positioned.entry
        if entry.applied and entry.name != "update":
            _log.info("entry", job_id=entry.job, seq=entry.seq, name=entry.name, state=entry.state)

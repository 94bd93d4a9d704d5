"""The actor: takes batches from its queues, settles them, and publishes the results."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import perf_counter
from typing import NamedTuple

import structlog

from jobwire.actors.roles.shard_assignment import ShardAssignment
from jobwire.actors.runtime.failpoints import failpoint
from jobwire.actors.runtime.tasks import Loop
from jobwire.actors.runtime.telemetry import Telemetry
from jobwire.actors.state_manager.batch import Settler
from jobwire.actors.state_manager.commit_publisher import CommitPublisher
from jobwire.actors.state_manager.committed_batch import CommittedBatch
from jobwire.actors.stores.base import Positioned, Store
from jobwire.actors.transports.base import BusMessage, Transport
from jobwire.schemas.codec import decode_packet
from jobwire.schemas.errors import InDoubt, JobwireError, Malformed, Unavailable, Upgrading
from jobwire.schemas.events import Event, Packet

_log = structlog.get_logger()

#: Events from which on a batch takes no further packet.
BATCH_EVENTS = 1_000
#: Size of a batch that indicates load, and how long the next one may grow then.
_BUSY_EVENTS, _GATHER_S = 32, 0.02


class _Taken(NamedTuple):
    """Deliveries of a queue in hand, and the future that acknowledges them."""

    queue: str
    messages: Sequence[BusMessage]
    committed: asyncio.Future[None]


class _Decoded(NamedTuple):
    """The same as packets."""

    packets: list[Packet]
    redelivered: bool
    committed: asyncio.Future[None]


class StateManager:
    """The only writer of jobs: one loop settles the events of its shards, batch after batch."""

    name = "state_manager"

    def __init__(
        self,
        *,
        transport: Transport,
        store: Store,
        settler: Settler,
        telemetry: Telemetry,
        shards: int,
        holder: str = "",
    ) -> None:
        """
        Consume event queues of a transport.

        Args:
            transport: where the queues are.
            store: where leases are.
            settler: commits batches.
            telemetry: counts.
            shards: how many queues there are.
            holder: a name unlike that of all others that share them; empty: there are no others.

        """
        self._transport = transport
        self._settler = settler
        self._telemetry = telemetry
        self._publisher = CommitPublisher(transport, telemetry)
        self._assignment = ShardAssignment(
            transport=transport, store=store, shards=shards, holder=holder, take=self._take
        )
        self._inbox: list[_Taken] = []
        self._filled = asyncio.Event()
        self._loop = Loop(self.name, self._run)
        self._last = 0
        self._started = False

    async def start(self) -> None:
        """Start the loop, then take from the queues."""
        self._loop.start()
        await self._assignment.start()
        self._started = True

    async def stop(self) -> None:
        """Finish what is in hand, give the shards up, and stop the loop."""
        if self._started:
            await self._assignment.stop()
            self._started = False
        await self._loop.stop()

    def not_ready(self) -> str | None:
        """Name what is missing."""
        return None if self._started and not self._loop.failing else "state manager"

    async def _take(self, queue: str, messages: Sequence[BusMessage]) -> None:
        """Hold messages until they are committed."""
        committed = asyncio.get_running_loop().create_future()
        self._inbox.append(_Taken(queue, messages, committed))
        self._filled.set()
        await committed

    async def _run(self) -> None:
        while True:
            await self._filled.wait()
            await self._gather()
            taken, self._inbox = self._inbox, []
            self._filled.clear()
            in_hand = taken
            try:
                while taken:
                    batch, taken = await self._cut(taken)
                    await self._settle(batch)
            finally:
                _give_back(in_hand)

    async def _gather(self) -> None:
        """
        Under load, let a batch grow for a moment: a commit costs much the same for few and many.

        Where little happens nothing waits; nor where senders wait for the commit itself.
        """
        if self._last >= _BUSY_EVENTS and not self._transport.confirms_when_handled:
            await asyncio.sleep(_GATHER_S)

    async def _cut(self, taken: Sequence[_Taken]) -> tuple[list[_Decoded], list[_Taken]]:
        """Decode as many messages as make a batch; put the rest back."""
        batch: list[_Decoded] = []
        count = 0
        for index, each in enumerate(taken):
            if count >= BATCH_EVENTS:
                return batch, list(taken[index:])
            try:
                packets = await self._read(each)
            except Unavailable as error:
                self._step_aside_for(error)
                # Not acknowledged: it stays with the transport, and its neighbours go on.
                _finish(each.committed, error)
                continue
            redelivered = any(message.redelivered for message in each.messages)
            count += sum(len(packet.events) for packet in packets)
            batch.append(_Decoded(packets, redelivered, each.committed))
        return batch, []

    async def _read(self, taken: _Taken) -> list[Packet]:
        """Decode messages; set aside what is no packet, or one that a newer release wrote."""
        packets = []
        for message in taken.messages:
            try:
                packets.append(decode_packet(message.body))
            except Malformed as error:
                _log.error("packet_not_read", queue=taken.queue, error=error.detail)
                await self._settler.leave_to_newer(f"a packet of {taken.queue}")
                if self._transport.confirms_when_handled:
                    raise Unavailable(error.detail, retry_after_s=5) from error
                await self._transport.dead_letter(taken.queue, message, error.detail)
        return packets

    async def _settle(self, batch: Sequence[_Decoded]) -> None:
        started = perf_counter()
        packets = [packet for each in batch for packet in each.packets]
        events = [event for packet in packets for event in packet.events]
        redelivered = any(each.redelivered for each in batch)
        try:
            settled = await self._settle_or_isolate(events, redelivered=redelivered)
        except JobwireError as error:
            # Not acknowledged: the transport tells the senders, or delivers again.
            _log.warning("batch_not_committed", events=len(events), error=error.detail)
            self._step_aside_for(error)
            for each in batch:
                _finish(each.committed, error)
            return
        failpoint("state.after_commit")
        await self._publisher.tell(settled, packets)
        failpoint("state.before_ack")
        for each in batch:
            _finish(each.committed)
        self._last = len(events)
        self._count(events, settled, perf_counter() - started)

    def _step_aside_for(self, error: JobwireError) -> None:
        """Leave the shards to a newer release where this one cannot settle what they hold."""
        if isinstance(error, Upgrading):
            self._assignment.step_aside()

    async def _settle_or_isolate(
        self, events: Sequence[Event], *, redelivered: bool
    ) -> CommittedBatch:
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
        return CommittedBatch(
            [entry for part in parts for entry in part.entries],
            [outcome for part in parts for outcome in part.outcomes],
            [job for part in parts for job in part.awaiting],
            sum(part.conflicts for part in parts),
        )

    async def _settle_alone(self, event: Event) -> CommittedBatch:
        try:
            return await self._settler.settle([event], redelivered=True)
        except JobwireError:
            raise
        except Exception:  # noqa: BLE001 - logged; the event at fault is set aside
            _log.exception("event_is_poison", job_id=event.job, event_id=event.id)
            await self._settler.set_aside(event)
            return await self._settler.settle([event], redelivered=True)

    def _count(self, events: Sequence[Event], settled: CommittedBatch, seconds: float) -> None:
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


def _give_back(taken: Sequence[_Taken]) -> None:
    """Fail what is still in hand when the loop fails, so that its senders send it again."""
    for each in taken:  # the loop may have failed behind the commit
        _finish(each.committed, InDoubt("the batch was not handled to its end", retry_after_s=1))


def _finish(committed: asyncio.Future[None], error: JobwireError | None = None) -> None:
    """Complete the future of a message, unless nobody waits for it any more."""
    if committed.done():
        return
    if error is None:
        committed.set_result(None)
    else:
        committed.set_exception(error)


def _log_transitions(entries: Sequence[Positioned]) -> None:
    for positioned in entries:
        entry = positioned.entry
        if entry.applied and entry.name != "update":
            _log.info("entry", job_id=entry.job, seq=entry.seq, name=entry.name, state=entry.state)

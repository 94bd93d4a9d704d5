"""
Publishes what was committed: entries to followers, commands to workers, outcomes to waiters.

Best effort: a blocked bus never stops commits, and whatever is lost here is found in the store.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import structlog

from jobwire.actors.messaging.entry_feed import broadcast_entries
from jobwire.actors.runtime.failpoints import failpoint
from jobwire.actors.runtime.telemetry import Telemetry
from jobwire.actors.state_manager.committed_batch import CommittedBatch
from jobwire.actors.transports.base import Transport
from jobwire.schemas.addresses import receipts_topic
from jobwire.schemas.errors import Unavailable
from jobwire.schemas.events import Packet
from jobwire.schemas.jobs import Job

_log = structlog.get_logger()
_encode = msgspec.msgpack.Encoder().encode


class CommitPublisher:
    """Publishes the results of a committed batch."""

    def __init__(self, transport: Transport, telemetry: Telemetry) -> None:
        """Publish on a transport."""
        self._transport = transport
        self._telemetry = telemetry

    async def tell(self, settled: CommittedBatch, packets: Sequence[Packet]) -> None:
        """Publish what a committed batch leaves, and the receipts of its packets."""
        try:
            if settled.entries:
                await broadcast_entries(self._transport, settled.entries)
            await self._give_receipts(packets)
            if settled.awaiting:
                await publish_awaited(self._transport, self._telemetry, settled.awaiting)
        except Unavailable as error:
            _log.warning("not_published", entries=len(settled.entries), error=error.detail)
        failpoint("state.before_reply")
        try:
            for event, outcome in settled.outcomes:
                if event.reply is not None:
                    await self._transport.reply(event.reply, _encode(outcome))
        except Unavailable as error:
            _log.warning("not_answered", error=error.detail)

    async def _give_receipts(self, packets: Sequence[Packet]) -> None:
        """Send receipts: which packets of each sender are stored, so that it knows its backlog."""
        numbers: dict[str, list[int]] = {}
        for packet in packets:
            if packet.sender:
                numbers.setdefault(packet.sender, []).append(packet.number)
        for sender, stored in numbers.items():
            await self._transport.broadcast(receipts_topic(sender), _encode(stored))


async def publish_awaited(transport: Transport, telemetry: Telemetry, jobs: Sequence[Job]) -> None:
    """
    Publish the commands that jobs await; a worker drops what is not awaited any more.

    One of a kind that only another release knows is left to that: it is awaited still.

    Raises:
        Unavailable: some queues took none; all others have theirs.

    """
    queues: dict[str, list[bytes]] = {}
    for job in jobs:
        command = job.command()
        if command is None:
            continue
        if command.queue is None:
            _log.warning("command_left", job_id=job.id, kind=command.kind)
            continue
        queues.setdefault(command.queue, []).append(_encode(command))
        telemetry.commands_sent.labels(command.kind).inc()
    refusals: list[Unavailable] = []
    for queue, messages in queues.items():
        try:
            await transport.send(queue, messages)
        except Unavailable as error:
            refusals.append(error)
    if refusals:
        raise Unavailable("; ".join(error.detail for error in refusals)) from refusals[0]

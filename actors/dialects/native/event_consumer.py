"""
Consumes events of other systems from the bus, one event in each message.

A batch is built in order and posted in packets, as the events of one HTTP request are. It is
acknowledged when everything in it is safe: events with those who store them, messages that are no
events in the dead letters. A batch that cannot be made safe now is held and tried again, so no good
event is given up because a part of the service is away for long.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import structlog

from jobwire.actors.dialects.native.messages import read_message
from jobwire.actors.operations.events import Events
from jobwire.actors.runtime.settings import Limits
from jobwire.actors.runtime.telemetry import Telemetry
from jobwire.actors.transports.base import BusMessage, ConsumerHandle, Transport
from jobwire.schemas.addresses import EVENTS_IN
from jobwire.schemas.errors import JobwireError, Unavailable
from jobwire.schemas.events import Event

_log = structlog.get_logger()

#: Pause before what could not be posted is tried again.
_PAUSE_S = 0.5


class EventConsumer:
    """Consumes the queue `events.in`."""

    name = "inlet"

    def __init__(
        self, transport: Transport, events: Events, limits: Limits, telemetry: Telemetry
    ) -> None:
        """Consume from a transport, and post what comes."""
        self._transport = transport
        self._events = events
        self._limits = limits
        self._telemetry = telemetry
        self._handle: ConsumerHandle | None = None
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        """Begin to consume; a broker that is away is waited for in the background."""
        self._stopping.clear()
        self._handle = await self._transport.consume(EVENTS_IN, self._on_batch)

    async def stop(self) -> None:
        """Finish the batch in hand; one that cannot be posted now stays on the bus."""
        self._stopping.set()
        if self._handle is not None:
            await self._handle.close()
            self._handle = None

    def not_ready(self) -> str | None:
        """Name what is missing."""
        return None if self._handle else self.name

    async def _on_batch(self, messages: Sequence[BusMessage]) -> None:
        events, refused = self._read(messages)
        # Posted first: an event that is posted again counts once, while a message of a batch that
        # is handed out again would be in the dead letters twice.
        await self._post(events)
        await self._dead_letter_all(refused)
        self._count(len(events), [error for _, error in refused])

    def _read(
        self, messages: Sequence[BusMessage]
    ) -> tuple[list[Event], list[tuple[BusMessage, JobwireError]]]:
        """Separate the valid events from the invalid messages, each with its error."""
        events: list[Event] = []
        refused: list[tuple[BusMessage, JobwireError]] = []
        for message in messages:
            try:
                events.append(read_message(self._events, message, self._limits.body_bytes))
            except JobwireError as error:
                refused.append((message, error))
            except Exception:  # noqa: BLE001 - logged; its neighbours go on
                _log.exception("message_is_poison")
                refused.append((message, JobwireError("a fault of the service; it is in its log")))
        return events, refused

    async def _post(self, events: list[Event]) -> None:
        """
        Post events until all are safe.

        Raises:
            Unavailable: the consumer is to stop, and some are not.

        """
        while events:
            posted = await self._events.post_many(events)
            failures = [each.error for each in posted if each.error is not None]
            if not failures:
                return
            # What failed comes behind what is safe: tried again, it keeps the order of each job.
            events = [
                event for event, each in zip(events, posted, strict=True) if each.error is not None
            ]
            _log.warning("messages_wait", events=len(events), error=failures[0].detail)
            await self._pause(failures[0])

    async def _dead_letter_all(self, refused: Sequence[tuple[BusMessage, JobwireError]]) -> None:
        """
        Dead-letter messages that are no events, until all are there.

        Raises:
            Unavailable: the consumer is to stop, and some are not.

        """
        for _, error in refused:
            _log.warning("message_refused", code=error.code, detail=error.detail)
        while refused:
            failures = await asyncio.gather(*(self._dead_letter(*each) for each in refused))
            refused = [each for each, failed in zip(refused, failures, strict=True) if failed]
            failure = next(filter(None, failures), None)
            if failure is not None:
                _log.warning("dead_letters_wait", messages=len(refused), error=failure.detail)
                await self._pause(failure)

    async def _dead_letter(self, message: BusMessage, error: JobwireError) -> Unavailable | None:
        """Dead-letter one message; return why that failed, if it did."""
        reason = f"{error.code}: {error.detail}"
        try:
            await self._transport.dead_letter(EVENTS_IN, message, reason)
        except Unavailable as failure:
            return failure
        return None

    async def _pause(self, failure: JobwireError) -> None:
        try:
            async with asyncio.timeout(_PAUSE_S):
                await self._stopping.wait()
        except TimeoutError:
            return
        raise Unavailable("the consumer stops; the batch stays on the bus") from failure

    def _count(self, accepted: int, errors: Sequence[JobwireError]) -> None:
        self._telemetry.messages_accepted.inc(accepted)
        for code, number in Counter(error.code for error in errors).items():
            self._telemetry.messages_refused.labels(code).inc(number)

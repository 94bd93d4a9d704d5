"""Posts events, and waits for their outcomes where the sender asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import structs

from jobwire.actors.messaging.packer import Packer
from jobwire.actors.messaging.replies import PendingOutcome, ReplyInbox
from jobwire.actors.runtime.failpoints import failpoint
from jobwire.schemas.errors import JobwireError
from jobwire.schemas.events import Event
from jobwire.schemas.outcomes import Outcome


class Posted(NamedTuple):
    """
    What became of one event of many.

    Stored (with its outcome, where it was waited for), or an error.
    """

    error: JobwireError | None
    outcome: Outcome | None


class EventPoster:
    """Posts events of clients and workers alike."""

    def __init__(self, packer: Packer, replies: ReplyInbox) -> None:
        """Send through a packer; receive outcomes in an inbox."""
        self._packer = packer
        self._replies = replies

    async def post(self, event: Event, wait_s: float | None = None) -> Outcome | None:
        """
        Return when the event is safe; with `wait_s`, when its outcome is known.

        The time that it takes until the event is safe is part of the wait.

        Returns:
            The outcome; None when none was waited for, or none came in time.

        Raises:
            InDoubt: it may be stored or not; the same id makes a repetition harmless.
            Unavailable: it was not taken.

        """
        if wait_s is None:
            await self._packer.put(event)
            failpoint("gateway.before_answer")
            return None
        reply = self._replies.expect()
        until = asyncio.get_running_loop().time() + wait_s
        try:
            await self._packer.put(structs.replace(event, reply=reply.address))
            failpoint("gateway.before_answer")
            async with asyncio.timeout_at(until):
                return await reply.outcome
        except TimeoutError:
            return None
        finally:
            self._replies.forget(reply)

    async def post_many(self, events: Sequence[Event], wait_s: float | None = None) -> list[Posted]:
        """
        Post events in their order; return what became of each.

        After an event that could not be stored, later ones of the same job are not sent.
        """
        if wait_s is None:
            errors = await self._packer.put_many(events)
            failpoint("gateway.before_answer")
            return [Posted(error, None) for error in errors]
        replies = [self._replies.expect() for _ in events]
        try:
            return await self._post_and_wait(events, replies, wait_s)
        finally:
            for reply in replies:
                self._replies.forget(reply)

    async def _post_and_wait(
        self, events: Sequence[Event], replies: Sequence[PendingOutcome], wait_s: float
    ) -> list[Posted]:
        until = asyncio.get_running_loop().time() + wait_s
        awaited = [
            structs.replace(event, reply=reply.address)
            for event, reply in zip(events, replies, strict=True)
        ]
        errors = await self._packer.put_many(awaited)
        failpoint("gateway.before_answer")
        outcomes = [reply.outcome for reply in replies]
        pending = [each for each, error in zip(outcomes, errors, strict=True) if error is None]
        if pending:
            left_s = max(0.0, until - asyncio.get_running_loop().time())
            await asyncio.wait(pending, timeout=left_s)
        return [
            Posted(error, each.result() if each.done() else None)
            for error, each in zip(errors, outcomes, strict=True)
        ]

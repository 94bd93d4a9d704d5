"""
What a client may ask. Every dialect calls this and nothing else.

One group for each noun: `events`, `jobs`, `controls`, `files`, `deliveries`, `streams`,
`waiting`, `withdrawals`, `lifecycles`, `refusals`, `keys`, `event_statuses`. What only one dialect
has is in its own folder; its state is in its `DialectRecords` (`records.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from jobwire.actors.operations.controls import Controls
from jobwire.actors.operations.deliveries import Deliveries
from jobwire.actors.operations.event_status import EventStatuses
from jobwire.actors.operations.events import Events
from jobwire.actors.operations.files import Files
from jobwire.actors.operations.job_waiter import JobWaiter
from jobwire.actors.operations.jobs import Jobs
from jobwire.actors.operations.keys import Keys
from jobwire.actors.operations.lifecycles import Lifecycles
from jobwire.actors.operations.refusals import Refusals
from jobwire.actors.operations.streams import Streams
from jobwire.actors.operations.withdrawals import Withdrawals

__all__ = ["Operations"]


@dataclass(frozen=True, kw_only=True)
class Operations:
    """The groups of operations of one service."""

    events: Events
    jobs: Jobs
    controls: Controls
    files: Files
    deliveries: Deliveries
    streams: Streams
    waiting: JobWaiter
    withdrawals: Withdrawals
    lifecycles: Lifecycles
    refusals: Refusals
    keys: Keys
    event_statuses: EventStatuses

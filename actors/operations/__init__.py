"""
What a client may ask. Every dialect calls this and nothing else.

One group for each noun: `events`, `jobs`, `controls`, `files`, `deliveries`, `streams`,
`waiting`, `withdrawals`, `lifecycles`, `refusals`, `keys`, `nonces`, `foreign_actors`, `reports`,
`parking`, `visibility`.
"""

from __future__ import annotations

from dataclasses import dataclass

from actors.operations.controls import Controls
from actors.operations.deliveries import Deliveries
from actors.operations.events import Events
from actors.operations.files import Files
from actors.operations.foreign_actors import ForeignActors
from actors.operations.jobs import Jobs
from actors.operations.keys import Keys
from actors.operations.lifecycles import Lifecycles
from actors.operations.nonces import Nonces
from actors.operations.parking import Parking
from actors.operations.refusals import Refusals
from actors.operations.reports import Reports
from actors.operations.streams import Streams
from actors.operations.visibility import Visibility
from actors.operations.waiting import Waiting
from actors.operations.withdrawals import Withdrawals

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
    waiting: Waiting
    withdrawals: Withdrawals
    lifecycles: Lifecycles
    refusals: Refusals
    keys: Keys
    nonces: Nonces
    foreign_actors: ForeignActors
    reports: Reports
    parking: Parking
    visibility: Visibility

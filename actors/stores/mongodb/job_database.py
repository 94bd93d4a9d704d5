"""The collections of the store in one database, and how its jobs are spread over lanes."""

from __future__ import annotations

from jobwire.actors.stores.mongodb.client import Database
from jobwire.actors.stores.mongodb.position_sequence import PositionSequence


class JobDatabase:
    """A database as the store's verbs see it."""

    def __init__(self, database: Database, shards: int) -> None:
        """Use a database; the lane of a job is its shard."""
        self.shards = shards
        self.entries = database.entries
        self.jobs = database.jobs
        self.refused = database.refused
        self.records = database.records
        self.deliveries = database.deliveries
        self.leases = database.leases
        self.lanes = database.lanes
        self.meta = database.meta
        self.entry_positions = PositionSequence(self.entries, ("lane", "owner"), kept=self.lanes)
        self.refusal_positions = PositionSequence(self.refused, ("owner",))

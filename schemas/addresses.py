"""
The names of queues and topics, each spelt once: on the bus they are the same in every release.

A queue keeps a message until its one consumer has acknowledged it; a topic reaches everybody who
listens at that moment.
"""

from __future__ import annotations

from typing import Final

#: Head of the queues of packets of events, one for each shard.
EVENTS: Final = "events"
#: The queue of single events that other systems publish.
EVENTS_IN: Final = "events.in"
#: Head of the queues of commands, one for each worker.
COMMANDS: Final = "commands"
#: The queue of the stager.
STAGER: Final = "commands.stager"

#: The topic of the entries that each commit has stored.
ENTRIES: Final = "entries"
#: The topic on which is told that deliveries are to be tried now: those of the endpoint that the
#: message names; an empty one means all.
DELIVERIES_ASKED: Final = "deliveries.asked"
#: Where transitions are announced to other systems.
JOBS: Final = "jobs"


def shard_queue(shard: int) -> str:
    """Name the queue of a shard's packets."""
    return f"{EVENTS}.{shard}"


def site_queue(site: str) -> str:
    """Name the queue of a site's commands."""
    return f"{COMMANDS}.site.{site}"


def receipts_topic(sender: str) -> str:
    """Return the topic on which a sender receives the receipts of its packets."""
    return f"packets.{sender}"


def replies_topic(process: str) -> str:
    """Name the topic of the outcomes that a process waits for; each has an address below it."""
    return f"replies.{process}"

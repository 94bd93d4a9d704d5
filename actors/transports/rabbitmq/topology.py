"""
The exchanges and queues, with their arguments: the one place that declares them.

Declaring again what is there changes nothing. Arguments are fixed for good: another value needs
another name, because a broker refuses to declare a queue anew with different arguments.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel

from jobwire.schemas.addresses import COMMANDS, ENTRIES, EVENTS, EVENTS_IN, JOBS

#: Small messages between processes: outcomes, receipts of packets, requests to try deliveries.
SIGNALS: Final = "signals"
#: What could not be handled: one queue for each source, `dead.<source>`.
DEAD: Final = "dead"

#: Exchanges have the names of what they carry. Only the service itself publishes to `events`, by
#: shard; other systems publish to `events.in` with any routing key, and follow `jobs` by
#: `<lifecycle>.<state>.<job id>`.
_EXCHANGES: Final = {
    EVENTS: ExchangeType.DIRECT,
    EVENTS_IN: ExchangeType.TOPIC,
    COMMANDS: ExchangeType.DIRECT,
    ENTRIES: ExchangeType.FANOUT,
    SIGNALS: ExchangeType.TOPIC,
    JOBS: ExchangeType.TOPIC,
    DEAD: ExchangeType.DIRECT,
}

_MIB: Final = 1024 * 1024
#: Bytes that a queue holds before its publishers are refused.
QUEUE_BYTES: Final = 256 * _MIB
#: Bytes that a listener may lag behind; beyond it the oldest broadcasts are dropped, and it reads
#: the store.
_SUBSCRIPTION_BYTES: Final = 64 * _MIB
#: Deliveries of one message before it is dead-lettered: one whose very properties cannot be read
#: breaks every connection that it is handed to. After a break messages are taken one by one, so
#: its neighbours are not counted.
_DELIVERY_LIMIT: Final = 20
#: No limit, said as a number because newer brokers have a default: a packet of events is never
#: dead-lettered for the sake of one event in it, nor because its consumers were killed often.
_NO_DELIVERY_LIMIT: Final = 1_000_000_000
#: How long a dead letter waits for somebody to look at it; milliseconds.
_DEAD_MS: Final = 30 * 24 * 3_600 * 1_000


class Route(NamedTuple):
    """Where a message for a queue is published."""

    exchange: str
    key: str


def route_to(queue: str) -> Route:
    """Return the exchange and the routing key of a work queue."""
    if queue == EVENTS_IN:
        return Route(EVENTS_IN, EVENTS_IN)
    exchange, _, key = queue.partition(".")
    return Route(exchange, key)


def dead_queue(queue: str) -> str:
    """Name the queue of what could not be handled."""
    return f"{DEAD}.{queue}"


def subscription_route(pattern: str) -> Route:
    """Return what the queue of a subscription is bound to."""
    if pattern == ENTRIES:
        return Route(ENTRIES, "")
    return Route(SIGNALS, pattern.removesuffix("*") + "#" if pattern.endswith(".*") else pattern)


def broadcast_route(topic: str) -> Route:
    """Return where a broadcast is published."""
    return Route(ENTRIES, "") if topic == ENTRIES else Route(SIGNALS, topic)


async def declare_exchanges(channel: AbstractChannel) -> None:
    """Declare the exchanges that are missing."""
    for name, kind in _EXCHANGES.items():
        await channel.declare_exchange(name, kind, durable=True)


async def declare_queue(channel: AbstractChannel, queue: str) -> None:
    """Declare a work queue, its dead-letter queue and their bindings, where they are missing."""
    dead = await channel.declare_queue(dead_queue(queue), durable=True, arguments=_dead_arguments())
    await dead.bind(DEAD, queue)
    declared = await channel.declare_queue(queue, durable=True, arguments=_arguments(queue))
    await declared.bind(*(EVENTS_IN, "#") if queue == EVENTS_IN else route_to(queue))


async def declare_subscription(channel: AbstractChannel, pattern: str) -> str:
    """Declare a queue that lives as long as its connection; return its name."""
    declared = await channel.declare_queue(
        "", exclusive=True, auto_delete=True, arguments={"x-max-length-bytes": _SUBSCRIPTION_BYTES}
    )
    await declared.bind(*subscription_route(pattern))
    return str(declared.name)


def _arguments(queue: str) -> dict[str, Any]:
    # Commands have no time to live, although each can be made again from the store: this broker
    # dead-letters what expires as it does what failed, and a dead letter is to mean a fault.
    is_shard = route_to(queue).exchange == EVENTS
    return {
        "x-queue-type": "quorum",
        "x-single-active-consumer": True,
        "x-max-length-bytes": QUEUE_BYTES,
        "x-overflow": "reject-publish",
        "x-delivery-limit": _NO_DELIVERY_LIMIT if is_shard else _DELIVERY_LIMIT,
        "x-dead-letter-exchange": DEAD,
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
    }


def _dead_arguments() -> dict[str, Any]:
    return {
        "x-queue-type": "quorum",
        "x-max-length-bytes": QUEUE_BYTES,
        "x-overflow": "reject-publish",
        "x-delivery-limit": _NO_DELIVERY_LIMIT,
        "x-message-ttl": _DEAD_MS,
    }

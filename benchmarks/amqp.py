"""
The load of the bus: single events to `events.in`, or packed messages of 100 as the bare limit.

Reads a plan from standard input, prints how many messages a second the broker took.
"""

from __future__ import annotations

import json
import sys
import time
from typing import cast

import aio_pika
import msgspec
import uvloop
from aiormq.channel import Channel
from pamqp.commands import Basic


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to publish."""

    url: str
    seconds: float
    jobs: list[tuple[str, str]]
    """Id and token of each job."""
    tag: str
    ahead: int = 2_000
    """Messages on their way to the broker before the next ones wait for the socket."""
    packed: bool = False
    """Publish confirmed messages of 50 KiB to a queue that nobody reads, one after another."""


async def publish(plan: Plan) -> float:
    """Publish for as long as the plan says; give the messages a second."""
    connection = await aio_pika.connect(plan.url)
    opened = await connection.channel(publisher_confirms=plan.packed)
    channel = cast("Channel", await opened.get_underlay_channel())
    rate = await (_packed(channel, plan) if plan.packed else _single(channel, plan))
    await connection.close()
    return rate


async def _single(channel: Channel, plan: Plan) -> float:
    start, number = time.perf_counter(), 0
    while (now := time.perf_counter() - start) < plan.seconds:
        job, token = plan.jobs[number % len(plan.jobs)]
        body = b'{"uuid":"%s","name":"update","token":"%s","id":"%s-%d","data":{"step":%d}}' % (
            job.encode(),
            token.encode(),
            plan.tag.encode(),
            number,
            number,
        )
        properties = Basic.Properties(delivery_mode=2, content_type="application/json")
        number += 1
        await channel.basic_publish(
            body,
            exchange="events.in",
            routing_key="bench",
            properties=properties,
            wait=number % plan.ahead == 0,
        )
    return number / now


async def _packed(channel: Channel, plan: Plan) -> float:
    await channel.queue_declare("bench", durable=True, arguments={"x-queue-type": "quorum"})
    body, properties = b"x" * 51_200, Basic.Properties(delivery_mode=2)
    start, number = time.perf_counter(), 0
    while (now := time.perf_counter() - start) < plan.seconds:
        await channel.basic_publish(body, routing_key="bench", properties=properties)
        number += 1
    await channel.queue_delete("bench")
    return number / now


def main() -> None:
    """Read a plan, carry it out, print the rate."""
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    print(json.dumps(uvloop.run(publish(plan))))


if __name__ == "__main__":
    main()

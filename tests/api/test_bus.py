"""Other systems on the bus: their events come in, and they are told of transitions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import aio_pika
import pytest
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage, AbstractQueue

from tests.support.bus import BusService, serving_bus
from tests.support.deadlines import until
from tests.support.rabbitmq import RabbitServer

_JSON = "application/json"
_CLOUD = "application/cloudevents+json"


class Partner(NamedTuple):
    """Another system on the same bus."""

    event_consumer: AbstractExchange
    heard: AbstractQueue
    dead: AbstractQueue

    async def publish(
        self,
        body: Any,
        kind: str | None = _JSON,
        headers: Any = None,
        message_id: str | None = None,
    ) -> None:
        """Publish one message, and return when the broker has it."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        message = aio_pika.Message(
            content,
            content_type=kind,
            headers=headers or {},
            message_id=message_id,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        await self.event_consumer.publish(message, "tests")


async def _next(queue: AbstractQueue) -> AbstractIncomingMessage:
    """Wait for a message of a queue."""
    found: list[AbstractIncomingMessage] = []

    async def look() -> bool:
        message = await queue.get(no_ack=True, fail=False)
        if message is not None:
            found.append(message)
        return message is not None

    await until(look)
    return found[0]


@asynccontextmanager
async def _partner(url: str) -> AsyncIterator[Partner]:
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        heard = await channel.declare_queue("", exclusive=True)
        await heard.bind("jobs", "#")
        dead = await channel.get_queue("dead.events.in")
        yield Partner(await channel.get_exchange("events.in"), heard, dead)


@pytest.fixture
async def bus(broker_url: str, tmp_path: Path) -> AsyncIterator[BusService]:
    """Yield a service on the bus."""
    async with serving_bus(broker_url, tmp_path) as service:
        yield service


@pytest.fixture
async def partner(bus: BusService) -> AsyncIterator[Partner]:
    """Yield another system on the bus."""
    async with _partner(bus.url) as partner:
        yield partner


async def test_an_event_in_every_form_is_in_the_history(bus: BusService, partner: Partner) -> None:
    job = await bus.admin.make_job()
    uuid, token = job["id"], job["token"]
    bearer = {"authorization": f"Bearer {token}"}
    attributes = {"specversion": "1.0", "subject": uuid, "source": "/lab", "token": token}

    await partner.publish({"uuid": uuid, "name": "run", "token": token, "id": "plain"})
    await partner.publish({"uuid": uuid, "name": "update"}, None, bearer, "by-message-id")
    for head in ("cloudEvents_", "cloudEvents:"):
        named = {**attributes, "id": f"binary {head}", "type": "job.update"}
        await partner.publish(
            {"n": 1}, _JSON, {f"{head}{name}": value for name, value in named.items()}
        )
    whole = {**attributes, "id": "structured", "type": "finish", "data": {"n": 2}}
    await partner.publish(whole, _CLOUD)

    await until(lambda: _has(bus, job, 6))
    history = (await bus.history(job))[1:]
    assert [(entry["id"], entry["name"], entry["data"], entry["source"]) for entry in history] == [
        ("plain", "run", None, None),
        ("by-message-id", "update", None, None),
        ("binary cloudEvents_", "update", {"n": 1}, "/lab"),
        ("binary cloudEvents:", "update", {"n": 1}, "/lab"),
        ("structured", "finish", {"n": 2}, "/lab"),
    ]
    assert all(entry["applied"] for entry in history)


async def test_an_event_of_another_attempt_is_kept_in_every_form_and_changes_nothing(
    bus: BusService, partner: Partner
) -> None:
    job = await bus.admin.make_job()
    uuid, token = job["id"], job["token"]
    attributes = {"specversion": "1.0", "subject": uuid, "token": token, "type": "run"}

    event = {"uuid": uuid, "name": "run", "token": token, "id": "plain", "attempt": 2}
    await partner.publish(event)
    whole = {**attributes, "id": "structured", "attempt": 2}
    await partner.publish(whole, _CLOUD)
    named = {**attributes, "id": "binary", "attempt": "2"}
    await partner.publish({}, _JSON, {f"cloudEvents:{name}": each for name, each in named.items()})
    await partner.publish({**event, "id": "present", "attempt": 1})

    await until(lambda: _has(bus, job, 5))
    kept = [(each["id"], each["reason"]) for each in (await bus.history(job))[1:]]
    stale = [(name, "stale_attempt") for name in ("plain", "structured", "binary")]
    assert kept == [*stale, ("present", None)]


async def _has(bus: BusService, job: Any, entries: int) -> bool:
    return len(await bus.history(job)) >= entries


async def test_the_same_event_over_http_and_over_the_bus_counts_once(
    bus: BusService, partner: Partner
) -> None:
    job = await bus.admin.make_job()
    event = {"uuid": job["id"], "name": "run", "token": job["token"], "id": "one", "data": {"a": 1}}

    await partner.publish(event)
    await until(lambda: _has(bus, job, 2))
    again = await bus.admin.post("/v1/events?wait=5", json=event)
    await partner.publish({**event, "data": {"a": 1}})
    await partner.publish({**event, "name": "finish", "id": "two"})
    await until(lambda: _has(bus, job, 3))

    assert (again.status, again.json["duplicate"]) == (200, True)
    assert await bus.names(job) == ["create", "run", "finish"]
    assert bus.counted("jobwire_events_duplicate") == 2
    assert bus.counted("jobwire_events_conflict") == 0


async def test_what_is_no_event_is_dead_lettered_with_the_reason_and_holds_up_nobody(
    bus: BusService, partner: Partner
) -> None:
    job = await bus.admin.make_job()
    event = {"uuid": job["id"], "name": "run", "token": job["token"], "id": "good"}

    nameless = {"specversion": "1.0", "type": "run", "subject": job["id"], "token": job["token"]}
    await partner.publish(nameless, _CLOUD)
    await partner.publish({**event, "token": "aab" + "c" * 26})
    await partner.publish(b"\x00\xff", message_id="poison")
    await partner.publish(event)
    await until(lambda: _has(bus, job, 2))
    letters = [await _next(partner.dead) for _ in range(3)]

    reasons = sorted(str(letter.headers["x-jobwire-reason"]) for letter in letters)
    assert [reason.partition(":")[0] for reason in reasons] == [
        "id_required",
        "invalid_json",
        "wrong_token",
    ]
    assert all(job["token"] not in reason for reason in reasons)
    assert bus.counted("jobwire_messages_accepted") == 1
    assert bus.counted("jobwire_messages_refused", code="id_required") == 1


async def test_events_wait_on_the_bus_while_nobody_can_store_them(
    bus: BusService, partner: Partner
) -> None:
    job = await bus.admin.make_job()
    event = {"uuid": job["id"], "name": "update", "token": job["token"]}
    await bus.event_consumer.stop()

    for number in range(50):
        await partner.publish({**event, "id": str(number)})
    before = await bus.names(job)
    await bus.event_consumer.start()
    await until(lambda: _has(bus, job, 51))

    assert before == ["create"]
    assert [entry["id"] for entry in await bus.history(job)][1:] == [str(n) for n in range(50)]


async def test_transitions_are_told_and_updates_are_not(bus: BusService, partner: Partner) -> None:
    job = await bus.admin.make_job(name="align", data={"secret": "of the owner"})
    for name in ("run", "update", "finish", "run"):
        await bus.admin.report(job, name, data={"private": 1})

    heard = [await _next(partner.heard) for _ in range(3)]

    told = [json.loads(message.body) for message in heard]
    assert [message.routing_key for message in heard] == [
        f"pipeline.{state}.{job['id']}" for state in ("CREATED", "RUNNING", "FINISHED")
    ]
    assert [(each["seq"], each["name"], each["outcome"]) for each in told] == [
        (1, "create", None),
        (2, "run", None),
        (4, "finish", "success"),
    ]
    assert all(each["owner"] == "admin" and "data" not in each for each in told)
    assert heard[0].content_type == _JSON
    assert await partner.heard.get(no_ack=True, fail=False) is None


async def test_a_name_with_dots_is_one_word_of_the_topic(bus: BusService, partner: Partner) -> None:
    lifecycle = {
        "name": "lab.align",
        "initial": "to.do",
        "states": {
            "to.do": {"category": "initial"},
            "done": {"category": "ended", "outcome": "success", "final": True},
        },
        "events": {"end": {}},
        "transitions": {"to.do": {"end": "done"}},
    }
    await bus.admin.post("/v1/lifecycles", json=lifecycle)
    job = await bus.admin.make_job(lifecycle="lab.align")

    message = await _next(partner.heard)

    assert message.routing_key == f"lab:align.to:do.{job['id']}"
    assert json.loads(message.body)["lifecycle"] == "lab.align"
    assert json.loads(message.body)["state"] == "to.do"


async def test_the_inlet_goes_on_after_the_broker_was_away(
    own_rabbit: RabbitServer, tmp_path: Path
) -> None:
    async with serving_bus(own_rabbit.url, tmp_path) as bus:
        job = await bus.admin.make_job()
        event = {"uuid": job["id"], "name": "update", "token": job["token"]}
        async with _partner(bus.url) as partner:
            await partner.publish({**event, "id": "before"})
        await until(lambda: _has(bus, job, 2))

        await asyncio.to_thread(own_rabbit.restart)
        async with _partner(bus.url) as partner:
            await partner.publish({**event, "id": "after"})
            await until(lambda: _has(bus, job, 3))
            await bus.admin.report(job, "run", id=str(uuid4()))
            message = await _next(partner.heard)

    assert message.routing_key == f"pipeline.RUNNING.{job['id']}"

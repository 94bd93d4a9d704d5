"""The page about the bus does what it says: its permissions, its client, its examples."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import aio_pika
import pytest
from aio_pika.exceptions import ChannelInvalidStateError, ChannelPreconditionFailed
from aiormq.exceptions import ChannelAccessRefused, ChannelLockedResource

from tests.docs.page import ROOT, Page
from tests.support.bus import BusService, serving_bus
from tests.support.deadlines import until
from tests.support.rabbitmq import RabbitServer, vhost_of

_PAGE = Page(ROOT / "docs" / "how-to" / "bus.md")
_USER = "lab-7"
_REFUSED = (ChannelAccessRefused, ChannelInvalidStateError)
_PATIENCE_S = 90.0


def _blocks(kind: str) -> list[str]:
    return [block.text for block in _PAGE.blocks() if block.kind == kind]


class Guest(NamedTuple):
    """A user of the broker with what the page lets it do."""

    bus: BusService
    url: str


@pytest.fixture
def guest_url(rabbit: RabbitServer) -> Iterator[str]:
    """Let somebody in as the page says; return the URL of that user."""
    url = rabbit.vhost()
    commands = re.findall(r"^rabbitmqctl (.*)$", _blocks("text")[0], re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        words = shlex.split(command)
        rabbit.ctl(*(vhost_of(url) if word == "jobwire" else word for word in words))
    yield url
    rabbit.ctl("delete_user", _USER)
    rabbit.drop_vhost(url)


@pytest.fixture
async def guest(guest_url: str, tmp_path: Path) -> AsyncIterator[Guest]:
    """Yield a service, and what its guest calls it by."""
    parts = urlsplit(guest_url)
    host = f"{_USER}:a-long-password@{parts.hostname}:{parts.port}"
    async with serving_bus(guest_url, tmp_path) as bus:
        yield Guest(bus, urlunsplit(parts._replace(netloc=host)))


async def test_the_client_prints_what_the_page_shows(guest: Guest, tmp_path: Path) -> None:
    job = await guest.bus.admin.make_job(name="align sample 7")
    (program,) = _blocks("python")
    (tmp_path / "client.py").write_text(program)

    client = await asyncio.create_subprocess_exec(
        sys.executable,
        str(tmp_path / "client.py"),
        env={**os.environ, "BUS": guest.url, "JOB": job["id"], "TOKEN": job["token"]},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(_PATIENCE_S):
        printed, complained = await client.communicate()

    assert client.returncode == 0, complained.decode()
    shown = [line.rstrip() for line in _blocks("text")[-1].splitlines()]
    assert [line.rstrip() for line in printed.decode().splitlines()] == shown
    assert await guest.bus.names(job) == ["create", "run", "update", "finish"]


@pytest.mark.parametrize("exchange", ["events", "commands", "entries", "signals", "dead"])
async def test_the_guest_may_not_speak_where_the_service_does(guest: Guest, exchange: str) -> None:
    async with await aio_pika.connect(guest.url) as connection:
        channel = await connection.channel()
        foreign = await channel.get_exchange(exchange, ensure=False)

        with pytest.raises(_REFUSED):
            await foreign.publish(aio_pika.Message(b""), "0", mandatory=False)


async def test_the_guest_may_read_no_queue_but_its_own(guest: Guest) -> None:
    async with await aio_pika.connect(guest.url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue("dead.events.in", ensure=False)

        with pytest.raises((*_REFUSED, ChannelLockedResource, ChannelPreconditionFailed)):
            await queue.get(no_ack=True)


async def test_a_guest_can_be_bound_to_some_lifecycles(guest: Guest, rabbit: RabbitServer) -> None:
    (command,) = re.findall(r"`rabbitmqctl (set_topic_permissions [^`]*)`", _PAGE.text)
    words = shlex.split(command)
    await asyncio.to_thread(
        rabbit.ctl, *(vhost_of(guest.url) if word == "jobwire" else word for word in words)
    )

    async with await aio_pika.connect(guest.url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("lab-7.some", exclusive=True)
        await queue.bind("jobs", "align.FINISHED.*")

        with pytest.raises(_REFUSED):
            await queue.bind("jobs", "*.*.*")


async def _is_whole(bus: BusService, job: Any) -> bool:
    return len(await bus.history(job)) == 3


def _examples() -> list[Any]:
    return [json.loads(text) for text in _blocks("json")]


async def test_the_examples_are_events(guest: Guest) -> None:
    job = await guest.bus.admin.make_job()
    plain, cloud, _ = _examples()
    own = {"token": job["token"]}

    async with await aio_pika.connect(guest.url) as connection:
        channel = await connection.channel()
        event_consumer = await channel.get_exchange("events.in", ensure=False)
        for kind, event in (
            ("application/json", {**plain, **own, "uuid": job["id"], "name": "run"}),
            ("application/cloudevents+json", {**cloud, **own, "subject": job["id"], "id": "2"}),
        ):
            body = json.dumps(event).encode()
            await event_consumer.publish(aio_pika.Message(body, content_type=kind), "any")
        await until(lambda: _is_whole(guest.bus, job))

    assert await guest.bus.names(job) == ["create", "run", "finish"]

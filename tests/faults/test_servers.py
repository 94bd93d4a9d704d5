"""The real servers that the tests use: they serve, fail when they are told to, and are gone."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from urllib.parse import urlsplit

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractQueue
from pymongo import MongoClient
from pymongo.errors import NetworkTimeout

from tests.support.containers import Container
from tests.support.daemons import Daemon
from tests.support.deadlines import PATIENCE_S, until
from tests.support.given import empty, with_database
from tests.support.interrupts import IGNORING
from tests.support.mongodb import MongoServer, connected, drop_database
from tests.support.ports import free_port
from tests.support.rabbitmq import RabbitServer, vhost_of
from tests.support.servers import ServerMissing, answers, await_ready, serving

_ROOT = Path(__file__).parents[2]

#: Nothing that waits for a paused server may come back within this time.
_SILENCE_S = 0.3

#: A new quorum queue survives a crash of its node after this time.
_SETTLED_S = 3.0


async def _queue(channel: AbstractChannel, name: str = "letters") -> AbstractQueue:
    return await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})


async def _send(channel: AbstractChannel, body: bytes, queue: str = "letters") -> None:
    message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    await channel.default_exchange.publish(message, queue, timeout=60)


async def test_each_virtual_host_is_empty_and_knows_no_other(rabbit: RabbitServer) -> None:
    first, second = rabbit.vhost(), rabbit.vhost()

    async with await aio_pika.connect(first) as connection:
        await _queue(await connection.channel())

        assert await asyncio.to_thread(rabbit.queues, first) == [{"name": "letters"}]
        assert await asyncio.to_thread(rabbit.queues, second) == []
    for url in (first, second):
        rabbit.drop_vhost(url)


async def test_a_virtual_host_that_was_dropped_is_gone_once_more_are_made(
    rabbit: RabbitServer,
) -> None:
    dropped = rabbit.vhost()
    rabbit.drop_vhost(dropped)

    urls = [rabbit.vhost() for _ in range(9)]

    vhosts = set(rabbit.ctl("list_vhosts", "--no-table-headers").split())
    assert vhost_of(dropped) not in vhosts
    assert {vhost_of(url) for url in urls} <= vhosts
    for url in urls:
        rabbit.drop_vhost(url)


async def test_a_killed_broker_comes_back_where_it_was_with_all_that_it_confirmed(
    own_rabbit: RabbitServer,
) -> None:
    async with await aio_pika.connect(own_rabbit.url) as connection:
        channel = await connection.channel()
        await _queue(channel)
        await _send(channel, b"kept")
        # A queue that is younger at the crash never finds its leader again in RabbitMQ 3.10.
        await asyncio.sleep(_SETTLED_S)
        closed = asyncio.Event()
        connection.close_callbacks.add(lambda *_: closed.set())

        own_rabbit.kill()

        await asyncio.wait_for(closed.wait(), PATIENCE_S)
    assert not own_rabbit.is_running
    assert not answers(own_rabbit.port)
    await asyncio.to_thread(own_rabbit.start)
    async with await aio_pika.connect(own_rabbit.url) as connection:
        queue = await _queue(await connection.channel())
        kept = await queue.get(timeout=40)
        assert kept is not None
        assert kept.body == b"kept"


async def test_a_paused_broker_answers_once_it_goes_on(
    rabbit: RabbitServer, broker_url: str
) -> None:
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel()
        await _queue(channel)

        rabbit.pause()
        sending = asyncio.create_task(_send(channel, b"late"))
        done, _ = await asyncio.wait([sending], timeout=_SILENCE_S)
        rabbit.resume()

        assert done == set()
        await sending


async def test_a_memory_alarm_blocks_whoever_publishes(
    rabbit: RabbitServer, broker_url: str
) -> None:
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel()
        await _queue(channel)

        await asyncio.to_thread(rabbit.memory_alarm, on=True)
        sending = asyncio.create_task(_send(channel, b"late"))
        done, _ = await asyncio.wait([sending], timeout=_SILENCE_S)
        await asyncio.to_thread(rabbit.memory_alarm, on=False)

        assert done == set()
        await sending


async def test_an_administrator_closes_all_connections(
    rabbit: RabbitServer, broker_url: str
) -> None:
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel()
        reasons: asyncio.Queue[BaseException | None] = asyncio.Queue()
        channel.close_callbacks.add(lambda _, reason: reasons.put_nowait(reason))

        await asyncio.to_thread(rabbit.close_connections, "for the test")

        assert "for the test" in str(await asyncio.wait_for(reasons.get(), PATIENCE_S))


async def test_a_deleted_queue_is_gone_with_what_it_holds(
    rabbit: RabbitServer, broker_url: str
) -> None:
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel()
        await _queue(channel)
        await _send(channel, b"lost")

        await asyncio.to_thread(rabbit.delete_queue, broker_url, "letters")

        assert (await _queue(channel)).declaration_result.message_count == 0


async def test_a_given_virtual_host_is_emptied(
    rabbit: RabbitServer, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBWIRE_TEST_RABBITMQ_API", await asyncio.to_thread(rabbit.start_api))
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel()
        await _queue(channel, "letters/to #all")
        await channel.declare_exchange("letters")

        await asyncio.to_thread(empty, broker_url)

        listing = ("list_exchanges", "--vhost", vhost_of(broker_url), "--no-table-headers", "name")
        assert await asyncio.to_thread(rabbit.queues, broker_url) == []
        assert "letters" not in await asyncio.to_thread(rabbit.ctl, *listing)


def test_a_given_broker_that_cannot_be_emptied_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JOBWIRE_TEST_RABBITMQ_API", f"http://127.0.0.1:{free_port()}")

    with pytest.raises(AssertionError, match="rabbitmq_management"):
        empty("amqp://127.0.0.1/tests")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("mongodb://h:1/?replicaSet=r", "mongodb://h:1/mine?replicaSet=r"),
        ("mongodb://h:1,i:2/other", "mongodb://h:1,i:2/mine"),
        ("mongodb://u:p@h/other", "mongodb://u:p@h/mine?authSource=other"),
        ("mongodb://u:p@h", "mongodb://u:p@h/mine?authSource=admin"),
        ("mongodb://u:p@h/x?authSource=y", "mongodb://u:p@h/mine?authSource=y"),
    ],
)
def test_a_given_server_gets_a_database_for_the_test(given: str, expected: str) -> None:
    assert with_database(given, "mine") == expected


def test_a_killed_database_comes_back_with_all_that_it_confirmed(own_mongo: MongoServer) -> None:
    url = own_mongo.database()
    client: MongoClient[dict[str, int]] = MongoClient(url, w="majority", journal=True)
    with client:
        client.get_default_database()["jobs"].insert_one({"number": 7})

    own_mongo.kill()
    assert not answers(own_mongo.ports[0])
    own_mongo.start()

    client = MongoClient(url)
    with client:
        [found] = client.get_default_database()["jobs"].find()
    assert found["number"] == 7


def test_a_paused_database_is_silent_until_it_goes_on(mongo: MongoServer) -> None:
    [port] = mongo.ports
    with connected(port, _SILENCE_S) as client:
        client.admin.command("ping")

        mongo.pause()
        with pytest.raises(NetworkTimeout):
            client.admin.command("ping")
        mongo.resume()

        assert client.admin.command("ping")["ok"]


def test_a_lonely_primary_that_steps_down_is_back_after_that_time(mongo: MongoServer) -> None:
    [port] = mongo.ports

    begin = time.monotonic()
    mongo.step_down(for_s=1)
    with connected(port) as client:
        is_primary = client.admin.command("hello")["isWritablePrimary"]
    mongo.primary()

    assert not is_primary
    assert time.monotonic() - begin >= 0.9


def test_of_three_another_one_takes_over(mongo_set: MongoServer) -> None:
    first = mongo_set.primary()
    mongo_set.step_down()
    second = mongo_set.primary()
    mongo_set.kill()
    third = mongo_set.primary()

    assert first != second != third


def test_a_dropped_database_is_gone(mongo: MongoServer) -> None:
    url = mongo.database()
    client: MongoClient[dict[str, int]] = MongoClient(url)
    with client:
        name = client.get_default_database().name
        client[name]["jobs"].insert_one({"number": 1})

        drop_database(url)

        assert name not in client.list_database_names()


async def test_a_server_ends_with_tests_that_were_killed(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import pathlib, signal, tests.support.daemons
        daemon = tests.support.daemons.Daemon(("sleep", "600"), pathlib.Path())
        daemon.start()
        print(daemon.pid, flush=True)
        signal.pause()
    """)
    tests = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert tests.stdout is not None
    pid = int(await tests.stdout.readline())

    tests.kill()
    await tests.wait()

    await until(lambda: _is_gone(pid))


def _is_gone(pid: int) -> bool:
    """Return whether a process has ended; one that nobody has waited for may still be listed."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_server_that_does_not_start_shows_what_it_printed(tmp_path: Path) -> None:
    daemon = Daemon(("sh", "-c", "echo out of luck; exit 3"), tmp_path)
    daemon.start()

    with pytest.raises(AssertionError, match="out of luck"):
        await_ready(daemon, lambda: False)

    daemon.close()


def _not_ready() -> RabbitServer:
    raise ServerMissing("NO RABBITMQ: install it")


def test_a_missing_server_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)

    with pytest.raises(pytest.skip.Exception, match="NO RABBITMQ"), serving(_not_ready):
        pass


def test_a_missing_server_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")

    with pytest.raises(pytest.fail.Exception, match="NO RABBITMQ"), serving(_not_ready):
        pass


def test_where_nothing_is_installed_the_text_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(ServerMissing, match="apt-get install rabbitmq-server"):
        RabbitServer()


def test_what_was_skipped_is_said_aloud(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "from tests.conftest import pytest_terminal_summary as pytest_terminal_summary\n"
    )
    (tmp_path / "test_it.py").write_text(
        textwrap.dedent("""
            import pytest

            @pytest.fixture(scope="session")
            def server():
                pytest.skip("NO RABBITMQ: install it")

            @pytest.mark.parametrize("number", range(3))
            def test_it(server, number):
                raise AssertionError
        """)
    )

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--rootdir", str(tmp_path), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "3 SKIPPED - NO RABBITMQ: install it\n" in done.stdout


def test_a_container_is_driven_by_docker_compose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\nshift 5\necho "$JOBWIRE_PORT $*" >>{log}\necho container\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    container = Container("rabbitmq", JOBWIRE_PORT=25_000)
    container.start()
    container.pause()
    container.resume()
    container.kill()
    container.run("rabbitmqctl", "status")
    container.close()

    commands = [line.removeprefix("25000 ") for line in log.read_text().splitlines()]
    assert commands == [
        "up --detach --no-recreate rabbitmq",
        "pause rabbitmq",
        "unpause rabbitmq",
        "ps --quiet --status running rabbitmq",
        "kill rabbitmq",
        "exec -T rabbitmq rabbitmqctl status",
        "down --volumes",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_services_run_until_they_are_interrupted(number: signal.Signals) -> None:
    # Also when a shell has started them in the background, where SIGINT is ignored.
    services = await asyncio.create_subprocess_exec(
        *(*IGNORING, sys.executable, "-m", "tests.support.services"),
        cwd=_ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert services.stdout is not None
        lines = [(await services.stdout.readline()).decode().strip() for _ in range(5)]
        urls = dict(line.split("=", 1) for line in lines)
        async with await aio_pika.connect(urls["JOBWIRE_TEST_RABBITMQ"]):
            pass
        client: MongoClient[dict[str, int]] = MongoClient(urls["JOBWIRE_DATABASE__URL"])
        with client:
            client.get_default_database()["jobs"].insert_one({"number": 1})
            ports = [client.address[1] if client.address else 0]
        ports.append(urlsplit(urls["JOBWIRE_BROKER__URL"]).port or 0)

        services.send_signal(number)

        assert await asyncio.wait_for(services.wait(), 60) == 0
        assert not any(answers(port) for port in ports)
    finally:
        if services.returncode is None:
            services.kill()
            await services.communicate()

"""The link that fault tests cut: what each of its faults looks like from both ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from tests.support.deadlines import turns, until
from tests.support.proxy import FaultyProxy
from tests.support.stopwatch import Stopwatch


@pytest.fixture(name="link")
async def _link() -> AsyncIterator[FaultyProxy]:
    """Yield a link to a server that says everything again."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(1_000):
                writer.write(piece)
            writer.write_eof()
        except ConnectionResetError:
            pass
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with FaultyProxy("127.0.0.1", port) as link:
        yield link
    server.close()
    await server.wait_closed()
    await turns()


class Caller:
    """One connection to the link."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def says(self, words: bytes) -> bytes:
        """Send words; return what comes back."""
        self.writer.write(words)
        return await self.reader.readexactly(len(words))


@pytest.fixture(name="caller")
async def _caller(link: FaultyProxy) -> AsyncIterator[Caller]:
    """Yield an open connection."""
    caller = Caller(*await asyncio.open_connection("127.0.0.1", link.port))
    yield caller
    caller.writer.close()


async def test_a_link_forwards_both_ways_to_the_end(link: FaultyProxy, caller: Caller) -> None:
    heard = await caller.says(b"hello")
    caller.writer.write_eof()
    rest = await caller.reader.read()

    assert (heard, rest) == (b"hello", b"")
    assert link.forwarded == 10
    await until(lambda: link.connections == 0)


async def test_a_cut_link_resets_open_connections_and_new_ones_until_it_is_healed(
    link: FaultyProxy, caller: Caller
) -> None:
    await caller.says(b"hello")

    link.cut()

    with pytest.raises(ConnectionResetError):
        await caller.reader.read()
    late = Caller(*await asyncio.open_connection("127.0.0.1", link.port))
    with pytest.raises(ConnectionResetError):
        await late.reader.read()
    link.heal()
    healed = Caller(*await asyncio.open_connection("127.0.0.1", link.port))
    assert await healed.says(b"again") == b"again"
    for connection in (late, healed):
        connection.writer.close()


async def test_a_black_hole_keeps_connections_and_swallows_everything_until_it_is_healed(
    link: FaultyProxy, caller: Caller
) -> None:
    await caller.says(b"hello")

    link.swallow()
    late = Caller(*await asyncio.open_connection("127.0.0.1", link.port))
    waiting = [asyncio.create_task(each.says(b"anyone?")) for each in (caller, late)]
    done, _ = await asyncio.wait(waiting, timeout=0.2)

    assert done == set()
    assert link.forwarded == 10
    link.heal()
    assert await asyncio.gather(*waiting) == [b"anyone?", b"anyone?"]
    late.writer.close()


async def test_a_black_hole_tells_nobody_that_the_other_side_has_gone(
    link: FaultyProxy, caller: Caller
) -> None:
    await caller.says(b"hello")

    link.swallow()
    caller.writer.write_eof()
    ending = asyncio.create_task(caller.reader.read())
    done, _ = await asyncio.wait([ending], timeout=0.2)

    assert done == set()
    link.heal()
    assert await ending == b""


async def test_a_cut_also_ends_what_came_into_a_black_hole(link: FaultyProxy) -> None:
    link.swallow()
    late = Caller(*await asyncio.open_connection("127.0.0.1", link.port))
    await until(lambda: link.connections == 1)

    link.cut()

    with pytest.raises(ConnectionResetError):
        await late.reader.read()
    late.writer.close()


async def test_a_slow_link_delays_each_way(link: FaultyProxy, caller: Caller) -> None:
    link.slow(0.5)

    begin = time.monotonic()
    await caller.says(b"hello")
    slow_s = time.monotonic() - begin
    link.heal()
    watch = Stopwatch()
    await caller.says(b"hello")

    assert slow_s >= 1.0
    assert watch.seconds < 0.5


async def test_a_link_to_nobody_resets_its_callers() -> None:
    async with FaultyProxy("127.0.0.1", 1) as link:
        caller = Caller(*await asyncio.open_connection("127.0.0.1", link.port))

        with pytest.raises(ConnectionResetError):
            await caller.reader.read()

        caller.writer.close()


async def test_a_url_leads_through_the_link(link: FaultyProxy) -> None:
    through = link.through("amqp://guest:p%40ss@broker:5672/jobs?heartbeat=10")

    assert through == f"amqp://guest:p%40ss@127.0.0.1:{link.port}/jobs?heartbeat=10"

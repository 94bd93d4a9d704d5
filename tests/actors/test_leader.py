"""Roles: one process at a time does the work, another takes over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from jobwire.actors.roles import leader
from jobwire.actors.roles.leader import LeaderRole
from jobwire.actors.stores.sqlite import SqliteStore
from jobwire.schemas.errors import Unavailable
from tests.support.deadlines import turns, until


class Worker:
    """An actor that remembers whether it runs."""

    name = "worker"

    def __init__(self, log: list[str], holder: str) -> None:
        """Write starts and stops into a log."""
        self.log = log
        self.holder = holder
        self.trouble: str | None = None
        self.fails = False
        self.end: asyncio.Event | None = None
        self.begin: asyncio.Event | None = None

    async def start(self) -> None:
        """Start, or fail."""
        if self.fails:
            self.fails = False
            raise Unavailable("its tools are away")
        if self.begin is not None:
            await self.begin.wait()
        self.log.append(f"{self.holder} starts")

    async def stop(self) -> None:
        """Stop; when it is let, if somebody waits for that."""
        if self.end is not None:
            await self.end.wait()
        self.log.append(f"{self.holder} stops")

    def not_ready(self) -> str | None:
        """Return what is wrong."""
        return self.trouble


class Bench:
    """Two processes that want one role."""

    def __init__(self, store: SqliteStore) -> None:
        """Make them."""
        self.store = store
        self.log: list[str] = []
        self.workers: dict[str, Worker] = {}
        self.failing = ""
        self.a, self.b = (
            LeaderRole(self._maker(holder), store, "worker", holder) for holder in ("a", "b")
        )

    async def lose(self, holder: str) -> None:
        """Let a lease run out before its time."""
        await self.store.release("worker", holder)

    def _maker(self, holder: str) -> Callable[[], Worker]:
        def make() -> Worker:
            worker = self.workers[holder] = Worker(self.log, holder)
            worker.fails, self.failing = holder == self.failing, ""
            return worker

        return make


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leader, "RENEW_S", 0.05)
    # So long that nobody loses it by being slow; a test that needs it gone gives it back.
    monkeypatch.setattr(leader, "LEASE_S", 600.0)


@pytest.fixture
async def bench(store: SqliteStore) -> AsyncIterator[Bench]:
    """Yield two processes; neither has begun."""
    made = Bench(store)
    yield made
    await made.a.stop()
    await made.b.stop()


async def test_the_first_does_the_work_and_the_second_stands_by(bench: Bench) -> None:
    before = bench.a.not_ready()
    await bench.a.start()
    await until(lambda: bench.log == ["a starts"])
    await bench.b.start()
    await until(lambda: bench.b.not_ready() is None)  # it has asked, and stands by

    assert bench.log == ["a starts"]
    assert before is not None
    assert (bench.a.not_ready(), bench.b.not_ready()) == (None, None)


async def test_when_the_first_stops_the_second_takes_over_at_once(bench: Bench) -> None:
    await bench.a.start()
    await until(lambda: bench.log == ["a starts"])
    await bench.b.start()

    await bench.a.stop()
    await until(lambda: bench.log == ["a starts", "a stops", "b starts"])


async def test_when_the_first_stands_still_the_second_takes_over_and_the_first_gives_way(
    bench: Bench,
) -> None:
    await bench.a.start()
    await until(lambda: bench.log == ["a starts"])
    await bench.b.start()

    await bench.a._loop.stop()
    await bench.lose("a")
    await until(lambda: "b starts" in bench.log)
    bench.a._loop.start()  # it wakes
    await until(lambda: bench.log == ["a starts", "b starts", "a stops"])

    assert bench.a.not_ready() is None


async def test_what_does_its_work_says_itself_what_it_lacks(bench: Bench) -> None:
    await bench.a.start()
    await until(lambda: bench.log == ["a starts"])
    bench.workers["a"].trouble = "its tools"

    assert bench.a.not_ready() == "its tools"


async def test_a_start_that_fails_is_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader, "LEASE_S", 0.2)  # so long it leaves the role alone
    bench.failing = "a"

    await bench.a.start()
    await until(lambda: bench.log == ["a stops", "a starts"])

    assert bench.a.not_ready() is None


async def test_who_cannot_start_says_so_and_leaves_the_role_to_who_can(bench: Bench) -> None:
    bench.failing = "a"

    await bench.a.start()
    await until(lambda: bench.log == ["a stops"])
    await until(lambda: bench.a.not_ready() == "worker: its tools are away")
    await bench.b.start()
    await until(lambda: bench.log == ["a stops", "b starts"])
    bench.a._pauses_until = 0.0  # it has left the role alone for long enough
    await until(lambda: bench.a.not_ready() is None)  # it has asked, and stands by

    assert bench.log == ["a stops", "b starts"]
    assert (bench.a.not_ready(), bench.b.not_ready()) == (None, None)


async def test_a_fault_at_the_start_is_treated_alike(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Worker:
        raise RuntimeError

    monkeypatch.setattr(bench.a, "_make", broken)

    await bench.a.start()
    await until(lambda: bench.a.not_ready() == "worker: it cannot start; the log says why")
    await bench.b.start()

    await until(lambda: bench.log == ["b starts"])


async def test_a_process_that_stops_while_it_loses_the_role_still_stops_the_work(
    bench: Bench,
) -> None:
    await bench.a.start()
    await until(lambda: bench.log == ["a starts"])
    bench.workers["a"].end = end = asyncio.Event()
    await bench.a._loop.stop()
    await bench.lose("a")
    await bench.b.start()
    await until(lambda: "b starts" in bench.log)
    bench.a._loop.start()  # it wakes, and sees that it has to give way
    await until(lambda: not bench.a._is_running)

    stopping = asyncio.ensure_future(bench.a.stop())
    await turns(100)
    was_done = stopping.done()
    end.set()
    await stopping

    assert not was_done
    assert bench.log == ["a starts", "b starts", "a stops"]


async def test_a_process_that_stops_while_it_starts_the_work_gives_the_role_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Worker(bench.log, "a")
    slow.begin = asyncio.Event()
    monkeypatch.setattr(bench.a, "_make", lambda: slow)
    await bench.a.start()
    await until(lambda: bench.a._actor is slow)

    await bench.a.stop()
    await bench.b.start()

    await until(lambda: bench.log == ["a stops", "b starts"])


async def test_an_end_that_fails_is_repeated_before_the_role_is_asked_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.a.start()
    await until(lambda: bench.log == ["a starts"])
    first = bench.workers["a"]
    stop, tries = first.stop, list[int]()

    async def fail_once() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError
        await stop()

    monkeypatch.setattr(first, "stop", fail_once)
    await bench.a._loop.stop()
    await bench.lose("a")
    await bench.store.claim("worker", "c", 0.2)
    bench.a._loop.start()

    await until(lambda: bench.log == ["a starts", "a stops", "a starts"])
    assert bench.workers["a"] is not first


async def test_without_the_store_the_work_goes_on_until_another_may_have_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.a.start()
    await until(lambda: bench.log == ["a starts"])

    async def away(*_: object) -> None:
        raise Unavailable("the store is away")

    with monkeypatch.context() as patched:
        patched.setattr(bench.store, "claim", away)
        await until(lambda: bench.a.not_ready() is not None)
        goes_on = list(bench.log)
        missing = bench.a.not_ready()
        bench.a._held_until = 0.0  # its lease has run out
        await until(lambda: bench.log == ["a starts", "a stops"])
    await until(lambda: bench.log == ["a starts", "a stops", "a starts"])

    assert goes_on == ["a starts"]
    assert missing is not None
    assert "the store is away" in missing

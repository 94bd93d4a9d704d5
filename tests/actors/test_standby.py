"""Roles: one process at a time does the work, another takes over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from actors.operations import standby
from actors.operations.standby import Standby
from actors.stores.sqlite import SqliteStore
from schemas.errors import Unavailable
from tests.support.deadlines import until


class Worker:
    """An actor that remembers whether it runs."""

    name = "worker"

    def __init__(self, log: list[str], holder: str) -> None:
        """Write starts and stops into a log."""
        self.log = log
        self.holder = holder
        self.trouble: str | None = None
        self.fails = False

    async def start(self) -> None:
        """Start, or fail."""
        if self.fails:
            self.fails = False
            raise Unavailable
        self.log.append(f"{self.holder} starts")

    async def stop(self) -> None:
        """Stop."""
        self.log.append(f"{self.holder} stops")

    def missing(self) -> str | None:
        """Say what is wrong."""
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
            Standby(self._maker(holder), store, "worker", holder) for holder in ("a", "b")
        )

    def _maker(self, holder: str) -> Callable[[], Worker]:
        def make() -> Worker:
            worker = self.workers[holder] = Worker(self.log, holder)
            worker.fails, self.failing = holder == self.failing, ""
            return worker

        return make


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standby, "RENEW_S", 0.05)
    monkeypatch.setattr(standby, "LEASE_S", 0.4)


@pytest.fixture
async def bench(store: SqliteStore) -> AsyncIterator[Bench]:
    """Give two processes; neither has begun."""
    made = Bench(store)
    yield made
    await made.a.stop()
    await made.b.stop()


async def test_the_first_does_the_work_and_the_second_stands_by(bench: Bench) -> None:
    before = bench.a.missing()
    await bench.a.start()
    await until(lambda: bench.log == ["a starts"])
    await bench.b.start()
    await asyncio.sleep(0.3)

    assert bench.log == ["a starts"]
    assert before is not None
    assert (bench.a.missing(), bench.b.missing()) == (None, None)


async def test_when_the_first_stops_the_second_takes_over_at_once(bench: Bench) -> None:
    await bench.a.start()
    await until(lambda: bench.log == ["a starts"])
    await bench.b.start()

    await bench.a.stop()
    await until(lambda: bench.log == ["a starts", "a stops", "b starts"], 0.3)


async def test_when_the_first_stands_still_the_second_takes_over_and_the_first_gives_way(
    bench: Bench,
) -> None:
    await bench.a.start()
    await until(lambda: bench.log == ["a starts"])
    await bench.b.start()

    await bench.a._loop.stop()
    await until(lambda: "b starts" in bench.log)
    bench.a._loop.start()  # it wakes
    await until(lambda: bench.log == ["a starts", "b starts", "a stops"])

    assert bench.a.missing() is None


async def test_what_does_its_work_says_itself_what_it_lacks(bench: Bench) -> None:
    await bench.a.start()
    await until(lambda: bench.log == ["a starts"])
    bench.workers["a"].trouble = "its tools"

    assert bench.a.missing() == "its tools"


async def test_a_start_that_fails_is_tried_again(bench: Bench) -> None:
    bench.failing = "a"

    await bench.a.start()
    await until(lambda: bench.log == ["a stops", "a starts"])


async def test_without_the_store_the_work_goes_on_until_another_may_have_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.a.start()
    await until(lambda: bench.log == ["a starts"])

    async def away(*_: object) -> None:
        raise Unavailable("the store is away")

    with monkeypatch.context() as patched:
        patched.setattr(bench.store, "claim", away)
        await asyncio.sleep(0.15)
        goes_on = list(bench.log)
        missing = bench.a.missing()
        await until(lambda: bench.log == ["a starts", "a stops"])
    await until(lambda: bench.log == ["a starts", "a stops", "a starts"])

    assert goes_on == ["a starts"]
    assert missing is not None
    assert "the store is away" in missing

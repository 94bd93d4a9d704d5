"""How many tries an endpoint gets at a time."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from jobwire.actors.notifier.breaker import FAILING, Breaker
from tests.support.factories import NOW, after


class _Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> object:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def _breaker(clock: _Clock, *, parallel: int = 8, each: int = 2) -> Breaker:
    return Breaker(parallel=parallel, each=each, clock=clock)  # type: ignore[arg-type]


def _fail(breaker: Breaker, endpoint: str, count: int = FAILING) -> None:
    for _ in range(count):
        assert breaker.acquire(endpoint)
        breaker.release(endpoint, failures=1)


def test_an_endpoint_gets_so_many_tries_and_all_together_so_many() -> None:
    breaker = _breaker(_Clock(), parallel=3, each=2)

    assert [breaker.acquire("a") for _ in range(3)] == [True, True, False]
    assert breaker.blocked().endpoints == {"a"}
    assert [breaker.acquire("b") for _ in range(2)] == [True, False]
    assert (breaker.free, breaker.in_flight) == (0, 3)


def test_the_end_of_a_try_says_whether_somebody_waited_for_it() -> None:
    breaker = _breaker(_Clock(), parallel=3, each=2)
    breaker.acquire("a")
    assert not breaker.release("a", failures=0)
    breaker.acquire("a")
    breaker.acquire("a")
    assert breaker.release("a", failures=0)
    breaker.acquire("b")
    breaker.acquire("b")
    assert breaker.release("a", failures=0)


def test_an_endpoint_that_keeps_failing_rests_and_then_gets_one_try_at_a_time() -> None:
    clock = _Clock()
    breaker = _breaker(clock)
    _fail(breaker, "a")

    assert breaker.is_blocked("a")
    assert not breaker.acquire("a")
    assert breaker.paused_until() == after(0.1)
    clock.forward(0.1)
    assert [breaker.acquire("a") for _ in range(2)] == [True, False]


def test_rests_grow_up_to_a_limit() -> None:
    clock = _Clock()
    breaker = _breaker(clock)
    _fail(breaker, "a")
    for _ in range(40):
        clock.forward(5.0)
        _fail(breaker, "a", 1)

    ends = breaker.paused_until()
    assert ends is not None
    assert (ends - clock.now).total_seconds() == 5.0


def test_a_success_makes_good_for_everything() -> None:
    clock = _Clock()
    breaker = _breaker(clock)
    _fail(breaker, "a")
    clock.forward(1)
    breaker.acquire("a")
    breaker.release("a", failures=0)

    assert not breaker.is_blocked("a")
    assert breaker.paused_until() is None
    assert breaker._endpoints == {}


def test_a_receiver_that_asks_for_time_is_left_alone_until_somebody_insists() -> None:
    breaker = _breaker(_Clock())
    for endpoint in ("a", "b"):
        breaker.acquire(endpoint)
        breaker.release(endpoint, failures=1, pause_s=60.0)
    assert breaker.blocked().endpoints == {"a", "b"}

    breaker.reset("a")
    assert breaker.blocked().endpoints == {"b"}
    breaker.reset(None)
    assert breaker.blocked().endpoints == set()
    breaker.reset("unknown")


def test_endpoints_that_fail_share_half_of_the_tries() -> None:
    clock = _Clock()
    breaker = _breaker(clock, parallel=4)
    for endpoint in "abcd":
        _fail(breaker, endpoint)
    clock.forward(1)

    assert [breaker.acquire(endpoint) for endpoint in "abcd"] == [True, True, False, False]
    assert breaker.acquire("well")
    assert breaker.release("a", failures=1)
    assert breaker.acquire("c")


def test_one_owner_gets_half_of_the_tries_however_many_endpoints_it_has() -> None:
    breaker = _breaker(_Clock(), parallel=4)

    assert [breaker.acquire(f"http://h{n} alice") for n in range(3)] == [True, True, False]
    busy = breaker.blocked()
    assert "http://unknown alice" in busy
    assert "http://h0 bob" not in busy
    assert [breaker.acquire(f"http://h{n} bob") for n in range(2)] == [True, True]
    assert breaker.release("http://h0 alice", failures=0)
    assert "http://unknown alice" not in breaker.blocked()
    breaker.release("http://h1 alice", failures=0)
    assert list(breaker._owners) == ["bob"]


def test_what_is_remembered_is_bounded() -> None:
    breaker = _breaker(_Clock())
    for number in range(10_100):
        _fail(breaker, f"e{number}", 1)

    assert len(breaker._endpoints) <= 10_001


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4)), max_size=200))
def test_nothing_is_ever_miscounted(steps: list[tuple[str, int]]) -> None:
    clock = _Clock()
    breaker = _breaker(clock, parallel=4, each=2)
    in_flight: list[str] = []
    for endpoint, failures in steps:
        clock.forward(0.05)
        if breaker.acquire(endpoint):
            in_flight.append(endpoint)
        elif in_flight:
            breaker.release(in_flight.pop(0), failures=failures)
        failing = [name for name in in_flight if breaker._endpoints[name].failures >= FAILING]
        assert breaker.in_flight == len(in_flight) <= 4
        assert breaker._failing_in_flight == len(failing)

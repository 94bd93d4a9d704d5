"""Named places where tests may strike."""

from __future__ import annotations

import signal

import pytest

from jobwire.actors.runtime.failpoints import arm, arm_from_environment, disarm, failpoint


def test_a_failpoint_does_nothing_until_it_is_armed() -> None:
    passed: list[str] = []
    failpoint("a")

    arm("a", lambda: passed.append("a"))
    failpoint("a")
    failpoint("b")
    disarm()
    failpoint("a")

    assert passed == ["a"]


@pytest.mark.parametrize(
    ("text", "number", "passes"),
    [("a=kill", signal.SIGKILL, 1), ("b=pause@1,a=kill@3", signal.SIGKILL, 3)],
)
def test_the_environment_arms_a_signal_at_the_nth_pass(
    monkeypatch: pytest.MonkeyPatch, text: str, number: signal.Signals, passes: int
) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr("os.kill", lambda pid, signum: sent.append((pid, signum)))
    monkeypatch.setattr("os.getpid", lambda: 42)
    arm_from_environment({"JOBWIRE_FAILPOINTS": text})

    counts = []
    for _ in range(passes + 1):
        failpoint("a")
        counts.append(len(sent))

    assert counts == [0] * (passes - 1) + [1, 1]
    assert sent == [(42, number)]


def test_without_the_variable_nothing_is_armed() -> None:
    arm_from_environment({})

    failpoint("a")

"""
Named places where a test may strike: `failpoint("state.after_commit")`.

Disarmed, a failpoint is one look into an empty dict. The environment arms them for a whole process:
`JOBWIRE_FAILPOINTS="state.after_commit=kill@3"` kills the process, as `kill -9` would, when it
passes that place for the third time; `=pause@3` stops it there. Tests in the same process arm
their own actions.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping

Action = Callable[[], None]

_armed: dict[str, Action] = {}

_SIGNALS = {"kill": signal.SIGKILL, "pause": signal.SIGSTOP}


def failpoint(name: str) -> None:
    """Pass a named place; does nothing unless a test has armed it."""
    if _armed and (action := _armed.get(name)) is not None:
        action()


def arm(name: str, action: Action) -> None:
    """Run an action each time the place is passed."""
    _armed[name] = action


def disarm() -> None:
    """Make every failpoint do nothing again."""
    _armed.clear()


def arm_from_environment(environment: Mapping[str, str]) -> None:
    """
    Arm what `JOBWIRE_FAILPOINTS` names.

    `place=kill@N` or `place=pause@N`, separated by commas.
    """
    for item in filter(None, environment.get("JOBWIRE_FAILPOINTS", "").split(",")):
        place, _, what = item.partition("=")
        verb, _, count = what.partition("@")
        arm(place, _Strike(_SIGNALS[verb], int(count or 1)))


class _Strike:
    """Signals the own process at the n-th pass."""

    def __init__(self, number: signal.Signals, passes: int) -> None:
        self._signal = number
        self._passes = passes

    def __call__(self) -> None:
        self._passes -= 1
        if self._passes == 0:
            os.kill(os.getpid(), self._signal)

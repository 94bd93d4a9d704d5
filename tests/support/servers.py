"""
Real servers of the tests' own: where they are found, and when they are ready.

Every call of a server blocks. A coroutine that must not wait gives it to a thread:
`await asyncio.to_thread(server.restart)`.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol, TypeVar

import pytest

#: Longest time that a server may need to start or to stop, also on a machine that is busy.
PATIENCE_S: Final = 150.0

#: Between two looks whether a server is what it should be.
STEP_S: Final = 0.02

#: A folder whose writes cost nothing: nothing here has to outlive the machine.
_MEMORY: Final = Path("/dev/shm")


class ServerMissing(Exception):
    """Neither found on this machine nor given; the text says what to install."""


class Server(Protocol):
    """What can be started, and must be closed."""

    def start(self) -> None:
        """Start; return when it serves."""

    def close(self) -> None:
        """Leave no process and no file behind."""


Kind = TypeVar("Kind", bound=Server)


class Program(Protocol):
    """What runs a server: a process here, or a container. It keeps its data until `close`."""

    @property
    def is_running(self) -> bool:
        """Whether it lives, paused or not."""

    def start(self) -> None:
        """Start it; return at once."""

    def stop(self) -> None:
        """Ask it to end, as an administrator would, and wait for that."""

    def kill(self) -> None:
        """End it as a power cut would."""

    def pause(self) -> None:
        """Stop it where it is; its connections stay open and silent. Return when it stands."""

    def resume(self) -> None:
        """Let it go on."""

    def close(self) -> None:
        """Leave nothing of it running."""

    def printed(self) -> str:
        """Return what it has printed."""


def await_ready(program: Program, is_ready: Callable[[], bool]) -> None:
    """
    Return when a started program is ready.

    Raises:
        AssertionError: it has ended, or takes too long; with the end of what it printed.

    """
    end = time.monotonic() + PATIENCE_S
    while not is_ready():
        if not program.is_running or time.monotonic() > end:
            raise AssertionError(f"the server does not start: ...{program.printed()[-2_000:]}")
        time.sleep(STEP_S)


def answers(port: int) -> bool:
    """Return whether somebody accepts connections."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def new_folder(kind: str) -> Path:
    """Make a folder for the files of one server: in memory, where there is such a place."""
    base = _MEMORY if _MEMORY.is_dir() else None
    return Path(tempfile.mkdtemp(prefix=f"jobwire-{kind}-", dir=base))


def remove_folder(folder: Path) -> None:
    """Remove the files of a server that has ended."""
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def serving(make: Callable[[], Kind]) -> Iterator[Kind]:
    """Run a server for the tests; where there is none, skip loudly, or fail in CI."""
    try:
        server = make()
    except ServerMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    try:
        server.start()
        yield server
    finally:
        server.close()

"""Ports for servers that are started by tests, benchmarks and examples: none is given twice."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from threading import Lock
from typing import Final

#: Below the ports that systems give to outgoing connections and to those who ask for any port, so
#: that nobody else gets the port of a server before it listens or while it is down.
_FIRST: Final = 20_000
#: A process takes a whole block at a time: one open socket keeps it, not one for each port.
_BLOCK: Final = 100
_BLOCKS: Final = 100

_LOCK: Final = Lock()


def free_port() -> int:
    """
    Return a port on which nobody listens, and which no other call returns while this process lives.

    Raises:
        AssertionError: none is left.

    """
    with _LOCK:
        port = next(filter(_is_free, _ports(os.getpid())), None)
    assert port is not None, "no port is free"
    return port


@cache
def _ports(_pid: int) -> Iterator[int]:
    """Return the ports of one process: a child has its own."""
    return _own_ports()


def _own_ports() -> Iterator[int]:
    # Tests are seeded, and two runs at once must not look at the same blocks first.
    for block in random.SystemRandom().sample(range(_BLOCKS), k=_BLOCKS):
        first = _FIRST + block * _BLOCK
        if _keep(first):
            yield from range(first + 1, first + _BLOCK)


def _keep(port: int) -> bool:
    """Bind a port until this process ends; say whether nobody else has it."""
    keeper = socket.socket()
    try:
        keeper.bind(("127.0.0.1", port))
    except OSError:
        keeper.close()
        return False
    keeper.detach()  # stays open: the end of the process closes it
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False

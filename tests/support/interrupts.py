"""
Signals that end a program, for programs that a shell started in the background or under nohup.

Such a program finds SIGINT ignored, Python then leaves it so, and every program that it starts
inherits that.
"""

from __future__ import annotations

import signal
from typing import Final

#: Put before a command, runs it as a shell does in the background: with SIGINT ignored.
IGNORING: Final = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")


def end_by_signals() -> None:
    """
    Make SIGINT and SIGTERM raise KeyboardInterrupt, whatever was inherited.

    Programs that are started from now on get the default of both.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def ignore_signals() -> None:
    """Let neither SIGINT nor SIGTERM break off what is left to do before the end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)

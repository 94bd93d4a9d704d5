"""Runs a command as somebody at a terminal would see it, wherever the output goes."""

from __future__ import annotations

import os
import subprocess
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path


def run_on_terminal(
    command: Sequence[str | Path], environment: Mapping[str, str]
) -> tuple[str, int]:
    """Return what a command prints on a terminal, and its exit code."""
    ours, its = os.openpty()
    modes = termios.tcgetattr(its)
    modes[1] &= ~termios.OPOST
    termios.tcsetattr(its, termios.TCSANOW, modes)
    process = subprocess.Popen(command, stdout=its, stderr=its, env=dict(environment))
    os.close(its)
    printed = b""
    try:
        while part := os.read(ours, 65_536):
            printed += part
    except OSError:
        pass  # Linux says so when the other end was closed
    os.close(ours)
    return printed.decode(), process.wait()

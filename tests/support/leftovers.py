"""Ends the jobs that a stopped service has left running, as it should: a test leaves none."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path


def end_jobs(folder: Path) -> None:
    """Kill every process that works below a folder."""
    below = f"{folder.resolve()}/"
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "cwd").readlink().as_posix().startswith(below):
                os.kill(int(entry.name), signal.SIGKILL)

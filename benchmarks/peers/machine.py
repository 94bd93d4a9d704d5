"""The machine on which it was measured, for whoever reads the figures elsewhere."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import tempfile
import time
from typing import Final

_FLUSHES: Final = 50


def describe() -> dict[str, str]:
    """Return what the figures depend on."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processors": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "flush_ms": f"{_flush_s() * 1e3:.2f}",
    }


def _flush_s() -> float:
    """Return how long a flush of a small write takes, in the folder where all of this writes."""
    times = []
    with tempfile.TemporaryFile() as file:
        for _ in range(_FLUSHES):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times)

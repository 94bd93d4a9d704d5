"""What a module writes into the log, for tests about that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs


@contextmanager
def log_lines(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Collect the lines of a module, which tests otherwise drop."""
    monkeypatch.setattr(module, "_log", structlog.get_logger())
    structlog.reset_defaults()
    with capture_logs() as lines:
        yield lines

"""What all tests share: silence, a store on disk, and a whole service."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from actors.runtime import failpoints
from actors.stores.sqlite import SqliteStore
from tests.support.service import Service, running

settings.register_profile(
    "jobwire",
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    database=None,
)
settings.load_profile("jobwire")


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    """Drop log lines, and leave no failpoint armed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()
    failpoints.disarm()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """Give an open store on a file of its own."""
    opened = SqliteStore(tmp_path / "jobwire.db")
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """Give a running service with a data folder of its own."""
    async with running(tmp_path / "data") as service:
        yield service

"""What all tests share: silence, a store on disk, a whole service, and real servers."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from jobwire.actors.runtime import failpoints
from jobwire.actors.stores.sqlite import SqliteStore
from tests.support.given import empty, given_broker, given_database, with_database
from tests.support.interrupts import end_by_signals
from tests.support.mongodb import MongoServer, drop_database, new_database
from tests.support.rabbitmq import RabbitServer
from tests.support.servers import serving
from tests.support.service import Service, running

#: A test that uses one of these needs a real server.
_SERVERS = {"rabbit", "own_rabbit", "broker_url", "mongo", "own_mongo", "mongo_set", "database_url"}

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
    """Yield an open store on a file of its own."""
    opened = SqliteStore(tmp_path / "jobwire.db")
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """Yield a running service with a data folder of its own."""
    async with running(tmp_path / "data") as service:
        yield service


@pytest.fixture(scope="session")
def rabbit() -> Iterator[RabbitServer]:
    """Yield the broker that all tests share; whoever breaks one takes `own_rabbit`."""
    with serving(RabbitServer) as server:
        yield server


@pytest.fixture
def own_rabbit() -> Iterator[RabbitServer]:
    """Yield a broker that this test may break."""
    with serving(RabbitServer) as server:
        yield server


@pytest.fixture
def broker_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the URL of an empty virtual host."""
    if given := given_broker():
        empty(given)
        yield given
        return
    rabbit: RabbitServer = request.getfixturevalue("rabbit")
    url = rabbit.vhost()
    yield url
    rabbit.drop_vhost(url)


@pytest.fixture(scope="session")
def mongo() -> Iterator[MongoServer]:
    """Yield the database server that all tests share; whoever breaks one takes `own_mongo`."""
    with serving(MongoServer) as server:
        yield server


@pytest.fixture
def own_mongo() -> Iterator[MongoServer]:
    """Yield a database server that this test may break."""
    with serving(MongoServer) as server:
        yield server


@pytest.fixture
def mongo_set() -> Iterator[MongoServer]:
    """Yield a database server of three members that this test may break."""
    with serving(partial(MongoServer, members=3)) as server:
        yield server


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the URL of a database that is empty, and is dropped at the end."""
    if given := given_database():
        url = with_database(given, new_database())
    else:
        mongo: MongoServer = request.getfixturevalue("mongo")
        url = mongo.database()
    yield url
    drop_database(url)


def pytest_configure() -> None:
    """Clean up at the end by a signal, too; what is started here gets the default of both."""
    end_by_signals()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need a real server."""
    for item in items:
        if isinstance(item, pytest.Function) and _SERVERS & set(item.fixturenames):
            item.add_marker("servers")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print, once for each reason, why tests were skipped."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    for reason, tests in sorted(reasons.items()):
        terminalreporter.write_line(f"{tests} SKIPPED - {reason}", yellow=True, bold=True)

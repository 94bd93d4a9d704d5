"""A shell with a data folder; with a service on it, or without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.console import Console


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Console]:
    """Yield a shell with an empty data folder on which nothing runs."""
    console = Console(tmp_path / "data")
    yield console
    console.close()


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """Yield a shell with a running service that the tests of a module share."""
    console = Console(tmp_path_factory.mktemp("shell") / "data")
    console.up()
    yield console
    console.close()

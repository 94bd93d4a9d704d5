"""Makes the modules beside the tests importable by their plain names."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from http_load import Load
    from http_service import Service

sys.path.insert(0, str(Path(__file__).parent))

_MEMORY = Path("/dev/shm")


@pytest.fixture(name="memory")
def _memory() -> Iterator[Path]:
    """Yield a folder whose writes cost nothing: thousands of commits, none of which meets power."""
    base = _MEMORY if _MEMORY.is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="jobwire-faults-", dir=base))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(name="service")
async def _service(memory: Path) -> AsyncIterator[Service]:
    """Yield a service of its own, not yet started."""
    from http_service import Service  # noqa: PLC0415 - found only once the path is set

    service = Service(memory / "data")
    yield service
    await service.close()


@pytest.fixture(name="load")
async def _load(service: Service) -> AsyncIterator[Load]:
    """Yield clients of that service, not yet started."""
    from http_load import SEED, Load  # noqa: PLC0415 - found only once the path is set

    load = Load(service.url, lambda: service.api_key, SEED)
    yield load
    await load.close()

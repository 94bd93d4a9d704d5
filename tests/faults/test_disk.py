"""
A service without room: nothing is invented, reads go on, and it comes back by itself.

The full disk is a small file system: one that root mounts, or the one named by JOBWIRE_FAULT_DISK.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_load import Load, eventually
from http_service import Service
from http_witness import Witness

from tests.support.disk import small_disk
from tests.support.stopwatch import Stopwatch

pytestmark = pytest.mark.fault

_COMES_BACK_S = 15.0
_DATABASE_BYTES = 1_000_000


@pytest.fixture(name="small_disk")
def _small_disk(tmp_path: Path) -> Iterator[Path]:
    named = os.environ.get("JOBWIRE_FAULT_DISK")
    if named:
        folder = Path(named) / "jobwire"
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
        return
    with small_disk(tmp_path / "disk", "16m") as disk:
        yield disk


async def test_a_full_disk_is_answered_503_until_there_is_room_again(small_disk: Path) -> None:
    service = Service(small_disk / "data")
    load = Load(service.url, lambda: service.api_key, 0)
    filler = small_disk / "filler"
    try:
        await service.start()
        await load.start()
        await load.until(100)

        _fill(filler)
        await _is_full(load)
        await _reads_go_on(load)
        filler.unlink()
        await _comes_back(load)
        await load.stop()

        assert await Witness(service.url, service.api_key).complaints(load.ledger) == []
    finally:
        await load.close()
        await service.close()


async def test_a_service_killed_on_a_full_disk_comes_back_when_there_is_room(
    small_disk: Path,
) -> None:
    service = Service(small_disk / "data")
    load = Load(service.url, lambda: service.api_key, 0)
    filler = small_disk / "filler"
    try:
        await service.start()
        await load.start()
        await load.until(100)

        _fill(filler)
        await _is_full(load)
        await service.kill()
        filler.unlink()
        await service.start()
        await _comes_back(load)
        await load.stop()

        assert await Witness(service.url, service.api_key).complaints(load.ledger) == []
    finally:
        await load.close()
        await service.close()


async def test_a_database_at_its_limit_is_answered_503_until_the_limit_is_raised(
    memory: Path,
) -> None:
    limit = {"JOBWIRE_LIMITS__DATABASE_BYTES": str(_DATABASE_BYTES)}
    service = Service(memory / "data", settings=limit)
    load = Load(service.url, lambda: service.api_key, 0)
    try:
        await service.start()
        await load.start()

        await _is_full(load)
        await _reads_go_on(load)
        size = (service.folder / "jobwire.db").stat().st_size
        await service.kill()
        service.settings.clear()
        await service.start()
        await _comes_back(load)
        await load.stop()

        assert size <= _DATABASE_BYTES
        assert await Witness(service.url, service.api_key).complaints(load.ledger) == []
    finally:
        await load.close()
        await service.close()


def _fill(filler: Path) -> None:
    """Take all the room there is, to the last byte."""
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue


async def _comes_back(load: Load) -> None:
    watch = Stopwatch()
    await load.until(50)
    assert watch.seconds <= _COMES_BACK_S


async def _is_full(load: Load) -> None:
    before = load.ledger.answers["503"]
    await eventually(lambda: load.ledger.answers["503"] > before + 20, 90.0, "503 for want of room")


async def _reads_go_on(load: Load) -> None:
    job = next(iter(load.ledger.jobs))
    for path in (f"/v1/jobs/{job}", f"/v1/jobs/{job}/history", "/v1/jobs", "/health/live"):
        assert (await load.ask("GET", path)).status == 200, path
    ready = await load.ask("GET", "/health/ready")
    assert ready.status == 503
    assert "store" in ready.read()["missing"][0]

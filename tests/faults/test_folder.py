"""A data folder that cannot be used is one clear sentence and an exit code, never a traceback."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_service import Service, refused_start

pytestmark = pytest.mark.fault


@pytest.fixture(name="read_only")
def _read_only(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder that nobody can write to: a mount for root, whom no mode bit stops."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    if os.geteuid():
        folder.chmod(0o500)
        yield folder
        folder.chmod(0o700)
        return
    command = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)]
    mounted = shutil.which("mount") and subprocess.run(command, capture_output=True, check=False)
    if not mounted or mounted.returncode:
        pytest.skip("root writes everywhere, and no read-only file system could be mounted")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def _refusal(*arguments: str) -> str:
    code, errors = await refused_start(*arguments)
    assert code == 1
    assert errors.count("\n") == 1, errors
    assert "Traceback" not in errors
    return errors


async def test_a_read_only_folder_is_refused_with_one_sentence(read_only: Path) -> None:
    assert "cannot use the data folder" in await _refusal("--data", str(read_only / "data"))


async def test_a_folder_below_a_file_is_refused_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    assert "cannot use the data folder" in await _refusal("--data", str(tmp_path / "file" / "data"))


@pytest.mark.parametrize("content", [b"", b"{", b'{"identity": 1}', b"\xff\xfe", b"[]"])
async def test_damaged_service_keys_are_refused_and_left_as_they_are(
    tmp_path: Path, content: bytes
) -> None:
    keys = tmp_path / "service-keys"
    keys.write_bytes(content)

    assert "service keys" in await _refusal("--data", str(tmp_path))
    assert keys.read_bytes() == content


async def test_data_of_a_newer_release_is_refused_with_one_sentence(service: Service) -> None:
    await service.start()
    await service.kill()
    connection = sqlite3.connect(service.folder / "jobwire.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    assert "schema version 99" in await _refusal("--data", str(service.folder))


async def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    database = tmp_path / "jobwire.db"
    database.write_bytes(b"not a database " * 1_000)

    assert "database" in await _refusal("--data", str(tmp_path))
    assert database.read_bytes() == b"not a database " * 1_000


async def test_a_folder_in_use_is_refused_and_its_service_goes_on(service: Service) -> None:
    await service.start()

    assert "already running" in await _refusal("--data", str(service.folder))
    assert service.process.returncode is None


async def test_a_folder_whose_service_was_killed_is_taken_over(service: Service) -> None:
    await service.start()
    await service.kill()

    await service.start()

    assert service.process.returncode is None

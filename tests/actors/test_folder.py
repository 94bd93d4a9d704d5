"""The data folder: one service at a time, and secrets for nobody else's eyes."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from jobwire.actors.runtime.folder import DataFolder, Service, default_folder, write_private
from jobwire.schemas.errors import Misconfigured
from jobwire.schemas.tokens import mint_token
from tests.support.factories import job_id


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """Name a folder that is not there yet."""
    return DataFolder(tmp_path / "a" / "data")


def test_a_claimed_folder_is_its_owners_only(folder: DataFolder) -> None:
    folder.claim()

    assert _mode(folder.path) == 0o700
    assert _mode(folder.path / "lock") == 0o600
    folder.release()


def test_a_folder_is_claimed_once_at_a_time(folder: DataFolder) -> None:
    folder.claim()
    second = DataFolder(folder.path)

    with pytest.raises(Misconfigured, match="a service is already running on") as caught:
        second.claim()
    folder.release()
    second.claim()
    second.release()

    assert str(folder.path) in caught.value.detail
    assert "--data" in caught.value.detail


def test_who_comes_second_is_told_where_the_first_one_answers(folder: DataFolder) -> None:
    folder.claim()
    folder.announce(Service(url="http://127.0.0.1:7", pid=42))

    with pytest.raises(Misconfigured, match=r"process 42 at http://127\.0\.0\.1:7"):
        DataFolder(folder.path).claim()
    folder.release()


def test_whether_a_service_runs_is_told_by_the_lock(folder: DataFolder) -> None:
    absent = folder.is_running()
    folder.claim()
    claimed = DataFolder(folder.path).is_running()
    folder.release()

    assert (absent, claimed, folder.is_running()) == (False, True, False)


def test_a_released_folder_announces_nothing(folder: DataFolder) -> None:
    folder.claim()
    folder.announce(Service(url="http://x", pid=1))
    announced = folder.service()

    folder.release()
    folder.release()

    assert announced == Service(url="http://x", pid=1)
    assert folder.service() is None


def test_a_place_that_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(Misconfigured, match="cannot use the data folder") as caught:
        DataFolder(tmp_path / "file").claim()

    assert str(tmp_path / "file") in caught.value.detail


def test_secrets_are_made_once_and_kept_private(folder: DataFolder) -> None:
    folder.claim()

    first, second = folder.secrets(), DataFolder(folder.path).secrets()

    assert first == second
    assert _mode(folder.path / "service-keys") == 0o600
    assert len(first.identity) == 32
    token = mint_token(first.keyring, job_id(), 1)
    assert second.keyring.generation(job_id(), token) == 1
    folder.release()


def test_two_installations_share_no_secret(tmp_path: Path) -> None:
    folders = [DataFolder(tmp_path / name) for name in ("one", "two")]
    for folder in folders:
        folder.claim()

    one, two = (folder.secrets() for folder in folders)

    assert one.identity != two.identity
    assert one.keys[0].secret != two.keys[0].secret
    for folder in folders:
        folder.release()


@pytest.mark.parametrize("content", [b"", b"{}", b"no json", b'{"identity":1,"keys":[]}'])
def test_secrets_changed_by_hand_stop_the_service(folder: DataFolder, content: bytes) -> None:
    folder.claim()
    (folder.path / "service-keys").write_bytes(content)

    with pytest.raises(Misconfigured, match="service keys"):
        folder.secrets()
    folder.release()


@pytest.mark.parametrize("content", [None, b"\xff"], ids=["absent", "no text"])
def test_an_api_key_whose_file_is_named_must_be_there(
    folder: DataFolder, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(Misconfigured, match="api_key_file"):
        folder.api_key(str(file))


def test_an_api_key_is_read_without_its_line_end(folder: DataFolder) -> None:
    folder.claim()
    absent = folder.api_key()
    write_private(folder.api_key_file, b"jwk_x\n")

    assert absent is None
    assert folder.api_key() == "jwk_x"
    assert _mode(folder.api_key_file) == 0o600
    folder.release()


def test_a_private_file_is_replaced_as_a_whole_and_leaves_nothing_behind(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old and readable")
    file.chmod(0o644)

    write_private(file, b"new")

    assert file.read_bytes() == b"new"
    assert _mode(file) == 0o600
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({"JOBWIRE_DATA": "/d", "XDG_DATA_HOME": "/x", "HOME": "/h"}, "/d"),
        ({"XDG_DATA_HOME": "/x", "HOME": "/h"}, "/x/jobwire"),
        ({"HOME": "/h"}, "/h/.local/share/jobwire"),
        ({"JOBWIRE_DATA": "", "HOME": "/h"}, "/h/.local/share/jobwire"),
    ],
)
def test_the_default_folder_is_the_one_that_the_environment_names(
    environment: dict[str, str], path: str
) -> None:
    assert default_folder(environment) == Path(path)

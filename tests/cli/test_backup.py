"""Backups are made and put back, with and without a running service."""

from __future__ import annotations

import io
import json
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from jobwire.actors.runtime.folder import DataFolder
from tests.cli.console import Console

Members = dict[str, bytes]


def test_a_backup_of_a_running_service_is_put_back_while_it_runs(
    bare: Console, tmp_path: Path
) -> None:
    process, ready = bare.up()
    kept = bare.job("--name", "kept")
    token = bare.run("token", "rotate", kept).record["token"]
    file = tmp_path / "backup.tar"

    saved = bare.run("backup", str(file))
    later = bare.job("--name", "later")
    restored = bare.run("restore", str(file))

    assert (saved.code, restored.code) == (0, 0)
    assert saved.record["counts"]["jobs"] == restored.record["counts"]["jobs"] == 1
    assert process.poll() is None
    assert json.loads((bare.folder / "service.json").read_text())["url"] == ready["url"]
    assert [job["id"] for job in bare.run("ls").records] == [kept]
    assert bare.run("show", later).code == 1
    assert bare.run("event", kept, "run", "--token", token).code == 0
    assert (bare.folder / "jobwire.db.before-restore").exists()
    assert not (bare.folder / "restore").exists()


def test_a_backup_is_put_back_where_nothing_runs(bare: Console, tmp_path: Path) -> None:
    process, _ = bare.up()
    kept = bare.job()
    process.terminate()
    process.wait()
    file = tmp_path / "backup.tar"

    saved = bare.run("backup", str(file))
    bare.up()
    bare.job()
    bare.processes[-1].kill()  # its last writes are in the write-ahead log only
    bare.processes[-1].wait()
    restored = bare.run("restore", str(file))
    bare.up()

    assert (saved.code, restored.code) == (0, 0)
    assert [job["id"] for job in bare.run("ls").records] == [kept]
    assert (bare.folder / "jobwire.db.before-restore").exists()


def test_a_backup_moves_to_another_machine(bare: Console, tmp_path: Path) -> None:
    bare.up()
    job = bare.run("create").record
    bare.run("backup", str(tmp_path / "b.tar"))
    other = Console(tmp_path / "elsewhere")

    try:
        assert other.run("restore", str(tmp_path / "b.tar")).code == 0
        other.up()

        assert other.run("show", job["id"]).code == 0, "a key of its own opens it"
        assert other.run("event", job["id"], "run", "--token", job["token"]).code == 0
    finally:
        other.close()


def test_the_folders_old_key_is_replaced_when_the_backup_does_not_know_it(
    bare: Console, tmp_path: Path
) -> None:
    bare.up()
    job = bare.job()
    bare.run("backup", str(tmp_path / "b.tar"))
    other = Console(tmp_path / "elsewhere")

    try:
        other.up()
        assert other.run("restore", str(tmp_path / "b.tar")).code == 0

        assert other.run("show", job).code == 0
    finally:
        other.close()


def test_a_backup_is_private_and_overwrites_nothing(bare: Console, tmp_path: Path) -> None:
    bare.up()
    file = tmp_path / "b.tar"

    assert bare.run("backup", str(file)).code == 0
    again = bare.run("backup", str(file))

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (again.code, len(again.err.splitlines())) == (1, 1)
    assert "--force" in again.err
    assert bare.run("backup", str(file), "--force").code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar", "data"]


def test_where_there_is_nothing_to_save_it_is_said(bare: Console, tmp_path: Path) -> None:
    failed = bare.run("backup", str(tmp_path / "b.tar"))

    assert (failed.code, len(failed.err.splitlines())) == (1, 1)
    assert not (tmp_path / "b.tar").exists()


def _members(file: Path) -> Members:
    with tarfile.open(file) as tar:
        found = {}
        for info in tar:
            content = tar.extractfile(info)
            assert content is not None
            found[info.name] = content.read()
        return found


def _write(file: Path, members: Members) -> None:
    with tarfile.open(file, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def _renamed(members: Members) -> Members:
    names = {"jobwire.db": "../jobwire.db"}
    return {names.get(name, name): content for name, content in members.items()}


def _newer(members: Members) -> Members:
    manifest = json.loads(members["manifest.json"]) | {"schema_version": 999}
    return members | {"manifest.json": json.dumps(manifest).encode()}


def _changed(members: Members) -> Members:
    database = bytearray(members["jobwire.db"])
    database[5_000] ^= 0xFF
    return members | {"jobwire.db": bytes(database)}


ODD: dict[str, Callable[[Members], Members]] = {
    "a member outside": _renamed,
    "one too many": lambda members: members | {"extra": b""},
    "no manifest": lambda members: {
        name: content for name, content in members.items() if name != "manifest.json"
    },
    "a manifest that is none": lambda members: members | {"manifest.json": b"{}"},
    "a huge manifest": lambda members: members | {"manifest.json": b" " * 100_000},
    "a newer release": _newer,
    "a changed database": _changed,
    "no database": lambda members: {
        name: content for name, content in members.items() if name != "jobwire.db"
    },
}


@pytest.fixture(scope="module")
def archive(console: Console, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sound backup of a service with a few jobs."""
    file = tmp_path_factory.mktemp("archive") / "b.tar"
    for _ in range(3):
        console.job("--data", '"' + "x" * 2_000 + '"')
    assert console.run("backup", str(file)).code == 0
    return file


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_archive_changes_nothing(
    console: Console, archive: Path, tmp_path: Path, odd: str
) -> None:
    before = len(console.run("ls", "--all").records)
    file = tmp_path / "odd.tar"
    _write(file, ODD[odd](_members(archive)))

    refused = console.run("restore", str(file))

    assert refused.code == 1
    assert "Traceback" not in refused.err
    assert refused.err.splitlines()[-1].startswith("jobwire: ")
    assert len(console.run("ls", "--all").records) == before
    assert not list(console.folder.glob("*restore*"))
    assert not list(console.folder.glob(".restore*"))


def test_a_link_in_an_archive_is_refused(console: Console, archive: Path, tmp_path: Path) -> None:
    file = tmp_path / "odd.tar"
    with tarfile.open(file, "w") as tar:
        for name, content in _members(archive).items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if name == "jobwire.db":
                info.type, info.linkname, info.size = tarfile.SYMTYPE, "/etc/passwd", 0
            tar.addfile(info, io.BytesIO(content))

    refused = console.run("restore", str(file))

    assert refused.code == 1
    assert "expected the file 'jobwire.db'" in refused.err


@pytest.mark.parametrize("cut", [0, 100, 5_000, 20_000])
def test_a_cut_archive_is_refused(
    console: Console, archive: Path, tmp_path: Path, cut: int
) -> None:
    file = tmp_path / "cut.tar"
    file.write_bytes(archive.read_bytes()[:cut])

    refused = console.run("restore", str(file))

    assert refused.code == 1
    assert "Traceback" not in refused.err
    assert not list(console.folder.glob("*restore*"))


def test_a_compressed_archive_is_not_opened(
    console: Console, archive: Path, tmp_path: Path
) -> None:
    file = tmp_path / "b.tar.gz"
    with tarfile.open(file, "w:gz") as tar:
        tar.add(archive, "manifest.json")

    assert console.run("restore", str(file)).code == 1


_OLD = {"jobwire.db": "old", "jobwire.db-wal": "old wal", "service-keys": "old keys"}
_KEPT = {
    "jobwire.db.before-restore": "old",
    "jobwire.db.before-restore-wal": "old wal",
    "service-keys.before-restore": "old keys",
}


@pytest.mark.parametrize("done", range(6))
def test_a_restore_that_was_cut_short_is_finished_by_the_next_start(
    tmp_path: Path, done: int
) -> None:
    files = {**_OLD, "restore/jobwire.db": "new", "restore/service-keys": "new keys"}
    moves = [
        ("jobwire.db", "jobwire.db.before-restore"),
        ("jobwire.db-wal", "jobwire.db.before-restore-wal"),
        ("restore/jobwire.db", "jobwire.db"),
        ("service-keys", "service-keys.before-restore"),
        ("restore/service-keys", "service-keys"),
    ]
    (tmp_path / "restore").mkdir()
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    for source, target in moves[:done]:
        (tmp_path / source).rename(tmp_path / target)

    taken = DataFolder(tmp_path).take_restore()

    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert taken
    assert found == {"jobwire.db": "new", "service-keys": "new keys", **_KEPT}
    assert not DataFolder(tmp_path).take_restore()

"""
Backups of the embedded store: a snapshot of the live database and the service keys, in one file.

    manifest.json    what it is: release, schema version, counts, and a digest of each other member
    service-keys     the secrets that sign job tokens
    jobwire.db       the database, one consistent moment of it

An archive is a plain tar file, readable by its owner only. Everything in it is checked before any
of it is used: names, kinds and sizes of the members, digests, the schema version, and the database
itself.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from jobwire.actors.runtime.folder import DataFolder, ServiceSecrets
from jobwire.actors.stores.plugins import ArchiveMember, Manifest, Progress, RowCounts
from jobwire.actors.stores.sqlite.schema import VERSION
from jobwire.schemas.errors import Conflict, Invalid, Misconfigured, NotFound, Unavailable

__all__ = ["VERSION", "back_up", "schema_version", "unpack"]

_MANIFEST, _KEYS, _DATABASE = "manifest.json", "service-keys", "jobwire.db"
#: Version of the archive's form.
_FORMAT: Final = 1
#: Largest manifest and key file that are read at all.
_SMALL_BYTES: Final = 65_536
_CHUNK_BYTES: Final = 1_048_576
#: Pages of the database that are copied before the progress is told.
_PAGES: Final = 1_024


def schema_version(database: Path) -> int:
    """
    Read which schema a database has.

    Raises:
        Misconfigured: it is not a database of this service, or cannot be read.

    """
    with _opened(database) as connection:
        return _version(connection)


def back_up(
    folder: DataFolder, target: Path, *, release: str, now: datetime, progress: Progress
) -> Manifest:
    """
    Write an archive of a data folder, whole or not at all, whether or not a service runs on it.

    Raises:
        NotFound: the folder holds no data yet.
        Misconfigured: a part of it cannot be read.

    """
    if not folder.database.exists():
        raise NotFound(f"{folder.path} contains no data to back up")
    with tempfile.TemporaryDirectory(prefix=".jobwire-backup.", dir=target.parent) as scratch:
        database, keys, manifest = (Path(scratch, name) for name in (_DATABASE, _KEYS, _MANIFEST))
        _snapshot(folder.database, database, progress)
        # After the snapshot: a key that was added meanwhile does no harm, a missing one would.
        keys.write_bytes(msgspec.json.encode(folder.secrets()))
        made = Manifest(
            format=_FORMAT,
            jobwire=release,
            created=now,
            schema_version=schema_version(database),
            counts=_counts(database),
            members={file.name: _member(file) for file in (keys, database)},
        )
        manifest.write_bytes(msgspec.json.encode(made))
        archive = Path(scratch, "archive")
        _pack(archive, (manifest, keys, database))
        archive.replace(target)
    return made


def unpack(archive: Path, target: Path) -> Manifest:
    """
    Check an archive and put its files into a new folder `target`; nothing is left on failure.

    Raises:
        Invalid: it is no archive, is damaged, or was made by a newer release.

    """
    scratch = Path(tempfile.mkdtemp(prefix=".restore.", dir=target.parent))
    try:
        manifest = _extract(archive, scratch)
        _check_database(scratch / _DATABASE, manifest)
        msgspec.json.decode((scratch / _KEYS).read_bytes(), type=ServiceSecrets)
        try:
            scratch.rename(target)
        except OSError as error:
            raise Conflict("another restore is in progress on this data folder") from error
    except tarfile.TarError as error:
        raise Invalid(f"{archive} is not a backup of Jobwire, or is truncated: {error}") from error
    except msgspec.DecodeError as error:
        raise Invalid(f"{archive} is damaged: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return manifest


def _snapshot(source: Path, target: Path, progress: Progress) -> None:
    target.touch(mode=0o600)
    with _opened(source) as live, closing(sqlite3.connect(target)) as copy:
        # One read transaction round the copy: it shows one moment, and no commit starts it anew.
        live.execute("BEGIN")
        live.execute("SELECT count(*) FROM sqlite_master").fetchone()
        live.backup(
            copy, pages=_PAGES, progress=lambda _, left, total: progress(total - left, total)
        )
        # The copy is one file: no write-ahead log belongs to it.
        copy.execute("PRAGMA journal_mode = DELETE")


def _pack(archive: Path, files: tuple[Path, ...]) -> None:
    descriptor = os.open(archive, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for file in files:
                info = tarfile.TarInfo(file.name)
                info.size, info.mode = file.stat().st_size, 0o600
                info.mtime = int(file.stat().st_mtime)
                with file.open("rb") as content:
                    tar.addfile(info, content)
        out.flush()
        os.fsync(out.fileno())


def _extract(archive: Path, target: Path) -> Manifest:
    """Take out the three members that an archive has, in their order, and nothing else."""
    with tarfile.open(archive, mode="r:") as tar:
        manifest = msgspec.json.decode(_small(tar, _next(tar, _MANIFEST)), type=Manifest)
        if manifest.format != _FORMAT or manifest.schema_version > VERSION:
            detail = (
                f"{archive} was made by the newer release {manifest.jobwire} "
                f"(schema version {manifest.schema_version}, this one reads up to {VERSION}); "
                "restore it with that release"
            )
            raise Invalid(detail, code="newer_release")
        for name in (_KEYS, _DATABASE):
            _take(tar, _next(tar, name), manifest.members.get(name), target / name)
        if tar.next() is not None:
            raise Invalid(
                f"{archive} contains files that a backup does not have", code="odd_member"
            )
    return manifest


def _next(tar: tarfile.TarFile, name: str) -> tarfile.TarInfo:
    info = tar.next()
    if info is None or info.name != name or not info.isreg() or info.issparse():
        found = "nothing" if info is None else repr(info.name)
        detail = f"this is not a backup of Jobwire: expected the file {name!r}, found {found}"
        raise Invalid(detail, code="odd_member")
    if name != _DATABASE and info.size > _SMALL_BYTES:
        raise Invalid(
            f"{name} has {info.size} bytes, more than a backup can have", code="odd_member"
        )
    return info


def _small(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    return _reader(tar, info).read(_SMALL_BYTES)


def _reader(tar: tarfile.TarFile, info: tarfile.TarInfo) -> BinaryIO:
    content = tar.extractfile(info)
    assert content is not None  # a regular file has one
    return content  # type: ignore[return-value]  # typeshed: IO[bytes]


def _take(
    tar: tarfile.TarFile, info: tarfile.TarInfo, expected: ArchiveMember | None, target: Path
) -> None:
    digest = hashlib.sha256()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    content = _reader(tar, info)
    with os.fdopen(descriptor, "wb") as out:
        while chunk := content.read(_CHUNK_BYTES):
            digest.update(chunk)
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    if expected != ArchiveMember(info.size, digest.hexdigest()):
        raise Invalid(
            f"the backup is damaged: the digest of {info.name} does not match", code="damaged"
        )


def _check_database(database: Path, manifest: Manifest) -> None:
    try:
        with _opened(database) as connection:
            version = _version(connection)
            (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            (odd,) = connection.execute(
                "SELECT count(*) FROM sqlite_master WHERE type NOT IN ('table', 'index')"
            ).fetchone()
    except Misconfigured as error:
        raise Invalid(f"the backup is damaged: {error.detail}", code="damaged") from error
    if version != manifest.schema_version or verdict != "ok" or odd:
        raise Invalid(
            f"the backup is damaged: the check of its database reports {verdict!r}", code="damaged"
        )


def _member(file: Path) -> ArchiveMember:
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return ArchiveMember(file.stat().st_size, digest)


def _counts(database: Path) -> RowCounts:
    with _opened(database) as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM jobs WHERE deleted = 0), (SELECT count(*) FROM entries),"
            " (SELECT count(*) FROM refused), (SELECT count(*) FROM records)"
        ).fetchone()
    return RowCounts(*row)


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


@contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection]:
    """Open an existing database; say in one sentence why that, or reading it, failed."""
    try:
        with closing(
            sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True, timeout=5)
        ) as connection:
            connection.isolation_level = None
            yield connection
    except sqlite3.OperationalError as error:
        raise Unavailable(f"cannot read the database {database} now: {error}") from error
    except sqlite3.DatabaseError as error:
        raise Misconfigured(f"{database} is not a valid database: {error}") from error

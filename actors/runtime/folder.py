"""
The data folder of a service on one machine: its lock, its secrets, and where it can be reached.

    DATA/lock           held while a service runs
    DATA/service-keys   secrets that sign job tokens (mode 600)
    DATA/api-key        the first API key (mode 600)
    DATA/service.json   where the running service answers
    DATA/jobwire.db     jobs, history and all other records (SQLite)
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from jobwire.schemas.errors import Misconfigured
from jobwire.schemas.tokens import Keyring, ServiceKey


class ServiceSecrets(Struct, frozen=True, kw_only=True):
    """The secrets of one installation."""

    identity: bytes
    """Derives ids and cursors; never changes."""
    keys: tuple[ServiceKey, ...]
    """Sign and verify job tokens: the first signs."""

    @property
    def keyring(self) -> Keyring:
        """The service keys as a ring."""
        return Keyring(self.keys)


class Service(Struct, frozen=True, kw_only=True):
    """Where a running service answers."""

    url: str
    pid: int


class DataFolder:
    """One data folder."""

    def __init__(self, path: Path) -> None:
        """Name a folder; nothing is touched yet."""
        self.path = path
        self._lock: int | None = None

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.path / "jobwire.db"

    @property
    def service_keys_file(self) -> Path:
        """The secrets of the installation."""
        return self.path / "service-keys"

    @property
    def api_key_file(self) -> Path:
        """The first API key."""
        return self.path / "api-key"

    @property
    def pending_restore(self) -> Path:
        """A verified backup that the running service is to take over."""
        return self.path / "restore"

    def claim(self) -> None:
        """
        Make the folder where it is missing and take its lock until `release`.

        Raises:
            Misconfigured: another process has it, or it cannot be written.

        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            detail = (
                f"cannot use the data folder {self.path}: "
                f"{error.strerror}; choose another with --data"
            )
            raise Misconfigured(detail) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            running = self.service()
            where = f" as process {running.pid} at {running.url}" if running else ""
            detail = (
                f"a service is already running on {self.path}{where}; "
                "stop it, or choose another folder with --data"
            )
            raise Misconfigured(detail) from error
        self._lock = descriptor

    def release(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            (self.path / "service.json").unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def take_restore(self) -> bool:
        """
        Take over a verified backup that waits in `pending_restore`; say whether there was one.

        The old files are kept as `*.before-restore`. Called with the lock held and the database
        closed; a crash on the way is made good by the next call.
        """
        if not self.pending_restore.is_dir():
            return False
        fresh = self.pending_restore / self.database.name
        if fresh.exists():
            self._set_aside(self.database, ("", "-wal", "-shm"))
            fresh.replace(self.database)
        keys = self.pending_restore / "service-keys"
        if keys.exists():
            self._set_aside(self.path / keys.name, ("",))
            keys.replace(self.path / keys.name)
        shutil.rmtree(self.pending_restore)
        _sync(self.path)
        return True

    def _set_aside(self, file: Path, suffixes: Sequence[str]) -> None:
        """Rename a file and what belongs to it; the file itself first, so a repetition goes on."""
        kept = file.with_name(f"{file.name}.before-restore")
        if file.exists():
            for suffix in suffixes:
                Path(f"{kept}{suffix}").unlink(missing_ok=True)
        for suffix in suffixes:
            if Path(f"{file}{suffix}").exists():
                Path(f"{file}{suffix}").replace(f"{kept}{suffix}")
        _sync(self.path)

    def is_running(self) -> bool:
        """Return whether a process holds the lock."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    def secrets(self) -> ServiceSecrets:
        """
        Read the installation's secrets; make them at the first start.

        Raises:
            Misconfigured: the file cannot be read, or has been changed by hand.

        """
        file = self.service_keys_file
        if not file.exists():
            make_secrets(file)
        return read_secrets(file)

    def api_key(self, elsewhere: str | None = None) -> str | None:
        """
        Return the first API key, if this folder has one to read; or that of the file that is named.

        Raises:
            Misconfigured: a file is named, but cannot be read.

        """
        try:
            return Path(elsewhere or self.api_key_file).read_text().strip() or None
        except (OSError, UnicodeDecodeError) as error:
            if elsewhere is None:
                return None
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise Misconfigured(f"setting api_key_file: cannot read its file: {why}") from error

    def announce(self, service: Service) -> None:
        """Write down where the service answers."""
        write_private(self.path / "service.json", msgspec.json.encode(service))

    def service(self) -> Service | None:
        """Read where the service answers; None: no service wrote it down."""
        try:
            return msgspec.json.decode((self.path / "service.json").read_bytes(), type=Service)
        except (OSError, msgspec.DecodeError):
            return None


def make_secrets(file: Path) -> None:
    """Make the secrets of a new installation."""
    first = ServiceKey(id=_key_id(), secret=secrets.token_bytes(32))
    fresh = ServiceSecrets(identity=secrets.token_bytes(32), keys=(first,))
    write_private(file, msgspec.json.encode(fresh))


def read_secrets(file: Path) -> ServiceSecrets:
    """
    Read the secrets of an installation.

    Raises:
        Misconfigured: they cannot be read, or have been changed by hand.

    """
    try:
        return msgspec.json.decode(file.read_bytes(), type=ServiceSecrets)
    except (OSError, msgspec.DecodeError) as error:
        raise Misconfigured(f"cannot read the service keys in {file}: {error}") from error


def default_folder(environment: Mapping[str, str]) -> Path:
    """Return the default folder: `JOBWIRE_DATA`, else the user's data directory."""
    if chosen := environment.get("JOBWIRE_DATA"):
        return Path(chosen)
    base = (
        environment.get("XDG_DATA_HOME") or Path(environment.get("HOME", "/")) / ".local" / "share"
    )
    return Path(base) / "jobwire"


def write_private(file: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all, and durably."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(file)
    _sync(file.parent)


def _sync(folder: Path) -> None:
    """Put a folder's names on disk."""
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _key_id() -> str:
    return "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(2))

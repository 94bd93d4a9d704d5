"""What the doctor looks at: each check gives one finding, and never raises."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import socket
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from jobwire.actors.cli.output import duration
from jobwire.actors.cli.release import release
from jobwire.actors.client import Client
from jobwire.actors.runtime import plugins
from jobwire.actors.runtime.configuration import load_settings
from jobwire.actors.runtime.folder import DataFolder
from jobwire.actors.runtime.settings import Settings
from jobwire.actors.stores.plugins import Backups
from jobwire.schemas.errors import JobwireError, Misconfigured

Level = Literal["ok", "warn", "fail"]

_LIBRARIES: Final = ("aiohttp", "msgspec", "uvloop", "click", "rich", "structlog")
_OLDEST_PYTHON: Final = (3, 11)
_GIB: Final = 1_073_741_824
#: Free space below which the doctor warns, and fails.
_LITTLE_SPACE_BYTES, _NO_SPACE_BYTES = 2 * _GIB, _GIB // 8
#: A clock before this build's year cannot be right.
_EARLIEST_YEAR: Final = 2025
_NOBODY_ELSE: Final = 0o077


class Finding(Struct, frozen=True):
    """How one thing is, and what to do about it."""

    name: str
    level: Level
    text: str
    what_to_do: str | None = None


def findings(folder: DataFolder, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Look at everything, one after another."""
    yield _python()
    yield _libraries()
    settings = _settings(environment)
    yield settings[1]
    yield _folder(folder)
    yield from _secrets(folder)
    yield _schema(folder)
    yield _space(folder)
    yield _clock()
    yield _service(folder)
    yield _port(folder, settings[0])


def _python() -> Finding:
    text = f"Python {platform.python_version()} on {platform.system()}, Jobwire {release()}"
    if sys.version_info < _OLDEST_PYTHON:
        return Finding("python", "fail", text, "install Python 3.11 or newer")
    return Finding("python", "ok", text)


def _libraries() -> Finding:
    found, missing = [], []
    for name in _LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        todo = "install Jobwire again, with its libraries"
        return Finding("libraries", "fail", f"missing: {', '.join(missing)}", todo)
    return Finding("libraries", "ok", ", ".join(found))


def _settings(environment: Mapping[str, str]) -> tuple[Settings, Finding]:
    file = environment.get("JOBWIRE_CONFIG")
    try:
        settings = load_settings(Path(file) if file else None, environment)
    except Misconfigured as error:
        todo = "correct the variable or the file; `jobwire up` does not start with it"
        return Settings(), Finding("settings", "fail", error.detail, todo)
    return settings, Finding("settings", "ok", f"read from {file or 'the environment'}")


def _folder(folder: DataFolder) -> Finding:
    path = folder.path
    if not path.exists():
        return Finding("data", "ok", f"{path} does not exist yet; `jobwire up` creates it")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        todo = "run as the user that owns it, or choose another with --data"
        return Finding("data", "fail", f"{path} cannot be read and written", todo)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _NOBODY_ELSE:
        todo = f"chmod 700 {path}"
        return Finding("data", "warn", f"{path} is accessible to others (mode {mode:o})", todo)
    return Finding("data", "ok", str(path))


def _secrets(folder: DataFolder) -> Iterator[Finding]:
    for file in (folder.path / "service-keys", folder.api_key_file):
        if file.exists():
            yield _secret(file)
        elif folder.database.exists():
            todo = (
                "restore it from a backup; without it no job token is valid"
                if file.name == "service-keys"
                else "start the service again: it makes a new one"
            )
            level: Level = "fail" if file.name == "service-keys" else "warn"
            yield Finding(file.name, level, f"{file} is missing", todo)


def _secret(file: Path) -> Finding:
    status = file.stat()
    mode = stat.S_IMODE(status.st_mode)
    if mode & _NOBODY_ELSE:
        text = f"{file} can be read by others (mode {mode:o})"
        return Finding(file.name, "fail", text, f"chmod 600 {file}")
    if not os.access(file, os.R_OK):
        todo = "run as the user of the service"
        return Finding(file.name, "warn", f"{file} cannot be read", todo)
    return Finding(file.name, "ok", f"readable by its owner only (mode {mode:o})")


def _schema(folder: DataFolder) -> Finding:
    if not folder.database.exists():
        return Finding("database", "ok", "does not exist yet; the first start creates it")
    store: Backups = plugins.load("store_backups", "sqlite")
    try:
        found = store.schema_version(folder.database)
    except JobwireError as error:
        return Finding("database", "fail", error.detail, "restore a backup: jobwire restore FILE")
    size = folder.database.stat().st_size / _GIB
    text = f"schema version {found} of {store.VERSION}, {size:.2f} GiB"
    if found > store.VERSION:
        todo = "use the newer release that wrote it, or restore a backup made by this one"
        return Finding("database", "fail", text, todo)
    if found < store.VERSION:
        return Finding("database", "ok", f"{text}; the next start upgrades it")
    return Finding("database", "ok", text)


def _space(folder: DataFolder) -> Finding:
    place = next(path for path in (folder.path, *folder.path.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    text = f"{free / _GIB:.1f} GiB free"
    todo = "free some space: without it events are answered 503"
    if free < _NO_SPACE_BYTES:
        return Finding("disk", "fail", text, todo)
    if free < _LITTLE_SPACE_BYTES:
        return Finding("disk", "warn", text, todo)
    return Finding("disk", "ok", text)


def _clock() -> Finding:
    now = time.gmtime()
    text = time.strftime("%Y-%m-%d %H:%M:%S UTC", now)
    if now.tm_year < _EARLIEST_YEAR:
        todo = "set the clock, by NTP: time stamps and deadlines depend on it"
        return Finding("clock", "fail", text, todo)
    return Finding("clock", "ok", text)


def _service(folder: DataFolder) -> Finding:
    if not folder.is_running():
        todo = "start it: jobwire up"
        return Finding("service", "warn", "no service is running on this data folder", todo)
    running = folder.service()
    if running is None:
        return Finding(
            "service", "warn", "a service is starting or stopping", "check again in a few seconds"
        )
    started = time.monotonic()
    try:
        asyncio.run(_ask(running.url))
    except JobwireError as error:
        todo = f"see the log of process {running.pid}; if it hangs, restart it"
        return Finding("service", "fail", error.detail, todo)
    took = duration(time.monotonic() - started)
    text = f"ready at {running.url} (process {running.pid}, answered in {took})"
    return Finding("service", "ok", text)


async def _ask(url: str) -> None:
    async with Client(url) as jobwire:
        await jobwire.check_ready()


def _port(folder: DataFolder, settings: Settings) -> Finding:
    if folder.is_running():
        return Finding("port", "ok", "used by the running service")
    where = f"{settings.host} port {settings.port}"
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, proto) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        todo = "stop the program that uses it, or choose another: jobwire up --port N"
        return Finding("port", "fail", f"{where}: {error.strerror}", todo)
    return Finding("port", "ok", f"{where} is free")

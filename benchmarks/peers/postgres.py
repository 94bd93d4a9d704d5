"""A PostgreSQL server of the benchmark's own, as Debian installs it, in its default settings."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.daemons import Daemon
from tests.support.ports import free_port
from tests.support.servers import answers, await_ready

#: PostgreSQL refuses to run as root; Debian's package makes this user.
_USER: Final = "postgres"


def find() -> Path | None:
    """Return the folder of the server's commands, the newest one's; None: it is not installed."""
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda bin_: int(bin_.parent.name)
    )
    on_path = shutil.which("initdb")
    found = [*([Path(on_path).resolve().parent] if on_path else []), *debian]
    return next((folder for folder in reversed(found) if (folder / "initdb").is_file()), None)


def version(commands: Path) -> str:
    """Describe what is installed: `PostgreSQL 15.18`."""
    asked = (str(commands / "postgres"), "--version")
    words = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.split()
    return f"PostgreSQL {words[2]}"


@contextmanager
def postgres(commands: Path) -> Iterator[str]:
    """Run a server with an empty database; give the database's address."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="jobwire-peers-") as temporary:
        folder = Path(temporary)
        become = _become(folder)
        make = (commands / "initdb", "-D", folder / "data", "-U", _USER, "-A", "trust")
        subprocess.run(
            [*become, *map(str, make)], check=True, stdout=subprocess.DEVNULL, cwd=folder
        )
        serve = (commands / "postgres", "-D", folder / "data", "-k", folder, "-p", port)
        server = Daemon((*become, *map(str, serve)), folder)
        server.start()
        try:
            await_ready(server, lambda: answers(port))
            yield f"{_USER}@127.0.0.1:{port}/{_USER}"
        finally:
            server.stop()


def _become(folder: Path) -> tuple[str, ...]:
    """Return the words that make a command another user's, where it must not be root's."""
    if os.getuid() != 0:
        return ()
    shutil.chown(folder, _USER, _USER)
    return ("setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups")

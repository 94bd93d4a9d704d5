"""The service that is shown: a real process that can be started, killed and stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from api import Api

_PATIENCE_S = 30.0


class Service:
    """`jobwire up` on a data folder and a free port."""

    def __init__(self, folder: Path, roots: Path) -> None:
        """Choose a port; nothing runs yet. Jobs may have files below `roots`."""
        self.folder = folder
        self.roots = roots
        # Kept until the demo ends, so that nobody else gets the port while the service is down.
        self._kept = _any_port()
        self.port: int = self._kept.getsockname()[1]
        self.log = folder.with_name("service.log")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None
        return self._process.pid

    @property
    def command(self) -> Path:
        """The `jobwire` that belongs to this Python."""
        return Path(sys.executable).with_name("jobwire")

    @property
    def environment(self) -> dict[str, str]:
        """What the service and its command line see: no setting of the person who looks on."""
        kept = {key: text for key, text in os.environ.items() if not key.startswith("JOBWIRE_")}
        settings = {"JOBWIRE_STAGING__ROOTS": str(self.roots), "JOBWIRE_LOCAL__GRACE_S": "0.5"}
        return {**kept, **settings, "JOBWIRE_DATA": str(self.folder)}

    def start(self) -> float:
        """Start the service; give the seconds until it was ready."""
        began = time.monotonic()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self.command, "up", "--port", str(self.port)],
                stdout=log,
                stderr=log,
                env=self.environment,
            )
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > began + _PATIENCE_S:
                message = f"the service did not start; it says:\n{self.log.read_text()}"
                raise RuntimeError(message)
            time.sleep(0.02)
        return time.monotonic() - began

    def api(self) -> Api:
        """Return an HTTP caller with the first API key."""
        return Api(self.port, (self.folder / "api-key").read_text().strip())

    def kill(self) -> None:
        """End the process as `kill -9` does: it cannot finish anything."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """Ask the process to stop; give its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(_PATIENCE_S)

    def end(self) -> None:
        """Leave nothing behind, however the demo ended."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
        self._kept.close()

    def _is_ready(self) -> bool:
        try:
            return Api(self.port, "").get("/health/ready").status == 200  # noqa: PLR2004 - OK
        except OSError:
            return False


def _any_port() -> socket.socket:
    """Bind a free port without listening there; a server that reuses addresses may listen."""
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    return kept
